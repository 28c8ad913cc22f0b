"""`resformer report`: studies, selections, damage, figures and formats."""

import csv
import io
import json
import signal
from pathlib import Path

import pytest
from support.commands import Resformer, check_refused, sweep_here
from support.studies import SEEDS, STALLED, WrittenStudy, shape
from support.sweeps import TINY
from typer.testing import Result

from resformer.residuals.add import Add
from resformer.residuals.plain import Plain
from resformer.results import members
from resformer.store.study import Study
from resformer.workers.signals import Stopped

FAST = [100, 120, 110, 90, 130]


@pytest.fixture
def studies(tmp_path: Path) -> tuple[WrittenStudy, WrittenStudy]:
    """`first`, and `second` which differs in its batch and holds pre-norm only."""
    first, second = (
        WrittenStudy(tmp_path / "results", "first"),
        WrittenStudy(tmp_path / "results", "second"),
    )
    for depth in (1, 8):
        for norm in ("post", "pre"):
            first.job(shape(depth, Plain(), norm), SEEDS, FAST if depth == 1 else [STALLED] * 5)
            first.job(shape(depth, Add(), norm), SEEDS, FAST)
        second.job(shape(depth, Add(), "pre", batch=64), SEEDS, FAST)
    first.write()
    second.write()
    return first, second


def out(result: Result) -> str:
    assert result.exit_code == 0, result.stderr
    return " ".join(result.stdout.split())


@pytest.mark.usefixtures("studies")
def test_two_studies_are_reported_side_by_side(resformer: Resformer) -> None:
    text = out(resformer("report", "first", "second"))
    assert "first, second: copy" in text
    assert "train.batch: 32 (first), 64 (second)" in text
    assert "copy (first). How deep, post-norm: with residual connections stacks train" in text
    assert "copy (second). How deep" in text
    summary = json.loads(resformer("report", "first", "second", "--format", "json").stdout)
    assert [cell["study"] for cell in summary["cells"]] == ["first"] * 8 + ["second"] * 2
    assert summary["differing"] == {"train.batch": {"first": 32, "second": 64}}


@pytest.mark.usefixtures("studies")
def test_a_study_named_twice_is_reported_once(resformer: Resformer) -> None:
    assert (
        json.loads(resformer("report", "first", "first", "--format", "json").stdout)["study"]
        == "first"
    )


@pytest.mark.usefixtures("studies")
def test_where_rows_and_columns_select_cells_and_axes(resformer: Resformer) -> None:
    text = out(
        resformer("report", "first", "--where", "model.norm=pre", "--where", "model.residual=true")
    )
    assert "add depth pre" in text
    assert "plain" not in text.partition("median steps")[0]
    across = resformer(
        "report", "first", "--rows", "norm", "--columns", "depth", "--format", "markdown"
    ).stdout
    assert "| norm | depth 1 | depth 8 |" in across
    assert "**plain**" in across
    both = resformer(
        "report", "first", "--rows", "norm", "--columns", "residual,depth", "--format", "markdown"
    ).stdout
    assert "| norm | plain, depth 1 | plain, depth 8 | add, depth 1 | add, depth 8 |" in both


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--where", "norm"], "--where norm: must be KEY=VALUE"),
        (
            ["--where", "model.nrom=pre"],
            "--where model.nrom: is no setting; did you mean norm?",
        ),
        (["--where", "model.norm = none"], "--where model.norm=none: there are post, pre"),
        (["--where", "model.norm=none"], "--where model.norm=none: there are post, pre"),
        (["--where", "depth=1", "--where", "depth=8"], "--where depth=8: depth is given twice"),
        (
            ["--rows", "model.width"],
            "--rows model.width: is no axis of this report; there are study, task, depth",
        ),
        (["--columns", "depth"], "--rows depth --columns depth: an axis is named twice"),
    ],
)
@pytest.mark.usefixtures("studies")
def test_a_choice_that_fits_nothing_is_one_line(
    resformer: Resformer, words: list[str], message: str
) -> None:
    check_refused(resformer("report", "first", *words), message)


@pytest.mark.usefixtures("studies")
def test_an_unknown_study_beside_a_known_one_is_refused(resformer: Resformer) -> None:
    check_refused(
        resformer("report", "first", "third"), "study third: is not in results; there are"
    )


@pytest.mark.usefixtures("studies")
def test_figures_follow_the_layout(resformer: Resformer, tmp_path: Path) -> None:
    result = resformer(
        "report", "first", "--rows", "norm", "--where", "depth=8", "--figures", "drawn"
    )
    assert result.exit_code == 0, result.stderr
    names = {path.name for path in (tmp_path / "drawn").iterdir()}
    assert {"steps-copy.svg", "steps-copy.png", "solved-copy.svg", "curves-copy.svg"} <= names


def test_a_damaged_curve_is_named_and_its_job_left_out(
    resformer: Resformer, studies: tuple[WrittenStudy, WrittenStudy], tmp_path: Path
) -> None:
    first, _ = studies
    path = first.study.job(first.jobs[0][0].id) / "attempt-1" / "curves.parquet"
    path.write_bytes(path.read_bytes()[:-1])
    result = resformer("report", "first", "--figures", "drawn")
    assert result.exit_code == 0, result.stderr
    note = f"damaged and left out: {path.relative_to(tmp_path)}: not the bytes that were committed"
    assert "".join(note.split()) in "".join(result.stdout.split())  # a long path is folded


def halves(tmp_path: Path) -> None:
    """A study with half-octaves, of which three of five seeds solve depth 4."""
    made = WrittenStudy(tmp_path / "results", "halves")
    for depth, slow in ((2, 5), (3, 5), (4, 3), (6, 0), (8, 0)):
        made.job(shape(depth, Add(), "post"), SEEDS, [*FAST[:slow], *[STALLED] * (5 - slow)])
    made.write()


def test_a_fit_stands_beside_the_limit_in_every_view(resformer: Resformer, tmp_path: Path) -> None:
    halves(tmp_path)
    plain, fitted = (
        json.loads(resformer("report", "halves", *words, "--format", "json").stdout)
        for words in ([], ["--fit"])
    )
    (limit,) = fitted["limits"]
    fit = {name: limit.pop(name) for name in ("fit", "fit_low", "fit_high")}
    assert fitted == plain
    assert 3 < fit["fit_low"] < fit["fit"] < fit["fit_high"] < 6
    number, interval = f"{fit['fit']:.1f}", f"{fit['fit_low']:.1f}–{fit['fit_high']:.1f}"
    shown = {
        form: out(resformer("report", "halves", "--fit", "--format", form))
        for form in ("table", "markdown", "latex")
    }
    assert f"half {number} {interval}" in shown["table"]
    assert f"| half | {number} ({interval}) |" in shown["markdown"]
    assert f"half & {number} ({interval.replace('–', '--')})" in (shown["latex"])
    assert all("by a logistic fit" in text for text in (shown["table"], shown["markdown"]))
    out(resformer("report", "halves", "--fit", "--html", "page.html"))
    page = (tmp_path / "page.html").read_text()
    assert f"<b>{number}</b>" in page
    assert "by a logistic fit" in page


@pytest.mark.usefixtures("studies")
def test_a_fit_of_a_grid_without_half_octaves_is_refused(resformer: Resformer) -> None:
    check_refused(
        resformer("report", "first", "--fit"),
        "--fit: depths 1, 8 are all more than a factor of 1.5 apart",
    )


# --- formats, of members that were trained


@pytest.fixture
def unsolved(study: Study) -> Study:
    """A study of two seeds that did not solve."""
    sweep_here(study, *TINY, "member.seed=range(0,2)")
    return study


@pytest.mark.usefixtures("unsolved")
def test_report_takes_the_study_launched_last_but_not_train(resformer: Resformer) -> None:
    assert resformer("train", *TINY).exit_code == 0
    bare, named, trained = (resformer("report", *name) for name in ([], ["some"], ["train"]))
    assert (bare.exit_code, bare.stderr) == (0, "")
    assert bare.stdout == named.stdout
    assert bare.stdout.startswith("some: ")
    assert trained.stdout.startswith("train: ")


def printed(resformer: Resformer, form: str) -> str:
    result = resformer("report", "--format", form)
    assert (result.exit_code, result.stderr) == (0, "")
    return result.stdout


def refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


@pytest.mark.usefixtures("unsolved")
def test_report_prints_json(resformer: Resformer) -> None:
    summary = json.loads(printed(resformer, "json"), parse_constant=refuse_constant)
    assert summary["study"] == "some"
    assert [summary[name] for name in ("missing", "damaged", "failed", "excluded")] == [[]] * 4
    (cell,) = summary["cells"]
    expected = {
        "study": "some",
        "task": "copy",
        "depth": 1,
        "residual": "add",
        "norm": "post",
        "seeds": 2,
        "solved": 0,
        "unsolved": 2,
        "diverged": 0,
        "lr": 0.003,
    }
    unknown = ("median_steps", "median_low", "median_high", "mean_low", "mean_high")
    expected |= dict.fromkeys(unknown)
    assert {key: cell[key] for key in expected} == expected
    assert cell["final_loss"] > 0
    assert cell["ms_per_member_step"] > 0
    (limit,) = summary["limits"]
    assert [limit[name] for name in ("depth_limit", "low", "high", "depth_floor")] == [None] * 4


@pytest.mark.usefixtures("unsolved")
def test_report_prints_csv(resformer: Resformer) -> None:
    (row, *_) = csv.DictReader(io.StringIO(printed(resformer, "csv")))
    assert row["table"] == "cells"
    values = [row[name] for name in ("study", "depth", "seeds", "median_steps")]
    assert values == ["some", "1", "2", ""]
    assert json.loads(row["lr_by_seed"]) == {"0": 0.003, "1": 0.003}


@pytest.mark.usefixtures("unsolved")
def test_report_prints_markdown(resformer: Resformer) -> None:
    lines = printed(resformer, "markdown").splitlines()
    rows = [line.split("|")[1:-1] for line in lines if line.startswith("|")]
    head, rule, depth, limit = ([cell.strip() for cell in row] for row in rows)
    assert (head, rule) == (["depth", "add post"], ["---:", "---:"])
    assert depth[0] == "1"
    assert "0/2" in depth[1]
    assert limit == ["limit", "none"]


@pytest.mark.usefixtures("unsolved")
def test_report_prints_latex(resformer: Resformer) -> None:
    lines = printed(resformer, "latex").splitlines()
    source = [line for line in lines if line and not line.startswith("%")]
    assert (source[0], source[-1]) == (r"\begin{tabular}{rr}", r"\end{tabular}")
    assert source.count(r"\toprule") == source.count(r"\bottomrule") == 1
    rows = [line for line in source if line.endswith(r"\\")]
    assert [row.count("&") for row in rows] == [1, 1, 1]
    assert rows[0] == r"depth & add post \\"


@pytest.mark.usefixtures("studies")
def test_a_report_that_is_interrupted_leaves_nothing_to_go_on_with(
    resformer: Resformer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(studies: list[Study]) -> None:
        raise Stopped(signal.SIGINT)

    monkeypatch.setattr(members, "read", interrupted)
    result = resformer("report", "first")
    assert (result.exit_code, result.stdout, result.stderr) == (130, "", "resformer: stopped\n")
