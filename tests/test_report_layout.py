"""The axis that runs down a table, the axes across, and those that make tables of their own."""

from pathlib import Path

import pytest
from support.studies import SEEDS, WrittenStudy, shape, unsolved

from resformer.errors import UserError
from resformer.reporting.analysis.summary import summarise
from resformer.reporting.layout import Layout, layout, panels
from resformer.reporting.schema import Report
from resformer.residuals.add import Add
from resformer.residuals.plain import Plain
from resformer.residuals.rezero import ReZero
from resformer.results.members import read
from resformer.tasks.sort import Sort


def grid(made: WrittenStudy) -> Report:
    for depth in (1, 8):
        for batch in (16, 32):
            made.job(shape(depth, Plain(), "post", batch=batch), SEEDS, [100] * 5)
            made.job(shape(depth, Add(), "pre", batch=batch), SEEDS, [100] * 5)
    return made.report()


def test_depth_runs_down_and_the_rest_across(made: WrittenStudy) -> None:
    report = grid(made)
    axes = layout(report)
    assert axes == Layout("depth", ("residual", "norm", "train.batch"), ())
    (panel,) = panels(report, axes)
    assert (panel.title, panel.label, panel.rows) == ("", "copy", [1, 8])
    assert [panel.heading(column) for column in panel.columns] == [
        ["plain", "post", "batch 16"],
        ["plain", "post", "batch 32"],
        ["add", "pre", "batch 16"],
        ["add", "pre", "batch 32"],
    ]
    assert panel.foot == ["limit"]
    assert panel.foot_words(panel.columns[0]) == [("≥ 8", "8–…")]


def test_any_axis_may_run_down_or_across(made: WrittenStudy) -> None:
    report = grid(made)
    axes = layout(report, "train.batch", ["model.depth"])
    assert axes == Layout("train.batch", ("depth",), ("residual", "norm"))
    first, second = panels(report, axes)
    assert (first.title, first.label, first.rows, first.columns) == (
        *("add, pre", "copy-add-pre"),
        *([16, 32], [(1,), (8,)]),
    )
    assert second.title == "plain, post"
    assert (first.row_heading, first.limits) == ("batch", {})


def test_down_a_number_of_the_task_columns_say_to_where_they_solve(made: WrittenStudy) -> None:
    """The longest length that half of the seeds solve, of those from the shortest on."""
    solving = {1: {4: 5, 8: 2, 16: 5}, 2: {4: 5, 8: 4, 16: 0}}
    for depth, by_length in solving.items():
        for length, solved in by_length.items():
            outcomes = [100] * solved + [1.0] * (5 - solved)
            task = Sort(length=length, symbols=16)
            made.job(shape(depth, Add(), "pre", task=task), SEEDS, outcomes)
    report = made.report()
    (panel,) = panels(report, layout(report, "task.length", ["depth"]))
    assert panel.foot == ["limit"]
    assert [panel.foot_words(column)[0] for column in panel.columns] == [
        ("4", "4–…"),
        ("8", "4–8"),
    ]


def test_depth_may_stand_apart_and_baselines_come_first_in_rows_too(made: WrittenStudy) -> None:
    report = grid(made)
    axes = layout(report, "model.residual", ["train.batch"])
    assert axes.apart == ("depth", "norm")
    assert [(panel.title, panel.rows) for panel in panels(report, axes)] == [
        *[("depth 1, pre", ["add"]), ("depth 1, post", ["plain"])],
        *[("depth 8, pre", ["add"]), ("depth 8, post", ["plain"])],
    ]
    across = layout(report, "model.residual", ["train.batch", "norm", "depth"])
    (panel,) = panels(report, across)
    assert panel.rows == ["plain", "add"]


def test_the_axis_that_varies_runs_down_where_depth_does_not(made: WrittenStudy) -> None:
    for width in (16, 32):
        made.job(shape(4, Add(), "post", batch=width), SEEDS, [100] * 5)
    assert layout(made.report()).rows == "train.batch"


def test_tasks_have_tables_of_their_own_and_studies_stand_side_by_side(tmp_path: Path) -> None:
    first, second = WrittenStudy(tmp_path, "first"), WrittenStudy(tmp_path, "second")
    sort = {"task": Sort(length=8, symbols=16)}
    for one in (first, second):
        one.job(shape(1, Add(), "post"), SEEDS, [100] * 5)
        one.job(
            type(shape(1, Add(), "post"))(**{**vars(shape(1, Add(), "post")), **sort}),
            SEEDS,
            [100] * 5,
        )
    report = summarise(read([first.write(), second.write()]))
    axes = layout(report)
    assert axes.apart == ("task",)
    assert [panel.columns for panel in panels(report, axes)] == [
        [("first", "add", "post"), ("second", "add", "post")]
    ] * 2


def test_baselines_come_first(made: WrittenStudy) -> None:
    for scheme in (ReZero(initial=0.0), Add(), Plain()):
        made.job(shape(1, scheme, "none"), SEEDS, [100] * 5)
    report = made.report()
    (panel,) = panels(report, layout(report))
    assert [column[0] for column in panel.columns] == ["plain", "add", "rezero"]


@pytest.mark.parametrize(
    ("rows", "columns", "message"),
    [
        (
            "width",
            [],
            r"--rows width: is no axis of this report; there are study, task, depth, residual, "
            r"norm, train",
        ),
        (None, ["model.width"], r"--columns model\.width: is no axis"),
        ("depth", ["depth"], r"--rows depth --columns depth: an axis is named twice"),
        (None, ["norm", "norm"], r"--columns norm,norm: an axis is named twice"),
    ],
)
def test_a_key_that_is_no_axis_is_refused(
    made: WrittenStudy, rows: str | None, columns: list[str], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        layout(grid(made), rows, columns)


def test_studies_stand_in_the_order_in_which_they_were_named(tmp_path: Path) -> None:
    written = [WrittenStudy(tmp_path / "results", name) for name in ("second", "first")]
    for study in written:
        study.cell([unsolved()] * 2, depth=1)
        study.write()
    report = summarise(read([study.study for study in written]))
    assert [cell.key.arm.study for cell in report.cells] == ["second", "first"]
    (panel,) = panels(report, layout(report))
    assert [values[0] for values in panel.columns] == ["second", "first"]
