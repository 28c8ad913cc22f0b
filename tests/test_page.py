"""The page of a report, as a real browser shows it."""

import dataclasses
import io
import itertools
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright
from support.commands import check_refused
from support.hostile import HOSTILE
from support.studies import BROKEN, Life, WrittenStudy, solved, unsolved
from typer.testing import Result

from resformer.errors import UserError
from resformer.model.shape import Shape
from resformer.reporting.analysis.summary import summarise
from resformer.reporting.layout import layout
from resformer.reporting.schema import CellKey, Excluded, Report
from resformer.reporting.text.answer import answer
from resformer.reporting.views.page import page, write
from resformer.residuals.add import Add
from resformer.residuals.plain import Plain
from resformer.results.members import Findings, read
from resformer.results.problems import DamagedJob, FailedJob, MissingJob

pytestmark = pytest.mark.browser

COMMAND = ["resformer", "report", "lived", "--html", "page.html"]
ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--no-first-run"),
]
LISTEN = (
    "addEventListener('securitypolicyviolation', event => console.log('violated', "
    "event.violatedDirective))"
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Skips, with the reason, where there is no Chromium."""
    chromium = next(
        filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
    )
    if chromium is None:
        pytest.skip("there is no Chromium to look at pages with")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def lives(tmp_path: Path, shape: Shape) -> WrittenStudy:
    lives = WrittenStudy(tmp_path / "results", "lived", shape)
    for depth in (1, 2, 4):
        lives.cell(
            {1e-3: [solved(30), *[unsolved()] * 2], 1e-2: [solved(10 * depth)] * 3},
            depth=depth,
            residual=Add(),
        )
        lives.cell(
            {1e-3: [unsolved(2.9)] * 3, 1e-2: [solved(50), solved(60), BROKEN]},
            depth=depth,
            residual=Plain(),
        )
    return lives


@pytest.fixture
def show(browser: Browser, tmp_path: Path) -> Iterator[Callable[..., Page]]:
    """Shows a page; in the end, nothing was logged, went wrong, broke the policy or was asked of a
    network.
    """
    messages: list[str] = []
    contexts = []

    def show(text: str, width: int = 1200, scheme: Any = "light", media: Any = "screen") -> Page:
        path = tmp_path / "page.html"
        path.write_text(text, encoding="utf-8")
        contexts.append(
            browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
        )
        shown = contexts[-1].new_page()
        shown.on("console", lambda message: messages.append(message.text))
        shown.on("pageerror", lambda error: messages.append(str(error)))
        shown.on(
            "request",
            lambda request: messages.append(request.url) if request.url != path.as_uri() else None,
        )
        shown.add_init_script(LISTEN)
        shown.emulate_media(media=media, color_scheme=scheme)
        shown.goto(path.as_uri())
        return shown

    yield show
    for context in contexts:
        context.close()
    assert messages == []


def made(findings: Findings, report: Report | None = None, command: Sequence[str] = COMMAND) -> str:
    report = report or summarise(findings)
    return page(findings, report, layout(report), command)


def test_a_page_stands_alone_and_its_policy_holds(
    lives: WrittenStudy, show: Callable[..., Page], browser: Browser
) -> None:
    text = made(lives.findings())
    shown = show(text)
    assert shown.title() == "lived: resformer"
    assert "<script" not in text
    assert not re.search(r"\sstyle\s*=", text)
    assert "http" not in text.replace("http-equiv", "")
    (width,) = re.findall(r"header, main \{ max-width: ([\d.]+)rem", text)
    main = "getComputedStyle(document.querySelector('main')).maxWidth"
    assert shown.evaluate(main) == f"{16 * float(width):g}px"
    assert len(set(ids := re.findall(r'\sid="([^"]*)"', text))) == len(ids)
    assert set(re.findall(r'(?:href="|url\()#([^")]*)', text)) <= set(ids)


def test_the_policy_of_a_page_is_enforced(
    lives: WrittenStudy, browser: Browser, tmp_path: Path
) -> None:
    (tmp_path / "page.html").write_text(made(lives.findings()), encoding="utf-8")
    messages: list[str] = []
    shown = browser.new_page()
    shown.on("console", lambda message: messages.append(message.text))
    shown.add_init_script(LISTEN)
    shown.goto((tmp_path / "page.html").as_uri())
    shown.evaluate(
        "document.body.insertAdjacentHTML('beforeend', '<p style=\"color: red\"><img "
        'src="data:,">\')'
    )
    shown.wait_for_timeout(100)
    shown.close()
    assert {"violated style-src-attr", "violated img-src"} <= set(messages)


def test_a_page_says_the_verdict_first_and_how_to_make_it_again(
    lives: WrittenStudy, show: Callable[..., Page]
) -> None:
    command = [
        "resformer",
        "sweep",
        "--study",
        "a  b",
        "member.seed=range(0,2)",
        "it's",
        "\x1b[0m\x9b",
        "caf\udce9",
    ]
    shown = show(made(lives.findings(command)))
    headings = shown.locator("h2").all_inner_texts()
    assert headings == [
        *(
            "Steps to solve",
            "Comparisons",
            "Figures",
            "Learning rates",
            "Settings",
            "Versions",
            "To reproduce",
            "Left out, missing, failed",
        ),
    ]
    assert (
        shown.locator("main > :first-child")
        .inner_text()
        .startswith("With residual connections stacks are not shown to train deeper")
    )
    again, this = shown.locator("pre").all_text_contents()
    read_back = subprocess.run(
        ["bash", "-c", f"printf '%s\\0' {again}"],
        capture_output=True,
        check=True,
        env={"LC_ALL": "C.UTF-8"},
    )
    assert read_back.stdout.split(b"\0")[:-1] == [
        word.encode(errors="surrogateescape") for word in command
    ]
    assert shlex.split(this) == COMMAND
    assert shown.locator("dt").all_inner_texts()[-2:] == ["resformer", "torch"]


def test_a_command_that_was_typed_twice_is_shown_once(lives: WrittenStudy) -> None:
    study = lives.write(words=["resformer", "sweep", "--study", "lived"])
    (first,) = study.launches()
    for name in ("lived", "Lived"):
        asked = ["resformer", "sweep", "--study", name]
        study.launch({"asked": asked, "versions": first["versions"]}, [])
    text = made(read([study]))
    assert text.count("<pre><code>resformer sweep --study lived</code></pre>") == 1
    assert text.count("<pre><code>resformer sweep --study Lived</code></pre>") == 1


def test_the_tables_of_a_page_hold_what_the_terminal_shows(
    lives: WrittenStudy, show: Callable[..., Page]
) -> None:
    shown = show(made(lives.findings()))
    rows = [row.split("\t") for row in shown.locator(".results tr").all_inner_texts()]
    cells = [[" ".join(text.split()) for text in row] for row in rows]
    assert cells[0] == ["depth", "plain post", "add post"]
    assert cells[1] == ["1", "60 2/3*", "10 3/3*"]
    assert cells[-1] == ["depth limit", "≥ 4 nothing sure", "≥ 4 nothing sure"]
    assert shown.locator("th:not([scope])").count() == 0
    assert shown.locator("table").count() == shown.locator("caption").count()
    rates = shown.locator(".listing").last
    assert rates.locator("thead th").all_text_contents() == ["depth", "residual", "0.001", "0.01"]
    assert rates.locator("tbody tr").first.locator("td").all_text_contents() == [
        "77 1/3",
        "10 3/3 ◂",
    ]


def test_points_have_tooltips(lives: WrittenStudy, show: Callable[..., Page]) -> None:
    shown = show(made(lives.findings()))
    titles = shown.locator("figure title").all_text_contents()
    assert "add, post, depth 4, seed 0: solved at step 40, learning rate 0.01" in titles
    assert "plain, post, depth 2, learning rate 0.001: 0 of 3 seeds solved" in titles
    assert (
        shown.locator("svg[role=img][aria-label]").count() == shown.locator("figure").count() == 6
    )


@pytest.mark.parametrize("width", [400, 1200])
def test_a_page_never_scrolls_sideways(
    lives: WrittenStudy, show: Callable[..., Page], width: int
) -> None:
    findings = lives.findings(["resformer", "w" * 900], {"torch": "2" * 300, "w" * 200: "x"})
    summary = summarise(findings)
    summary = dataclasses.replace(
        summary,
        settings={**summary.settings, "w" * 300: "w" * 300},
        study="w" * 300,
        damaged=(DamagedJob(study="lived", job=None, reason="w" * 300),),
    )
    wide = show(made(findings, summary, ["w" * 900]), width=width)
    assert wide.evaluate("document.documentElement.scrollWidth") <= width
    many = WrittenStudy(lives.study.path.parent, "many", lives.shape)
    for norm, batch in itertools.product(
        ("none", "pre", "post", "sandwich", "pre_post", "branch"), (8, 16, 32)
    ):
        many.cell([solved(20)], depth=1, norm=norm, batch=batch)
    shown = show(made(many.findings()), width=width)
    assert shown.evaluate("document.documentElement.scrollWidth") <= width


def test_the_answer_is_a_headline_and_a_line_per_sentence(
    lives: WrittenStudy, show: Callable[..., Page]
) -> None:
    findings = lives.findings()
    shown = show(made(findings))
    assert shown.locator(".headline").count() == 1
    lines = shown.locator(".answer li").all_inner_texts()
    assert lines == answer(summarise(findings))


def many_columns(lives: WrittenStudy) -> Findings:
    many = WrittenStudy(lives.study.path.parent, "many", lives.shape)
    for batch in range(8, 22):
        for depth in (1, 2, 4):
            life = solved(20) if depth <= (1, 2, 4)[batch % 3] else unsolved()
            many.cell([life], depth=depth, batch=batch)
    return many.findings()


def test_a_table_of_many_columns_is_turned_and_sorted_by_limit(
    lives: WrittenStudy, show: Callable[..., Page]
) -> None:
    shown = show(made(many_columns(lives)))
    assert shown.locator(".turned").count() == 1
    assert shown.locator(".turned thead th").all_inner_texts() == ["depth", "1", "2", "4", "limit"]
    limits = [text.split()[:2] for text in shown.locator(".turned .foot").all_inner_texts()]
    reached = [int(words[1] if words[0] == "≥" else words[0]) for words in limits]
    assert reached == sorted(reached, reverse=True)
    assert len(reached) == 14


@pytest.mark.parametrize(("width", "scrolls"), [(400, True), (1200, False)])
def test_what_scrolls_shows_it_by_a_shadow_at_its_edge(
    lives: WrittenStudy, show: Callable[..., Page], width: int, scrolls: bool
) -> None:
    shown = show(made(many_columns(lives)), width=width)
    region = shown.locator(".wide").first
    assert region.evaluate("e => e.scrollWidth > e.clientWidth") is scrolls

    def edge() -> int:
        """The darkest pixel of the last column above the table's first line."""
        image = Image.open(io.BytesIO(region.screenshot())).convert("L")
        return min(image.getpixel((image.width - 1, y)) for y in range(5))  # type: ignore[type-var, return-value]

    assert (edge() < 250) is scrolls
    region.evaluate("e => e.scrollLeft = e.scrollWidth")
    assert edge() == 255


# The contrast of every text with what it is painted on: the page, or the tile below it in a figure.
CONTRASTS = """() => {
  const parts = text => text.match(/[\\d.]+/g).map(Number);
  const over = ([r, g, b, a = 1], below) =>
    [r, g, b].map((part, place) => a * part + (1 - a) * below[place]);
  const luminance = rgb => rgb.map(part => part / 255)
    .map(part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
    .reduce((sum, part, place) => sum + part * [0.2126, 0.7152, 0.0722][place], 0);
  const backdrop = element => {
    if (!element) return [255, 255, 255];
    const colour = parts(getComputedStyle(element).backgroundColor);
    return colour.length === 4 && colour[3] === 0
      ? backdrop(element.parentElement) : over(colour, [255, 255, 255]);
  };
  const tile = element => {
    const box = element.getBoundingClientRect();
    const below = document.elementsFromPoint(box.x + box.width / 2, box.y + box.height / 2)
      .filter(other => other.tagName === 'path' && getComputedStyle(other).fill.startsWith('rgb'));
    return below.length ? parts(getComputedStyle(below[0]).fill) : backdrop(element);
  };
  document.querySelectorAll('details').forEach(element => element.open = true);
  const found = [];
  for (const element of document.querySelectorAll('body *')) {
    const own = [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim());
    if (!own || element.tagName === 'title') continue;
    const drawn = element instanceof SVGElement, style = getComputedStyle(element);
    const colour = parts(drawn ? style.fill : style.color);
    const below = drawn ? tile(element) : backdrop(element);
    const alpha = (colour[3] ?? 1) * (drawn ? style.fillOpacity : 1) * style.opacity;
    const lit = [luminance(over([...colour.slice(0, 3), alpha], below)), luminance(below)];
    found.push([(Math.max(...lit) + 0.05) / (Math.min(...lit) + 0.05), element.textContent.trim()]);
  }
  return found;
}"""


def test_a_page_has_enough_contrast_in_light_and_dark(
    lives: WrittenStudy, show: Callable[..., Page]
) -> None:
    text = made(lives.findings())
    backgrounds = []
    for scheme in ("light", "dark"):
        shown = show(text, scheme=scheme)
        height = shown.evaluate("document.documentElement.scrollHeight")
        shown.set_viewport_size({"width": 1200, "height": height + 2000})
        backgrounds.append(
            shown.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        )
        contrasts = shown.evaluate(CONTRASTS)
        assert len(contrasts) > 200
        assert [(contrast, text) for contrast, text in contrasts if contrast < 4.5] == []
    assert backgrounds == ["rgb(255, 255, 255)", "rgb(20, 22, 26)"]


def test_a_page_prints_on_white_with_everything_open(
    lives: WrittenStudy, show: Callable[..., Page]
) -> None:
    shown = show(made(lives.findings()), scheme="dark", media="print", width=794)
    assert (
        shown.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        == "rgb(255, 255, 255)"
    )
    assert shown.locator("details table").last.bounding_box()["height"] > 100  # type: ignore[index]
    assert shown.evaluate(
        "[...document.querySelectorAll('.wide')].every(e => e.scrollWidth <= e.clientWidth)"
    )
    printed = shown.pdf(format="A4")
    assert printed.startswith(b"%PDF")
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) > 1


def structure(shown: Page) -> Any:
    """Number of elements of each kind with each set of attributes."""
    return shown.evaluate(
        """() => {
          const found = {};
          for (const element of document.querySelectorAll('*')) {
            const names = [...element.attributes].map(attribute => attribute.name).sort();
            const key = [element.namespaceURI, element.tagName, ...names].join(' ');
            found[key] = (found[key] ?? 0) + 1;
          }
          return found;
        }"""
    )


def test_names_that_users_choose_add_no_element(
    lives: WrittenStudy, show: Callable[..., Page]
) -> None:
    findings = {}
    for kind, texts in {
        "hostile": HOSTILE,
        "harmless": [f"text {number}" for number in range(len(HOSTILE))],
    }.items():
        there = WrittenStudy(lives.study.path.parent, kind, lives.shape)
        there.jobs = lives.jobs
        findings[kind] = there.findings(texts, {text: text for text in texts}), texts
    hostile, harmless = (
        structure(show(made(outcomes, named_everywhere(summarise(outcomes), texts), texts)))
        for outcomes, texts in findings.values()
    )
    assert sum(hostile.values()) > 1500
    assert hostile == harmless


def named_everywhere(report: Report, texts: Sequence[str]) -> Report:
    return dataclasses.replace(
        report,
        study=" ".join(texts),
        settings={text: text for text in texts},
        differing={text: dict.fromkeys(texts[:3], text) for text in texts},
        excluded=tuple(Excluded(settings={text: text}, reason=text) for text in texts),
        missing=tuple(MissingJob(study=text, job=text, members=1, settings=text) for text in texts),
        damaged=tuple(DamagedJob(study=text, job=text, reason=text) for text in texts),
        failed=tuple(
            FailedJob(study=text, job=text, members=1, settings=text, reason=text) for text in texts
        ),
    )


def test_names_of_columns_add_no_element(lives: WrittenStudy, show: Callable[..., Page]) -> None:
    """Thirty columns at a time."""
    number = 30
    there = WrittenStudy(lives.study.path.parent, "columns", lives.shape)
    for batch in range(number):
        there.cell({1e-3: [unsolved()], 1e-2: [solved(20)]}, depth=1, batch=batch + 1)
    findings = there.findings()
    summary = summarise(findings)

    def structure_with(names: Sequence[str]) -> Any:
        return structure(show(made(*renamed(findings, summary, names))))

    harmless = structure_with([f"text {column}" for column in range(number)])
    for start in range(0, len(HOSTILE), number):
        first = min(start, len(HOSTILE) - number)
        assert structure_with(HOSTILE[first : first + number]) == harmless, start


def renamed(findings: Findings, report: Report, names: Sequence[str]) -> tuple[Findings, Report]:
    """The same with words instead of sizes of batches."""
    key = "train.batch"
    words = pd.Series([names[batch - 1] for batch in findings.members[key]], dtype=object)
    members = findings.members.assign(**{key: words})

    def with_words(row: Any) -> Any:
        of_cell = isinstance(row.key, CellKey)
        arm = row.key.arm if of_cell else row.key
        further = tuple(
            (axis, names[value - 1] if axis == key else value) for axis, value in arm.further
        )
        arm = dataclasses.replace(arm, further=further)
        new_key = dataclasses.replace(row.key, arm=arm) if of_cell else arm
        return dataclasses.replace(row, key=new_key)

    named = dataclasses.replace(
        report,
        cells=tuple(map(with_words, report.cells)),
        rates=tuple(map(with_words, report.rates)),
        limits=tuple(map(with_words, report.limits)),
        comparisons=tuple(map(with_words, report.comparisons)),
    )
    return dataclasses.replace(findings, load=lambda: members), named


def test_missing_jobs_are_announced_at_the_top(
    lives: WrittenStudy, show: Callable[..., Page]
) -> None:
    findings = lives.findings()
    failed = FailedJob(study="lived", job="j", members=2, settings="s", reason="boom")
    summary = dataclasses.replace(summarise(findings), failed=(failed,))
    shown = show(made(findings, summary))
    assert (
        shown.locator(".warning").inner_text()
        == "Something of the study is missing here: see below."
    )
    assert "j (s): boom" in shown.locator("#notes").inner_text()


def test_several_studies_say_what_they_differ_in(
    lives: WrittenStudy, show: Callable[..., Page]
) -> None:
    lives.findings()
    other = WrittenStudy(lives.study.path.parent, "other", lives.shape)
    other.cell([solved(20), solved(30)], depth=1, steps=90)
    other.findings()
    shown = show(made(read([lives.study, other.study])))
    assert (
        "train.steps: 100 (lived), 90 (other)"
        in shown.locator("main section ul").first.inner_text()
    )
    assert shown.locator("h3").all_inner_texts() == ["lived", "other"]


def test_unknown_values_are_never_shown_as_none(
    lives: WrittenStudy, show: Callable[..., Page]
) -> None:
    there = WrittenStudy(lives.study.path.parent, "little", lives.shape)
    there.cell([Life([3.0], diverged=0)], depth=1)
    findings = there.findings()
    summary = summarise(findings)
    unknown: dict[str, Any] = dict.fromkeys(
        ("lr_at_edge", "median", "mean", "final_loss", "final_accuracy")
    )
    cells = tuple(dataclasses.replace(cell, **unknown) for cell in summary.cells)
    summary = dataclasses.replace(summary, cells=cells)
    assert "None" not in show(made(findings, summary)).inner_text("body")


def test_rows_other_than_depth_have_the_depth_limits_apart(
    lives: WrittenStudy, show: Callable[..., Page]
) -> None:
    findings = lives.findings()
    summary = summarise(findings)
    shown = show(page(findings, summary, layout(summary, "residual"), COMMAND))
    assert shown.locator("h2").all_inner_texts()[1] == "Depth limits"
    limits = shown.locator(".listing").first
    assert limits.locator("tbody tr").first.inner_text().split() == [
        "add",
        *["≥", "4", "nothing", "sure"],
    ]


def test_report_writes_a_whole_page_or_says_why_not(
    lives: WrittenStudy, resformer: Callable[..., Result], tmp_path: Path
) -> None:
    lives.findings()
    done = resformer("report", "lived", "--html", "page.html")
    assert (done.exit_code, done.stderr.splitlines()[-1]) == (0, "page.html")
    assert (tmp_path / "page.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    for where, why in (
        ("nowhere/page.html", "cannot be written ("),
        (".", "is a folder; name a file"),
        ("page.html/page.html", "cannot be written: Not a dir"),
    ):
        refused = resformer("report", "lived", "--html", where)
        assert (refused.exit_code, refused.stdout) == (2, "")
        assert f"--html {where}: {why}" in refused.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["page.html", "results"]


def test_a_page_goes_where_a_link_or_a_pipe_leads(
    lives: WrittenStudy, resformer: Callable[..., Result], tmp_path: Path
) -> None:
    """Neither is replaced by a file."""
    lives.findings()
    (tmp_path / "pages").mkdir()
    (tmp_path / "link").symlink_to("pages/page.html")
    for _ in ("new", "replaced"):
        assert resformer("report", "lived", "--html", "link").exit_code == 0
    assert (tmp_path / "link").is_symlink()
    assert [path.name for path in (tmp_path / "pages").iterdir()] == ["page.html"]
    os.mkfifo(tmp_path / "pipe")
    with subprocess.Popen(["cat", tmp_path / "pipe"], stdout=subprocess.PIPE) as reader:
        assert resformer("report", "lived", "--html", "pipe").exit_code == 0
        piped = reader.communicate(timeout=10)[0]
    assert (tmp_path / "pipe").is_fifo()
    for written in (piped, (tmp_path / "pages" / "page.html").read_bytes()):
        assert written.startswith(b"<!doctype html>")
        assert written.endswith(b"</html>")


@pytest.mark.parametrize(
    ("where", "why"), [("loop", "Too many levels of symbolic links"), ("-", "is no file; name one")]
)
def test_no_page_is_written_where_no_file_is_named(
    lives: WrittenStudy, resformer: Callable[..., Result], tmp_path: Path, where: str, why: str
) -> None:
    lives.findings()
    (tmp_path / "loop").symlink_to("loop")
    check_refused(resformer("report", "lived", "--html", where), why)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["loop", "results"]


def test_a_page_that_cannot_be_written_leaves_nothing(lives: WrittenStudy, tmp_path: Path) -> None:
    findings = lives.findings()
    summary = summarise(findings)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(
        UserError, match=r"--html .*cannot be written \(.* bytes\): File name too long"
    ):
        write(tmp_path / ("w" * 250), findings, summary, layout(summary), COMMAND)
    assert sorted(tmp_path.iterdir()) == before
