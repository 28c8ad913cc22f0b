"""Figure of the gradient's norm before clipping against the rows of the report: at the first step,
and while training.
"""

from operator import attrgetter

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from resformer.reporting.figures.axes import Lanes, lanes, log_y
from resformer.reporting.figures.data import PanelData
from resformer.reporting.figures.marks import (
    LineLabel,
    Tips,
    label_lines,
    line,
    points,
    reference,
)
from resformer.reporting.figures.style import GREY, Series

CAPTION = (
    "Norm of a member's gradient before clipping, at its first step and as the median over the "
    "steps it trained. "
    "Small: every seed; line: their median. Above the grey line gradients are clipped."
)
_HEIGHT, _CLIPPED = 2.1, "clipped above"


def draw(data: PanelData, tips: Tips) -> Figure | None:
    """Draw the figure; adds the tooltips of its points. None for a single row, for more series than
    lines tell apart, and if no gradient is finite.
    """
    norms = [
        norm
        for member in data.members
        for norm in (member.first_norm, member.median_norm)
        if norm > 0
    ]
    if data.many or len(data.panel.rows) < 2 or not norms:
        return None
    page = lanes(data, _HEIGHT, ["first step", "median over the steps trained"], [_CLIPPED])
    bounds = [*norms, *([data.clip] if data.clip is not None else [])]
    log_y(page.panels[0], min(bounds) / 1.4, max(bounds) * 1.4)
    for axes, name in zip(page.panels, ("first_norm", "median_norm"), strict=True):
        if data.clip is not None:
            reference(axes, data.clip, "clip")
        ends = [_series(axes, page, data, series, name, tips) for series in data.panel.columns]
    labels = [
        LineLabel(data.label(series), data.styles[series], end)
        for series, end in zip(data.panel.columns, ends, strict=True)
    ]
    if data.clip is not None:
        labels.append(LineLabel(_CLIPPED, GREY, (axes.get_xlim()[1], data.clip), marker=False))
    page.panels[0].set_ylabel("gradient norm")
    label_lines(page.panels[-1], labels)
    return page.figure


def _series(
    axes: Axes, page: Lanes, data: PanelData, series: Series, name: str, tips: Tips
) -> tuple[float, float] | None:
    """Draw a series' seeds and the line of their medians; returns its end if it reaches the last
    row.
    """
    style, norm = data.styles[series], attrgetter(name)
    medians = {}
    for row in data.panel.rows:
        curves = [curve for curve in data.curves.get((row, series), []) if norm(curve) > 0]
        if curves:
            x, norms = page.x(row, series), [norm(curve) for curve in curves]
            texts = [
                f"{data.describe((row, series), curve)}; gradient norm {norm(curve):.3g}"
                for curve in curves
            ]
            points(axes, x, norms, texts, style=style, lane=page.width, tips=tips)
            medians[row] = (x, float(np.median(norms)))
    line(
        axes, medians.values(), "medians", linestyle=style.dashes, color=style.colour, linewidth=1.4
    )
    return medians.get(data.panel.rows[-1])
