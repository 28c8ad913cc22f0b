"""Figure of the learning rates: a tile per rate and row of the report, a panel per series."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from resformer.keys import as_typed
from resformer.reporting.figures.axes import axis_title, grid, panel_width
from resformer.reporting.figures.data import PanelData, Position
from resformer.reporting.figures.marks import Tips
from resformer.reporting.figures.style import INK, SMALL, Series, shortened, width_of
from resformer.reporting.figures.tiles import bare, colour_of, tile
from resformer.reporting.schema import Rate
from resformer.text import printable

CAPTION = (
    "Learning rates. In each tile: {of_rate}, which colours it, darker for {less}; and seeds "
    "solved of seeds.{hatched_rate} Framed: the rate that most seeds are scored at."
)
_ACROSS, _RIGHT = 4, 0.12
_HEIGHT, _NARROWEST = 0.34, 0.32
"""Height of a tile and least width of one with text, in inches."""
_LEAST = 0.85
"""Least height of a panel, in inches."""


def draw(data: PanelData, tips: Tips) -> Figure | None:
    """Draw the figure; adds the tooltips of its tiles. None if there is one learning rate only."""
    panel = data.panel
    lrs = sorted({rate.lr for rates in data.rates.values() for rate in rates})
    if len(lrs) < 2:
        return None
    fitting = [number for number in range(1, _ACROSS + 1) if _tile(number, data) >= _NARROWEST]
    across = max(fitting, default=1)
    labels = [printable(as_typed(row)) for row in panel.rows]
    upright = max(map(width_of, labels)) > _tile(across, data)
    page = grid(
        len(panel.columns),
        across,
        height=max(_HEIGHT * len(lrs), _LEAST),
        right=_RIGHT,
        heading=panel.title,
        below=0.36 + max(width_of(label, SMALL) for label in labels) if upright else 0.42,
    )
    first = page.panels[0]
    first.set_yticks(range(len(lrs)), [f"{lr:g}" for lr in lrs])
    first.set_xticks(range(len(labels)), labels, rotation=90 if upright else 0)
    for axes, series in zip(page.panels, panel.columns, strict=True):
        axes.set_title(shortened(data.label(series), panel_width(across, _RIGHT)))
        bare(axes, len(panel.rows), len(lrs))
        _panel(axes, data, series, lrs, tips, written=_tile(across, data) >= _NARROWEST)
    page.label(axis_title(panel.layout.rows), "learning rate")
    return page.figure


def _tile(across: int, data: PanelData) -> float:
    """Width of a tile, in inches, if so many panels stand side by side."""
    return panel_width(across, _RIGHT) / len(data.panel.rows)


def _panel(
    axes: Axes, data: PanelData, series: Series, lrs: list[float], tips: Tips, *, written: bool
) -> None:
    """Draw a series' tiles, with their numbers if `written`."""
    frame: dict[str, Any] = {"fill": False, "edgecolor": INK, "linewidth": 1.1, "clip_on": False}
    for x, row in enumerate(data.panel.rows):
        for rate in data.rates.get((row, series), []):
            y, number = lrs.index(rate.lr), data.result(rate)
            text = "" if number is None else f"\n{data.result_words(number)}"
            tile(
                axes,
                x,
                y,
                f"{rate.solved}/{rate.seeds}{text}" if written else "",
                colour=None if number is None else colour_of(number, data.scale),
                label="missing" if number is None else "known",
                gid=tips.add(_describe(data, (row, series), rate)),
            )
            if data.panel.cells[row, series].lr == rate.lr:
                axes.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, label="scored at", **frame))


def _describe(data: PanelData, position: Position, rate: Rate) -> str:
    """Tooltip of a tile."""
    row, series = position
    words, number = f"{rate.solved} of {rate.seeds} seeds solved", data.result(rate)
    if number is not None:
        words += (
            f", median final loss {number:.2g}"
            if data.panel.score == "final_loss"
            else f", on average after {data.result_words(number, unit=True)} within the budget"
        )
    return f"{data.label(series)}, {data.row_label(row)}, learning rate {rate.lr:g}: {words}"
