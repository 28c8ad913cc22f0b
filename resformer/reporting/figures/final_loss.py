"""Figure of the final held-out loss against the rows of the report: every seed, and the median."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from resformer.reporting.figures.axes import lanes, log_y
from resformer.reporting.figures.data import PanelData
from resformer.reporting.figures.marks import (
    LineLabel,
    Tips,
    label_lines,
    line,
    points,
    reference,
)

CAPTION = (
    "Final held-out loss (nats per token), at the learning rate at which the other seeds ended "
    "lowest. Small: every seed; large: the median. Grey: the best that can be done without looking "
    "at the input. Seeds that diverged are not drawn, and count as the highest in the median."
)
_HEIGHT, _MARGIN = 2.6, 1.25
"""Height of the axes in inches; factor between the losses and their edges."""


def draw(data: PanelData, tips: Tips) -> Figure | None:
    """Draw the figure; adds the tooltips of its points. None for a single row, for more series than
    lines tell apart, and where members are judged by their steps.
    """
    panel = data.panel
    if data.many or len(panel.rows) < 2 or panel.score != "final_loss":
        return None
    page = lanes(data, _HEIGHT, ["final held-out loss (nats)"])
    (axes,) = page.panels
    blind_loss = max(member.blind_loss for member in data.members)
    last = [member.losses[-1] for member in data.members]
    ends = [blind_loss, *(data.above_least(loss) for loss in last if np.isfinite(loss))]
    log_y(axes, min(ends) / _MARGIN, max(ends) * _MARGIN)
    reference(axes, blind_loss, "blind loss")
    labels = []
    for series in panel.columns:
        style, medians = data.styles[series], {}
        for row in panel.rows:
            if (row, series) not in data.curves:
                continue
            finite = [curve for curve in data.curves[row, series] if np.isfinite(curve.losses[-1])]
            points(
                axes,
                page.x(row, series),
                [data.above_least(curve.losses[-1]) for curve in finite],
                [
                    f"{data.label(series)}, {data.row_label(row)}, seed {curve.seed}: loss "
                    f"{curve.losses[-1]:.2g}, learning rate {curve.lr:g}"
                    for curve in finite
                ],
                style=style,
                lane=page.width,
                tips=tips,
            )
            median = panel.cells[row, series].final_loss
            if median is not None:
                medians[row] = (page.x(row, series), data.above_least(median))
        options: dict[str, Any] = {"linestyle": style.dashes, "linewidth": 1.2, "markersize": 5}
        line(axes, medians.values(), "medians", color=style.colour, marker=style.marker, **options)
        labels.append(LineLabel(data.label(series), style, medians.get(panel.rows[-1])))
    label_lines(axes, labels)
    return page.figure
