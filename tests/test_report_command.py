"""`resformer report` as a user types it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from support.studies import SEEDS, STALLED, WrittenStudy, shape
from typer.testing import Result

from resformer.residuals.add import Add
from resformer.residuals.plain import Plain

Resformer = Callable[..., Result]
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


def refused(result: Result, message: str) -> None:
    assert result.exit_code == 2
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert message in result.stderr


@pytest.mark.usefixtures("studies")
def test_two_studies_are_reported_side_by_side(resformer: Resformer) -> None:
    text = out(resformer("report", "first", "second"))
    assert "first, second: copy" in text
    assert "train.batch: 32 (first), 64 (second)" in text
    assert "copy (first) is solved with residual connections to depth 8" in text
    assert "copy (second) is solved with residual connections to depth 8" in text
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
def test_where_rows_and_columns_choose_what_is_shown(resformer: Resformer) -> None:
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
    assert "| norm | plain depth 1 | plain depth 8 | add depth 1 | add depth 8 |" in both


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--where", "norm"], "--where norm: must be KEY=VALUE"),
        (
            ["--where", "model.nrom=pre"],
            "--where model.nrom: is no setting; there are task, depth, residual, norm",
        ),
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
    refused(resformer("report", "first", *words), message)


@pytest.mark.usefixtures("studies")
def test_an_unknown_study_beside_a_known_one(resformer: Resformer) -> None:
    refused(resformer("report", "first", "third"), "study third: is not in results; there are")


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
