"""The marked blocks of README.md and of the folders' README.md, and the links of these pages."""

import re
from pathlib import Path

import pytest

from lib import docs

ROOT = Path(__file__).parent.parent
PATTERNS = (*docs.PAGES, "results/reference/*.md", "results/reference/*/*.md")
PAGES = [path for pattern in PATTERNS for path in sorted(ROOT.glob(pattern))]

REPORT = "study\n\n  depth  steps\n      1     60\n\n  legend\n"
PAGE = """# A page

<!-- docs: file report.txt -->
<!-- /docs -->

Prose.

<!-- docs: file report.txt until "  legend" -->
an old number
<!-- /docs -->
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository with a page of two empty blocks and the file that they show."""
    (tmp_path / "report.txt").write_text(REPORT)
    (tmp_path / "README.md").write_text(PAGE)
    return tmp_path


def filled(root: Path, directive: str) -> list[str]:
    """Lines that a directive becomes in a page of the folder `pages`."""
    page = root / "pages" / "README.md"
    page.parent.mkdir(exist_ok=True)
    page.write_text(f"<!-- docs: {directive} -->\n<!-- /docs -->\n")
    assert docs.main([], root) == 0
    return page.read_text().splitlines()[1:-1]


def test_blocks_are_filled_and_all_else_is_left(root: Path) -> None:
    assert docs.main([], root) == 0
    first = f"```\n{REPORT}```\n"
    second = "```\nstudy\n\n  depth  steps\n      1     60\n```\n"
    expected = PAGE.replace("-->\n<!-- /", f"-->\n{first}<!-- /", 1)
    assert (root / "README.md").read_text() == expected.replace("an old number\n", second)


def test_a_check_of_filled_pages_is_silent(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    docs.main([], root)
    capsys.readouterr()
    assert docs.main(["--check"], root) == 0
    assert capsys.readouterr() == ("", "")


def test_a_stale_block_fails_the_check_with_its_place(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    docs.main([], root)
    capsys.readouterr()
    page = (root / "README.md").read_text()
    (root / "report.txt").write_text(REPORT.replace("legend", "legends"))
    assert docs.main(["--check"], root) == 1
    assert capsys.readouterr().out == "README.md:3: file report.txt: differs from line 10\n"
    assert (root / "README.md").read_text() == page


@pytest.mark.parametrize(
    ("old", "new"), [("60\n", "59\n"), ("study\n", ""), ("  legend\n", "  legend\nmore\n")]
)
def test_an_edit_by_hand_is_caught(root: Path, old: str, new: str) -> None:
    docs.main([], root)
    page = (root / "README.md").read_text()
    (root / "README.md").write_text(page.replace(old, new))
    assert docs.main(["--check"], root) == 1
    assert docs.main([], root) == 0
    assert (root / "README.md").read_text() == page


@pytest.mark.parametrize(
    ("directive", "reason"),
    [
        ("picture report.txt", "unknown directive picture; there are file, "),
        ("file missing.txt", "missing.txt: no such file or folder"),
        ("file .", ".: is not a file"),
        ('file report.txt until "end"', "report.txt: no line begins with 'end'"),
        ("file report.txt until", "file takes PATH, and until "),
        ('file "report.txt', "No closing quotation"),
        ("table report.txt 1", "report.txt: has no table with columns 1"),
        ("help nothing", "resformer nothing --help: "),
        ("file", "file: missing a required argument: 'name'"),
        ("fields resformer.nothing", "resformer/__init__.py: no such file"),
        ("variants .", ".: holds no YAML file"),
        ("modules nothing", "resformer/nothing: no such file or folder"),
        ("modules", "modules: name one at least"),
        ("packages", "packages: name one at least"),
        ("table report.txt", "name columns by their numbers from 1"),
        ("table report.txt 0", "name columns by their numbers from 1"),
        ("table report.txt -1", "name columns by their numbers from 1"),
    ],
)
def test_a_block_that_cannot_be_filled_is_one_line_and_nothing_is_written(
    root: Path, directive: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = PAGE.replace('file report.txt until "  legend"', directive)
    (root / "README.md").write_text(text)
    for words in ([], ["--check"]):
        assert docs.main(words, root) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("scripts/docs: README.md:8: ")
        assert reason in line
    assert (root / "README.md").read_text() == text


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (PAGE.removesuffix("<!-- /docs -->\n"), "README.md:8: the block is not closed"),
        (PAGE.replace("<!-- /docs -->\n", "", 1), "README.md:3: the block is not closed"),
        ("<!-- /docs -->\n", "README.md:1: closes a block that was not opened"),
        ("\n<!-- docs file report.txt -->\n", "README.md:2: markers are "),
    ],
)
def test_a_block_is_opened_and_closed(
    root: Path, text: str, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "README.md").write_text(text)
    assert docs.main([], root) == 2
    assert capsys.readouterr().err.startswith(f"scripts/docs: {place}")
    assert (root / "README.md").read_text() == text


def test_an_unknown_option_is_refused(root: Path) -> None:
    assert docs.main(["--chek"], root) == 2
    assert (root / "README.md").read_text() == PAGE


def test_parts_of_a_file(root: Path) -> None:
    assert filled(root, 'file report.txt until "  legend"') == [
        "```",
        *REPORT.split("\n")[:4],
        "```",
    ]
    assert filled(root, 'file report.txt from "  legend"') == ["```", "  legend", "```"]
    (root / "a.yaml").write_text("a: 1\n")
    assert filled(root, "file a.yaml") == ["```yaml", "a: 1", "```"]


def test_columns_of_a_table(root: Path) -> None:
    (root / "table.md").write_text(
        "# T\n\n|  | a | b |\n| --- | --- | --- |\n| 1 | x | y |\n\nEnd.\n"
    )
    assert filled(root, "table table.md 1 3") == ["|  | b |", "|---|---|", "| 1 | y |"]


def test_help_does_not_depend_on_the_terminal(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = filled(root, "help sweep")
    assert shown[1] == "Usage: resformer sweep [OPTIONS] [KEY=VALUE]..."
    assert max(map(len, shown)) <= 80
    for name, value in {"COLUMNS": "40", "TERMINAL_WIDTH": "40", "FORCE_COLOR": "1"}.items():
        monkeypatch.setenv(name, value)
    assert filled(root, "help sweep") == shown


def test_summaries_of_packages_and_modules(root: Path) -> None:
    (root / "resformer" / "tasks").mkdir(parents=True)
    (root / "resformer" / "keys.py").write_text('"""Keys. And more."""\n')
    (root / "resformer" / "tasks" / "__init__.py").write_text(
        '"""Tasks of\ntwo lines.\n\nMore."""\n'
    )
    (root / "resformer" / "tasks" / "copy.py").write_text('"""Say it again."""\n')
    assert filled(root, "packages keys tasks") == [
        "* [`keys.py`](../resformer/keys.py) Keys.",
        "* [`tasks/`](../resformer/tasks) Tasks of two lines.",
    ]
    assert filled(root, "modules tasks") == [
        "",
        "**[tasks/](../resformer/tasks)** Tasks of two lines.",
        "",
        "* [`copy.py`](../resformer/tasks/copy.py) Say it again.",
        "",
    ]


def test_fields_of_a_docstring(root: Path) -> None:
    (root / "lab").mkdir()
    docstring = (
        "Rows.\n\n        a, b.*    first\n                  and more\n        c\n"
        "                  third\n\n    Of a study.\n    "
    )
    (root / "lab" / "__init__.py").write_text(f'def runs():\n    """{docstring}"""\n')
    assert filled(root, "fields lab.runs")[2:] == [
        "| `a`, `b.*` | first and more |",
        "| `c` | third |",
    ]


def test_studies_and_the_time_that_they_took(root: Path) -> None:
    (root / "configs/study").mkdir(parents=True)
    for name in ("changed", "long", "quick"):
        grid = "- - task=copy,sort\n  - model.depth=1,2\n"
        (root / f"configs/study/{name}.yaml").write_text(f"# Is it {name}?\n{grid}")
    for name, deepest in (("changed", 4), ("long", 2)):
        folder = root / "results" / "reference" / name
        folder.mkdir(parents=True)
        (folder / "facts.json").write_text('{"core_seconds": 7320}')
        rows = [f"{task},{depth}\n" for task in ("copy", "sort") for depth in (1, deepest)]
        (folder / "members.csv").write_text("".join(["task,depth\n", *rows]))
    changed, long, quick = filled(root, "studies")[2:]
    assert changed.endswith("| Is it changed? | [not run anew](../results/reference/changed) |")
    assert long.endswith("| Is it long? | [1 h 01 min](../results/reference/long) |")
    assert quick == "| [`quick`](../configs/study/quick.yaml) | Is it quick? | not run |"


def test_variants_of_a_folder(root: Path) -> None:
    (root / "task").mkdir()
    (root / "task" / "copy.yaml").write_text("# @package _global_\n# say it again\nname: copy\n")
    assert filled(root, "variants task")[2:] == ["| [`copy`](../task/copy.yaml) | say it again |"]


def prose(page: Path) -> str:
    """A page without its code blocks."""
    return re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    text = prose(page)
    headings = {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    }
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, anchor = target.partition("#")
        if "://" not in target:
            assert (page.parent / path).exists(), target
            assert path or anchor in headings, target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_path_that_is_named_exists(page: Path) -> None:
    """NAME, STUDY, and the README's `fading` and `following` stand for files to come."""
    named = r"`((?:resformer|configs|scripts|tests|results/reference)/[\w./-]+)`"
    for path in re.findall(named, prose(page)):
        if not re.search(r"NAME|STUDY|fading|following", path):
            assert (ROOT / path).exists(), path
