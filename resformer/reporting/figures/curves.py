"""Held-out loss against step, a panel per row of the report: every seed thin, the median thick."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from resformer.reporting.figures import labels
from resformer.reporting.figures.frame import frame, last_of_lines, log_y, lowest
from resformer.reporting.figures.labels import Name
from resformer.reporting.figures.points import Tips
from resformer.reporting.figures.sheet import Floats, Run, Sheet
from resformer.reporting.figures.style import FAINT, GREY, Look

CAPTION = (
    "Held-out loss (nats per token) against step. Thin: every seed at the learning rate it is "
    "scored at; thick: their "
    "median. Dotted: a seed that left keeps its last loss, and counts with it in the median; a "
    "cross marks where one "
    "diverged. Grey: the best that can be done without looking at the input."
)
_ACROSS, _HEIGHT = 4, 1.75
_HIGHEST = 6.0
"""Times the blind loss: higher ones run out of the panel."""
_BLIND = "without the input"


def draw(sheet: Sheet, tips: Tips) -> Figure:
    """The figure; nothing in it has a tip."""
    panel = sheet.panel
    everyone = [run for runs in sheet.runs.values() for run in runs]
    last = max(1.0, *(run.steps[-1] for run in everyone))
    across = min(_ACROSS, len(panel.rows))
    texts = [*map(sheet.name, panel.columns), _BLIND]
    height = max(_HEIGHT, labels.height(len(texts)))
    figure, found = frame(len(panel.rows), across, height, labels.width(texts))
    found[0].set_xlim(0, last)
    # Of four digits there is room for two and a nought.
    locator = MaxNLocator(3 if last < 1000 else 2, integer=True, steps=[1, 2, 3, 5, 10])
    ticks = [tick for tick in locator.tick_values(0, last) if tick <= last]
    log_y(found[0], *_limits(everyone))
    for axes, row in zip(found, panel.rows, strict=True):
        names = _row(axes, sheet, row)
        axes.set_title(sheet.row_name(row))
        axes.set_xticks(ticks, [f"{tick:.0f}" for tick in ticks])
        for tick, mark in zip(ticks, axes.xaxis.get_major_ticks(), strict=True):
            mark.label1.set_horizontalalignment(
                "left" if tick == 0 else "right" if tick > 0.95 * last else "center"
            )
        if axes in last_of_lines(found, across):
            labels.name_lines(axes, names)
    for axes in found[::across]:
        axes.set_ylabel("held-out loss (nats)")
    for axes in lowest(found, across):
        axes.set_xlabel("step")
    return figure


def _row(axes: Axes, sheet: Sheet, row: Any) -> list[Name]:
    """Draw a row's columns; returns their names and where they end."""
    here = {
        column: sheet.runs[row, column]
        for column in sheet.panel.columns
        if (row, column) in sheet.runs
    }
    end = max(run.steps[-1] for runs in here.values() for run in runs)
    names = []
    for column in sheet.panel.columns:
        at, loss = (
            _cell(axes, here[column], end, sheet.looks[column]) if column in here else (end, np.nan)
        )
        place = (end, loss) if at == end and np.isfinite(loss) else None
        names.append(Name(sheet.name(column), sheet.looks[column], place, marker=False))
    blind = next(iter(here.values()))[0].blind_loss
    axes.axhline(blind, color=FAINT, linewidth=0.8, zorder=0)
    return [*names, Name(_BLIND, GREY, (axes.get_xlim()[1], blind), marker=False)]


def median(runs: Sequence[Run], end: float) -> tuple[Floats, Floats]:
    """Steps and median loss up to `end`. Who left keeps its last loss; one that is not finite is
    the largest of all.
    """
    steps_E = np.unique(np.concatenate([*(run.steps for run in runs), [end]]))
    losses = [run.losses[np.searchsorted(run.steps, steps_E, side="right") - 1] for run in runs]
    median_E = np.median(np.nan_to_num(np.array(losses), nan=np.inf), axis=0)
    return steps_E, np.where(np.isfinite(median_E), median_E, np.nan)


def _cell(axes: Axes, runs: Sequence[Run], end: float, look: Look) -> tuple[float, float]:
    """Draw a cell's seeds and their median up to `end` or their budget; returns where the median
    ends.
    """
    end = min(end, max(run.budget for run in runs))
    thin: dict[str, Any] = {"color": look.colour, "linewidth": 0.5, "alpha": 0.45}
    for run in runs:
        axes.plot(run.steps, run.losses, marker="." if len(run.steps) == 1 else None, **thin)
        last = np.flatnonzero(np.isfinite(run.losses))[-1:]
        if run.outcome == "diverged":
            axes.plot(
                run.steps[last],
                run.losses[last],
                "x",
                markersize=4,
                markeredgewidth=0.9,
                color=look.colour,
            )
        if run.steps[-1] < end and np.isfinite(run.losses[-1]):
            axes.plot([run.steps[-1], end], [run.losses[-1]] * 2, linestyle=":", **thin)
    steps_E, median_E = median(runs, end)
    left = max(run.steps[-1] for run in runs)
    for part, dashes in ((steps_E <= left, look.dashes), (steps_E >= left, ":")):
        if part.sum() > 1:
            axes.plot(
                steps_E[part], median_E[part], linestyle=dashes, color=look.colour, linewidth=1.6
            )
    return end, float(median_E[-1])


def _limits(runs: Sequence[Run]) -> tuple[float, float]:
    """Of the loss: from the smallest to the largest, up to some times the blind loss."""
    losses = np.concatenate([run.losses for run in runs])
    positive = losses[np.isfinite(losses) & (losses > 0)]
    blind = max(run.blind_loss for run in runs)
    low, high = min([blind, *positive]) / 1.25, max([blind, *positive]) * 1.25
    return low, min(high, _HIGHEST * blind)
