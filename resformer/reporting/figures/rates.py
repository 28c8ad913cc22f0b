"""Figure of the learning rates: a tile per rate and row of the report, a panel per series."""

from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from resformer.keys import as_typed
from resformer.reporting.figures.axes import axis_title, grid, panel_width
from resformer.reporting.figures.data import PanelData, Position
from resformer.reporting.figures.marks import Tips
from resformer.reporting.figures.style import FAINT, INK, SMALL, Series, shortened, width_of
from resformer.reporting.schema import Rate
from resformer.reporting.text.words import UNITS, amount
from resformer.text import printable

CAPTION = (
    "Learning rates. In each tile: the mean of the {unit} to solve, within the budget, which "
    "colours it, darker for "
    "quicker; and seeds solved of seeds. Hatched: none solved. Framed: the rate that most seeds "
    "are scored at."
)
_ACROSS, _RIGHT = 4, 0.12
_HEIGHT, _NARROWEST = 0.34, 0.32
"""Height of a tile and least width of one with text, in inches."""
_LEAST = 0.85
"""Least height of a panel, in inches."""
_MARGIN = 0.05
"""Share of a tile between it and its edge."""


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
        below=0.36 + max(width_of(label, SMALL) for label in labels) if upright else 0.42,
    )
    first = page.panels[0]
    first.set_xlim(-0.5, len(panel.rows) - 0.5)
    first.set_ylim(-0.5, len(lrs) - 0.5)
    first.set_yticks(range(len(lrs)), [f"{lr:g}" for lr in lrs])
    first.set_xticks(range(len(labels)), labels, rotation=90 if upright else 0)
    for axes, series in zip(page.panels, panel.columns, strict=True):
        axes.set_title(shortened(data.label(series), panel_width(across, _RIGHT)))
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
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
    side = 1 - 2 * _MARGIN
    text_style: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": SMALL}
    frame: dict[str, Any] = {"fill": False, "edgecolor": INK, "linewidth": 1.1, "clip_on": False}
    for x, row in enumerate(data.panel.rows):
        for rate in data.rates.get((row, series), []):
            y, steps = lrs.index(rate.lr), rate.mean
            colour = None if steps is None else _colour(data, steps)
            tile: dict[str, Any] = (
                {"facecolor": "none", "edgecolor": FAINT, "hatch": "////", "label": "none solved"}
                if colour is None
                else {"facecolor": colour, "label": "solved"}
            )
            gid = tips.add(_describe(data, (row, series), rate))
            corner = (x - side / 2, y - side / 2)
            axes.add_patch(Rectangle(corner, side, side, linewidth=0, gid=gid, **tile))
            if written:
                mean = "" if steps is None else f"\n{amount(steps, data.per)}"
                text = f"{rate.solved}/{rate.seeds}{mean}"
                axes.text(x, y, text, linespacing=1.05, color=_ink(colour), **text_style)
            if data.panel.cells[row, series].lr == rate.lr:
                axes.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, label="scored at", **frame))


def _colour(data: PanelData, steps: float) -> str:
    """Colour of a number of steps: darker for fewer, logarithmic, on a scale that panels share."""
    means = [rate.mean for rates in data.rates.values() for rate in rates if rate.mean is not None]
    scale = LogNorm(max(1.0, min(means)), max(2.0, *means))
    return to_hex(mpl.colormaps["cividis"](scale(max(1.0, steps))))


def _ink(background: str | None) -> str:
    """Colour of a text that can be read on this background."""
    if background is None:
        return INK
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in to_rgb(background)
    ]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    # Black and white have the same contrast at this luminance (WCAG 2).
    return "white" if luminance < 0.179 else "black"


def _describe(data: PanelData, position: Position, rate: Rate) -> str:
    """Tooltip of a tile."""
    row, series = position
    within = ""
    if rate.mean is not None:
        mean = f"{amount(rate.mean, data.per)} {UNITS[data.per]}"
        within = f", on average after {mean} within the budget"
    return (
        f"{data.label(series)}, {data.row_label(row)}, learning rate {rate.lr:g}: "
        f"{rate.solved} of {rate.seeds} seeds solved{within}"
    )
