"""Heat map of the steps to solve: a line per series, a tile per row of the report."""

import math

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from resformer.keys import as_typed
from resformer.reporting.figures.axes import axis_title, grid, panel_width
from resformer.reporting.figures.data import PanelData, Position
from resformer.reporting.figures.marks import Tips
from resformer.reporting.figures.style import SMALL, Series, shortened, width_of
from resformer.reporting.figures.tiles import bare, steps_colour, tile
from resformer.reporting.layout import Panel
from resformer.reporting.schema import Cell, Per
from resformer.reporting.text.words import UNITS, amount
from resformer.text import printable

CAPTION = (
    "{Unit} to solve, a line per column of the table: those with the deepest limit first, of equal "
    "ones the quickest. In each tile the median, which colours it, darker for quicker, and seeds "
    "solved of seeds where some did not. Hatched: fewer than half solved."
)
_LINE, _SPACE = 0.22, 0.1
"""Height of a tile, and space between tiles and names, in inches."""
_LONGEST = 2.2
"""Inches of the longest name."""


def draw(data: PanelData, tips: Tips) -> Figure | None:
    """Draw the figure; adds the tooltips of its tiles. None for series that lines tell apart, and
    for a single row.
    """
    panel = data.panel
    if not data.many or len(panel.rows) < 2:
        return None
    ranked = by_limit_and_steps(panel)
    names = [shortened(data.label(series), _LONGEST, SMALL) for series in ranked]
    limits = [panel.foot_words(series)[0][0] for series in ranked] if panel.limits else []
    left = max(width_of(name, SMALL) for name in names) + 2 * _SPACE
    right = max(width_of(text, SMALL) for text in ["limit", *limits]) + 2 * _SPACE
    rows = [printable(as_typed(row)) for row in panel.rows]
    width = panel_width(1, right, left) / len(rows)
    upright = max(width_of(row, SMALL) for row in rows) > width
    page = grid(
        1,
        1,
        height=_LINE * len(ranked),
        left=left,
        right=right,
        heading=panel.title,
        below=0.36 + max(width_of(row, SMALL) for row in rows) if upright else 0.42,
    )
    (axes,) = page.panels
    bare(axes, len(rows), len(ranked))
    axes.invert_yaxis()
    axes.set_yticks(range(len(names)), names)
    axes.set_xticks(range(len(rows)), rows, rotation=90 if upright else 0)
    axes.set_xlabel(axis_title(panel.layout.rows))
    axes.set_title(f"median {UNITS[data.per]} to solve")
    for y, series in enumerate(ranked):
        for x, row in enumerate(panel.rows):
            if (row, series) in panel.cells:
                _cell(axes, data, (row, series), (x, y), width, tips)
    if panel.limits:
        edge = len(rows) - 0.5 + _SPACE / width
        for y, text in enumerate(["limit", *limits], start=-1):
            axes.text(edge, y, text, fontsize=SMALL, va="center", gid="limit")
    return page.figure


def by_limit_and_steps(panel: Panel) -> list[Series]:
    """Series by their depth limit, the deepest first; equal ones by the geometric mean of their
    medians.
    """

    def rank(series: Series) -> tuple[int, float]:
        reached = panel.limits[series].depth_limit if panel.limits else None
        medians = [
            math.log(max(1.0, cell.median))
            for cell in panel.column(series)
            if cell.median is not None
        ]
        return -(reached or 0), sum(medians) / len(medians) if medians else math.inf

    return sorted(panel.columns, key=rank)


def _cell(
    axes: Axes, data: PanelData, position: Position, xy: tuple[int, int], width: float, tips: Tips
) -> None:
    """Draw a cell's tile, with as much text as its width has room for."""
    cell, (row, series) = data.panel.cells[position], position
    steps = cell.median
    texts = _texts(cell, data.per)
    fitting = (text for text in texts if width_of(text, SMALL) < 0.9 * width)
    tile(
        axes,
        *xy,
        next(fitting, ""),
        colour=None if steps is None else steps_colour(steps, data.steps),
        label="unsolved" if steps is None else "solved",
        gid=tips.add(f"{data.label(series)}, {data.row_label(row)}: {_words(cell, data.per)}"),
    )


def _texts(cell: Cell, per: Per) -> list[str]:
    """Texts of a tile, the longest first."""
    count = f"{cell.solved}/{cell.seeds}"
    if cell.median is None:
        return [count]
    median = amount(cell.median, per)
    return [median] if cell.solved == cell.seeds else [f"{median}  {count}", median]


def _words(cell: Cell, per: Per) -> str:
    """Tooltip of a tile."""
    solved = f"{cell.solved} of {cell.seeds} seeds solved"
    return solved if cell.median is None else f"{amount(cell.median, per)} {UNITS[per]}, {solved}"
