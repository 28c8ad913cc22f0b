"""Heat map of the steps to solve, or of final losses: a line per series, a tile per row."""

import math

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from resformer.keys import as_typed
from resformer.reporting.figures.axes import axis_title, grid, panel_width
from resformer.reporting.figures.data import PanelData, Position
from resformer.reporting.figures.marks import Tips
from resformer.reporting.figures.style import SMALL, Series, shortened, width_of
from resformer.reporting.figures.tiles import bare, colour_of, tile
from resformer.reporting.schema import Cell
from resformer.text import printable

CAPTION = (
    "Median {result}, a line per column of the table: {order}. In each tile the median, which "
    "colours it, darker for {less}, and seeds solved of seeds where some did not. Hatched: "
    "{hatched}."
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
    ranked = by_limit_and_result(data)
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
    axes.set_title(f"median {data.result_name}")
    for y, series in enumerate(ranked):
        for x, row in enumerate(panel.rows):
            if (row, series) in panel.cells:
                _cell(axes, data, (row, series), (x, y), width, tips)
    if panel.limits:
        edge = len(rows) - 0.5 + _SPACE / width
        for y, text in enumerate(["limit", *limits], start=-1):
            axes.text(edge, y, text, fontsize=SMALL, va="center", gid="limit")
    return page.figure


def by_limit_and_result(data: PanelData) -> list[Series]:
    """Series by their limit, the largest first; equal ones, and those that have none, by the
    geometric mean of their results.
    """
    panel = data.panel

    def rank(series: Series) -> tuple[int, float]:
        reached = panel.limits[series].depth_limit if panel.limits else None
        results = [
            math.log(data.above_least(number))
            for cell in panel.column(series)
            if (number := data.result(cell)) is not None
        ]
        return -(reached or 0), sum(results) / len(results) if results else math.inf

    return sorted(panel.columns, key=rank)


def _cell(
    axes: Axes, data: PanelData, position: Position, xy: tuple[int, int], width: float, tips: Tips
) -> None:
    """Draw a cell's tile, with as much text as its width has room for."""
    cell, (row, series) = data.panel.cells[position], position
    number = data.result(cell)
    fitting = (text for text in _texts(cell, data) if width_of(text, SMALL) < 0.9 * width)
    solved = f"{cell.solved} of {cell.seeds} seeds solved"
    words = solved if number is None else f"{data.result_words(number, unit=True)}, {solved}"
    tile(
        axes,
        *xy,
        next(fitting, ""),
        colour=None if number is None else colour_of(number, data.scale),
        label="missing" if number is None else "known",
        gid=tips.add(f"{data.label(series)}, {data.row_label(row)}: {words}"),
    )


def _texts(cell: Cell, data: PanelData) -> list[str]:
    """Texts of a tile, the longest first."""
    count, number = f"{cell.solved}/{cell.seeds}", data.result(cell)
    if number is None:
        return [count]
    text = data.result_words(number)
    return [text] if cell.solved == cell.seeds else [f"{text}  {count}", text]
