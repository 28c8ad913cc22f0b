"""Which learning rates work where: a tile per rate and row of the report, a panel per column."""

from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from resformer.keys import as_typed
from resformer.reporting.figures.frame import frame, lowest, panel_width
from resformer.reporting.figures.points import Tips
from resformer.reporting.figures.rows import title
from resformer.reporting.figures.sheet import Place, Sheet
from resformer.reporting.figures.style import FAINT, INK, SMALL, Column, shortened, width_of
from resformer.reporting.schema import Rate
from resformer.text import printable

CAPTION = (
    "Learning rates. In each tile: the mean of the steps to solve, within the budget, which "
    "colours it, darker for "
    "quicker; and seeds solved of seeds. Hatched: none solved. Framed: the rate that most seeds "
    "are scored at."
)
_ACROSS, _RIGHT = 4, 0.12
_HEIGHT, _NARROWEST = 0.34, 0.32
"""Of a tile, in inches."""
_LEAST = 0.85
"""Of a panel's height."""
_MARGIN = 0.05
"""Share of a tile that parts it from the next."""


def draw(sheet: Sheet, tips: Tips) -> Figure | None:
    """The figure; adds what its tiles say to the tips.

    None where there is one learning rate only.
    """
    panel = sheet.panel
    rates = sorted({row.lr for rows in sheet.rates.values() for row in rows})
    if len(rates) < 2:
        return None
    fitting = [number for number in range(1, _ACROSS + 1) if _tile(number, sheet) >= _NARROWEST]
    across = max(fitting, default=1)
    labels = [printable(as_typed(row)) for row in panel.rows]
    upright = max(map(width_of, labels)) > _tile(across, sheet)
    below = 0.36 + max(width_of(label, SMALL) for label in labels) if upright else 0.42
    figure, found = frame(
        len(panel.columns), across, max(_HEIGHT * len(rates), _LEAST), _RIGHT, below
    )
    found[0].set_xlim(-0.5, len(panel.rows) - 0.5)
    found[0].set_ylim(-0.5, len(rates) - 0.5)
    found[0].set_yticks(range(len(rates)), [f"{rate:g}" for rate in rates])
    found[0].set_xticks(range(len(labels)), labels, rotation=90 if upright else 0)
    for axes, column in zip(found, panel.columns, strict=True):
        axes.set_title(shortened(sheet.name(column), panel_width(across, _RIGHT)))
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
        _panel(axes, sheet, column, rates, _tile(across, sheet) >= _NARROWEST, tips)
    for axes in found[::across]:
        axes.set_ylabel("learning rate")
    for axes in lowest(found, across):
        axes.set_xlabel(title(panel.layout.rows))
    return figure


def _tile(across: int, sheet: Sheet) -> float:
    """A tile's width with room for so many panels side by side, in inches."""
    return panel_width(across, _RIGHT) / len(sheet.panel.rows)


def _panel(
    axes: Axes, sheet: Sheet, column: Column, rates: list[float], written: bool, tips: Tips
) -> None:
    """Draw a column's tiles."""
    for x, row in enumerate(sheet.panel.rows):
        for found in sheet.rates.get((row, column), []):
            y, steps = rates.index(found.lr), found.mean_steps
            side, gid = 1 - 2 * _MARGIN, tips.told(_told(sheet, (row, column), found))
            colour = None if steps is None else _colour(sheet, steps)
            style: dict[str, Any] = {"facecolor": "none", "edgecolor": FAINT, "hatch": "////"}
            style = style if colour is None else {"facecolor": colour}
            axes.add_patch(
                Rectangle((x - side / 2, y - side / 2), side, side, linewidth=0, gid=gid, **style)
            )
            if written:
                text = f"{found.solved}/{found.seeds}" + (
                    f"\n{steps:.0f}" if steps is not None else ""
                )
                axes.text(
                    x,
                    y,
                    text,
                    ha="center",
                    va="center",
                    fontsize=SMALL,
                    linespacing=1.05,
                    color=_on(colour),
                )
            if sheet.panel.cells[row, column].lr == found.lr:
                axes.add_patch(
                    Rectangle(
                        (x - 0.5, y - 0.5),
                        1,
                        1,
                        fill=False,
                        edgecolor=INK,
                        linewidth=1.1,
                        clip_on=False,
                    )
                )


def _colour(sheet: Sheet, steps: float) -> str:
    """Darker for fewer steps, by their logarithm, on a scale that all panels share."""
    all_steps = [
        row.mean_steps
        for rows in sheet.rates.values()
        for row in rows
        if row.mean_steps is not None
    ]
    scale = LogNorm(max(1.0, min(all_steps)), max(2.0, *all_steps))
    return to_hex(mpl.colormaps["cividis"](scale(max(1.0, steps))))


def _on(colour: str | None) -> str:
    """The colour of a text that can be read on this one."""
    if colour is None:
        return INK
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in to_rgb(colour)
    ]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    # Where the contrasts of black and white are equal, by WCAG 2.
    return "white" if luminance < 0.179 else "black"


def _told(sheet: Sheet, place: Place, found: Rate) -> str:
    row, column = place
    words = [sheet.name(column), sheet.row_name(row), f"learning rate {found.lr:g}"]
    mean = (
        ""
        if found.mean_steps is None
        else f", on average after {found.mean_steps:.0f} steps within the budget"
    )
    return f"{', '.join(words)}: {found.solved} of {found.seeds} seeds solved{mean}"
