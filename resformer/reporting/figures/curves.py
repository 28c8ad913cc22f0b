"""Figure of the held-out loss against step, a panel per row of the report: every seed thin, the
median thick.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from resformer.keys import Value
from resformer.reporting.figures.axes import balanced, grid, log_y
from resformer.reporting.figures.data import MemberCurve, PanelData
from resformer.reporting.figures.marks import (
    LineLabel,
    Tips,
    label_lines,
    labels_height,
    labels_width,
    line,
    reference,
)
from resformer.reporting.figures.style import GREY, SeriesStyle
from resformer.reporting.schema import Per
from resformer.reporting.text.words import amount
from resformer.stats import Floats

CAPTION = (
    "Held-out loss (nats per token) against {step}. Thin: every seed at the learning rate it is "
    "scored at; thick: their median. Dotted: a seed that has solved keeps its last loss, and "
    "counts with it in the median; a cross marks where one diverged. Grey: the best that can be "
    "done without looking at the input."
)
_HEIGHT = 1.75
_HIGHEST = 6.0
"""Multiple of the blind loss above which losses leave the panel."""
_BLIND = "without the input"


def draw(data: PanelData, tips: Tips) -> Figure | None:
    """Draw the figure, which has no tooltips. None for more series than lines tell apart."""
    panel = data.panel
    if data.many:
        return None
    texts = [*map(data.label, panel.columns), _BLIND]
    page = grid(
        len(panel.rows),
        balanced(len(panel.rows)),
        height=max(_HEIGHT, labels_height(len(texts))),
        right=labels_width(texts),
        heading=panel.title,
    )
    scale(page.panels, data.members, data.per)
    for axes, row in zip(page.panels, panel.rows, strict=True):
        labels = _row(axes, data, row)
        axes.set_title(data.row_label(row))
        if axes in page.last_of_lines:
            label_lines(axes, labels)
    page.label(data.step, "held-out loss (nats)")
    return page.figure


def scale(panels: Sequence[Axes], members: Sequence[MemberCurve], per: Per) -> None:
    """Set the axes of panels that share them: steps to the last one, and losses."""
    last = max(1.0, *(member.steps[-1] for member in members))
    panels[0].set_xlim(0, last)
    log_y(panels[0], *_limits(members))
    # Of four digits there is room for two and a nought; of five panels side by side, for two.
    few = last >= 1000 or len(panels) >= 5
    locator = MaxNLocator(2 if few else 3, integer=True, steps=[1, 2, 3, 5, 10])
    ticks = [tick for tick in locator.tick_values(0, last) if tick <= last]
    for axes in panels:
        axes.set_xticks(ticks, [amount(tick, per) for tick in ticks])
        for tick, mark in zip(ticks, axes.xaxis.get_major_ticks(), strict=True):
            mark.label1.set_horizontalalignment(
                "left" if tick == 0 else "right" if tick > 0.95 * last else "center"
            )


def _row(axes: Axes, data: PanelData, row: Value) -> list[LineLabel]:
    """Draw a row's series; returns their labels."""
    cells = {
        series: data.curves[row, series]
        for series in data.panel.columns
        if (row, series) in data.curves
    }
    last = max(curve.steps[-1] for curves in cells.values() for curve in curves)
    labels = []
    for series in data.panel.columns:
        style, end = data.styles[series], None
        if series in cells:
            step, loss = draw_cell(axes, cells[series], last, style)
            end = (step, loss) if step == last and np.isfinite(loss) else None
        labels.append(LineLabel(data.label(series), style, end, marker=False))
    blind_loss = next(iter(cells.values()))[0].blind_loss
    reference(axes, blind_loss, "blind loss")
    return [*labels, LineLabel(_BLIND, GREY, (axes.get_xlim()[1], blind_loss), marker=False)]


def median(curves: Sequence[MemberCurve], end: float) -> tuple[Floats, Floats]:
    """Steps and median loss up to `end`.

    A member that left keeps its last loss; one that is not finite is the largest of all.
    """
    steps_E = np.unique(np.concatenate([*(curve.steps for curve in curves), [end]]))
    losses = [
        curve.losses[np.searchsorted(curve.steps, steps_E, side="right") - 1] for curve in curves
    ]
    median_E = np.median(np.nan_to_num(np.array(losses), nan=np.inf), axis=0)
    return steps_E, np.where(np.isfinite(median_E), median_E, np.nan)


def draw_cell(
    axes: Axes, curves: Sequence[MemberCurve], last: float, style: SeriesStyle
) -> tuple[float, float]:
    """Draw a cell's seeds and their median up to step `last` or their budget; returns the end of
    the median.
    """
    end = min(last, max(curve.budget for curve in curves))
    thin: dict[str, Any] = {"color": style.colour, "linewidth": 0.5, "alpha": 0.45}
    cross: dict[str, Any] = {"markersize": 4, "markeredgewidth": 0.9, "color": style.colour}
    for curve in curves:
        marker = "." if len(curve.steps) == 1 else None
        axes.plot(curve.steps, curve.losses, label="seed", marker=marker, **thin)
        if curve.outcome == "diverged":
            finite = np.flatnonzero(np.isfinite(curve.losses))[-1:]
            axes.plot(curve.steps[finite], curve.losses[finite], "x", label="diverged", **cross)
        step, loss = curve.steps[-1], curve.losses[-1]
        if step < end and np.isfinite(loss):
            line(axes, [(step, loss), (end, loss)], "carried seed", linestyle=":", **thin)
    steps_E, median_E = median(curves, end)
    left = max(curve.steps[-1] for curve in curves)
    for label, part, dashes in (
        ("median", steps_E <= left, style.dashes),
        ("carried median", steps_E >= left, ":"),
    ):
        if part.sum() > 1:
            thick: dict[str, Any] = {"linestyle": dashes, "color": style.colour, "linewidth": 1.6}
            axes.plot(steps_E[part], median_E[part], label=label, **thick)
    return end, float(median_E[-1])


def _limits(members: Sequence[MemberCurve]) -> tuple[float, float]:
    """Limits of the loss: its range, up to a multiple of the blind loss."""
    losses = np.concatenate([member.losses for member in members])
    positive = losses[np.isfinite(losses) & (losses > 0)]
    blind_loss = max(member.blind_loss for member in members)
    low, high = min([blind_loss, *positive]) / 1.25, max([blind_loss, *positive]) * 1.25
    return low, min(high, _HIGHEST * blind_loss)
