"""Figure of the held-out loss against step at one row of the report, a panel per series: its own
curves in colour, the medians of all others in grey.
"""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from resformer.keys import Value
from resformer.reporting.figures.axes import balanced, grid, panel_width
from resformer.reporting.figures.curves import draw_cell, median, scale
from resformer.reporting.figures.data import PanelData
from resformer.reporting.figures.heatmap import by_limit_and_result
from resformer.reporting.figures.marks import Tips
from resformer.reporting.figures.style import FAINT, Series, shortened
from resformer.stats import Floats

CAPTION = (
    "Held-out loss (nats per token) against {step}, a panel per column of the table, in the order "
    "of the heat map, at the depth that divides the columns most evenly into those that solve and "
    "those that do not (another one: --where depth=D). In colour: every seed thin, the median "
    "thick. Grey: the medians of all others."
)
_HEIGHT, _RIGHT = 0.8, 0.08


def draw(data: PanelData, tips: Tips) -> Figure | None:
    """Draw the figure, which has no tooltips. None for series that lines tell apart."""
    if not data.many:
        return None
    row = dividing_row(data)
    cells = {
        series: data.curves[row, series]
        for series in by_limit_and_result(data)
        if (row, series) in data.curves
    }
    members = [curve for curves in cells.values() for curve in curves]
    medians = {
        series: median(curves, max(curve.budget for curve in curves))
        for series, curves in cells.items()
    }
    page = grid(
        len(cells),
        balanced(len(cells)),
        height=_HEIGHT,
        right=_RIGHT,
        heading=", ".join(filter(None, [data.panel.title, data.row_label(row)])),
    )
    scale(page.panels, members, data.per)
    last = page.panels[0].get_xlim()[1]
    width = panel_width(page.across, _RIGHT)
    for axes, (series, curves) in zip(page.panels, cells.items(), strict=True):
        axes.set_title(shortened(data.label(series), width))
        _others(axes, medians, series, last)
        draw_cell(axes, curves, last, data.styles[series])
    page.label(data.step, "loss (nats)")
    return page.figure


def dividing_row(data: PanelData) -> Value:
    """The row at which the number of series that solve is nearest to half of them; of equal ones
    the last.
    """
    panel = data.panel

    def distance(row: Value) -> float:
        cells = [cell for (of_row, _), cell in panel.cells.items() if of_row == row]
        return abs(sum(cell.median is not None for cell in cells) - len(panel.columns) / 2)

    return min(reversed(panel.rows), key=distance)


def _others(
    axes: Axes, medians: dict[Series, tuple[Floats, Floats]], own: Series, last: float
) -> None:
    """Draw the medians of all other series as one artist, which is small in a file."""
    steps, losses = [], []
    for series, (steps_E, loss_E) in medians.items():
        if series != own:
            shown = steps_E <= last
            steps += [*steps_E[shown], np.nan]
            losses += [*loss_E[shown], np.nan]
    axes.plot(steps, losses, color=FAINT, linewidth=0.4, zorder=1, label="others", gid="others")
