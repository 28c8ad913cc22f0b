"""Axes of a report by their part in its tables and figures: rows, columns, or a table each."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, final

from resformer.errors import UserError
from resformer.keys import Value, by_value, is_number, short
from resformer.reporting.analysis.pairs import BASELINES
from resformer.reporting.schema import Cell, Limit, Per, Rate, Report, Score
from resformer.reporting.text.words import cell, final_loss, fit, limit, value_label
from resformer.stats.depth import depth_run, limit_bounds

Row = TypeVar("Row", Cell, Rate, Limit)

_MANY, _FEW = 12, 8
"""Tables with more columns than `_MANY` and at most `_FEW` rows are turned."""


@final
@dataclass(frozen=True)
class Layout:
    """Axes of a report by their part in its tables."""

    rows: str
    columns: tuple[str, ...]
    apart: tuple[str, ...]
    """Axes with a table for each combination of their values."""


@final
@dataclass(frozen=True, kw_only=True)
class Panel:
    """Cells of one table, or of one figure of each kind."""

    layout: Layout
    apart: tuple[Value, ...]
    title: str
    """Values of the axes `apart`, in words."""
    label: str
    """Task and title as part of a file name."""
    rows: list[Value]
    columns: list[tuple[Value, ...]]
    """Values of the axes of columns, baselines first."""
    cells: dict[tuple[Value, tuple[Value, ...]], Cell]
    """By row and column; combinations that were not run are absent."""
    limits: dict[tuple[Value, ...], Limit]
    """By column: the last row of the unbroken run of those that are solved. Empty unless the rows
    are depths or numbers of the task, such as its length, and members are judged by their steps.
    """
    per: Per
    """Unit of the cells' medians."""
    score: Score
    """Result that the cells show."""

    @property
    def row_heading(self) -> str:
        """Name of the axis of the rows, without its section."""
        return self.layout.rows.rpartition(".")[2]

    def column(self, values: tuple[Value, ...]) -> list[Cell]:
        """Cells of a column from the first row to the last."""
        return [self.cells[row, values] for row in self.rows if (row, values) in self.cells]

    def cell_words(self, row: Value, values: tuple[Value, ...]) -> tuple[str, str]:
        """Text of the cell in a row and a column, and the interval under it."""
        shown = self.cells.get((row, values))
        return (final_loss(shown), "") if self.score == "final_loss" else cell(shown, self.per)

    @property
    def foot(self) -> list[str]:
        """Headings of the rows below those of the cells, which say to which row a column solves;
        none where there are no limits.
        """
        if not self.limits:
            return []
        fitted = any(limit.fit is not None for limit in self.limits.values())
        return ["limit", "half"] if fitted else ["limit"]

    def foot_words(self, values: tuple[Value, ...]) -> list[tuple[str, str]]:
        """A column's texts in the rows of `foot`, each with its interval."""
        tried = [row for row in self.rows if isinstance(row, int) and (row, values) in self.cells]
        return [
            (limit if heading == "limit" else fit)(self.limits[values], tried)
            for heading in self.foot
        ]

    @property
    def turned(self) -> bool:
        """True for so many columns that they are better read as rows."""
        return len(self.columns) > _MANY and len(self.rows) <= _FEW

    @property
    def by_limit(self) -> list[tuple[Value, ...]]:
        """Columns by their limit, the largest first; equal ones in their order."""
        return sorted(
            self.columns,
            key=lambda key: -(self.limits[key].depth_limit or 0) if self.limits else 0,
        )

    def heading(self, values: tuple[Value, ...]) -> list[str]:
        """Heading of a column, a line per axis."""
        return [
            value_label(axis, value)
            for axis, value in zip(self.layout.columns, values, strict=True)
        ]


def layout(report: Report, rows: str | None = None, columns: Sequence[str] = ()) -> Layout:
    """Choose a layout; UserError if an axis of `rows` or `columns` is unknown or named twice.

    By default depth runs down; or, where there is one depth only, the first other axis of numbers
    that has several values. Tasks and studies have tables of their own, except that several studies
    of one task stand side by side.
    """
    down = short(rows) if rows is not None else _default_rows(report)
    across = [short(column) for column in columns]
    for option, axis in (("--rows", down), *(("--columns", axis) for axis in across)):
        if axis not in report.axes:
            raise UserError(
                f"{option} {axis}: is no axis of this report; there are {', '.join(report.axes)}"
            )
    if len({down, *across}) <= len(across):
        raise UserError(
            f"--rows {down} --columns {','.join(across)}: an axis is named twice; name each once"
        )
    if not across:
        apart = ("task",) if "study" in report.varying else ("study", "task")
        across = [
            axis
            for axis in report.axes
            if axis in ("residual", "norm") or (axis in report.varying and axis not in apart)
        ]
        across = [axis for axis in across if axis != down]
    rest = [axis for axis in report.varying if axis != down and axis not in across]
    return Layout(down, tuple(across), tuple(rest))


def _default_rows(report: Report) -> str:
    if "depth" in report.varying:
        return "depth"
    numbers = (
        axis
        for axis in report.varying
        if all(is_number(cell.key.value(axis)) for cell in report.cells)
    )
    return next(numbers, "depth")


def panels(report: Report, layout: Layout) -> list[Panel]:
    """Panels of a report, in the order of its cells."""
    cells = _apart(report.cells, layout)
    limits = _apart(report.limits, layout) if layout.rows == "depth" else {}
    return [
        _panel(
            layout, apart, part, _limits(layout, part, limits.get(apart, []), report.score), report
        )
        for apart, part in cells.items()
    ]


def _limits(
    layout: Layout, cells: Sequence[Cell], of_depth: Sequence[Limit], score: Score
) -> dict[tuple[Value, ...], Limit]:
    """Limits by column: those of the report along the depth, and along a number of the task."""
    if score != "steps":
        return {}
    if layout.rows == "depth":
        return {limit.key.of(layout.columns): limit for limit in of_depth}
    rows = [cell.key.value(layout.rows) for cell in cells]
    if not layout.rows.startswith("task.") or not all(isinstance(row, int) for row in rows):
        return {}
    columns: dict[tuple[Value, ...], list[Cell]] = defaultdict(list)
    for each in sorted(cells, key=lambda each: by_value(each.key.value(layout.rows))):
        columns[each.key.of(layout.columns)].append(each)
    return {column: _limit(layout.rows, of_column) for column, of_column in columns.items()}


def _limit(axis: str, cells: Sequence[Cell]) -> Limit:
    """Limit of a column along an axis of its rows, ascending, as along the depth."""
    rows = [row for cell in cells if isinstance(row := cell.key.value(axis), int)]
    counts = [cell.solved for cell in cells], [cell.seeds for cell in cells]
    floor, reached = depth_run(rows, *counts)
    low, high = limit_bounds(rows, *counts)
    return Limit(key=cells[0].key.arm, depth_limit=reached, low=low, high=high, depth_floor=floor)


def _apart(rows: Sequence[Row], layout: Layout) -> dict[tuple[Value, ...], list[Row]]:
    groups = defaultdict(list)
    for row in rows:
        groups[row.key.of(layout.apart)].append(row)
    return groups


def _panel(
    layout: Layout,
    apart: tuple[Value, ...],
    cells: Sequence[Cell],
    limits: dict[tuple[Value, ...], Limit],
    report: Report,
) -> Panel:
    at = {(cell.key.value(layout.rows), cell.key.of(layout.columns)): cell for cell in cells}
    studies = [*dict.fromkeys(cell.key.arm.study for cell in report.cells)]
    words = [value_label(axis, cells[0].key.value(axis)) for axis in layout.apart]
    task = [] if "task" in layout.apart else [cells[0].key.arm.task]
    return Panel(
        layout=layout,
        apart=apart,
        title=", ".join(words),
        label="-".join(
            "".join(c if c.isalnum() or c in "._" else "-" for c in word)
            for word in [*task, *words]
        ),
        rows=sorted(
            dict.fromkeys(row for row, _ in at),
            key=lambda row: _order([layout.rows], [row], studies),
        ),
        columns=sorted(
            dict.fromkeys(column for _, column in at),
            key=lambda key: _order(layout.columns, key, studies),
        ),
        cells=at,
        limits=limits,
        per=report.per,
        score=report.score,
    )


def _order(
    names: Sequence[str], values: Sequence[Value], studies: Sequence[str]
) -> tuple[Any, ...]:
    """Sorting key of a row or column: baselines first, studies in their order, then by value."""
    firsts = {"residual": BASELINES, "study": studies}
    return tuple(
        (_rank(firsts.get(name, ()), value), by_value(value))
        for name, value in zip(names, values, strict=True)
    )


def _rank(firsts: Sequence[str], value: Value) -> int:
    """Position of a value among those that stand first; behind them for any other."""
    return firsts.index(str(value)) if value in firsts else len(firsts)
