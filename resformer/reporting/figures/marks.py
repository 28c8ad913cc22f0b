"""Marks of the figures: points of single members, and labels of lines in place of a legend.

An artist's label says what it shows ("median", "interval", "seed"); labels are not drawn.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from resformer.reporting.figures.style import FAINT, SIZE, SeriesStyle, shortened, width_of
from resformer.stats import Floats

INTERVAL: dict[str, Any] = {"linewidth": 1.1, "solid_capstyle": "butt"}
"""Style of the line of an interval."""
_DIAMETER, _SIDE_BY_SIDE = 2.5, 3.0
"""Diameter of a point, and distance of two side by side, in 1/72 inch."""
_MAX_TIPS = 2000
"""Points of a figure beyond which the points of a cell are one artist without tips."""
_LEADER, _SAMPLE, _SPACE = 0.16, 0.28, 0.07
_LINE = 0.155
"""Inches from one label to the next."""
_LONGEST = 2.0
"""Inches of the longest label."""


@final
class Tips(dict[str, str]):
    """Tooltips of a figure's artists, by their ids in the SVG."""

    def add(self, text: str) -> str:
        """Add a tooltip; returns the id for its artist."""
        gid = f"tip-{len(self)}"
        self[gid] = text
        return gid


def points(
    axes: Axes,
    x: float,
    values: Sequence[float],
    texts: Sequence[str],
    *,
    style: SeriesStyle,
    lane: float,
    tips: Tips,
) -> None:
    """Draw a point per value with its tooltip, side by side within the lane where points would
    overlap; the limits of the axes must be set.
    """
    if not len(values):
        return
    scale = axes.transData.transform
    y_pixels = np.array([scale((x, value))[1] for value in values])
    distance = _SIDE_BY_SIDE / 72 * axes.figure.get_dpi()
    unit = scale((x + 1, values[0]))[0] - scale((x, values[0]))[0]
    offsets = _side_by_side(y_pixels, distance, lane * unit) / unit
    options: dict[str, Any] = {
        "label": "seed",
        "linestyle": "",
        "marker": style.marker,
        "color": style.colour,
        "markersize": _DIAMETER,
        "alpha": 0.55,
    }
    if len(tips) + len(values) > _MAX_TIPS:
        axes.plot(x + offsets, values, **options)
        return
    for offset, value, text in zip(offsets, values, texts, strict=True):
        axes.plot([x + offset], [value], gid=tips.add(text), **options)


def _side_by_side(y_pixels: Floats, distance: float, lane: float) -> Floats:
    """Horizontal offsets that put points of about the same height side by side, at this distance
    if the lane has room for it.
    """
    offsets = np.zeros(len(y_pixels))
    levels = np.round(y_pixels / distance)
    for level in np.unique(levels):
        same = np.flatnonzero(levels == level)
        step = min(distance, lane / len(same))
        offsets[same] = (np.arange(len(same)) - (len(same) - 1) / 2) * step
    return offsets


def reference(axes: Axes, y: float, label: str) -> None:
    """Draw a grey line across the axes, behind everything."""
    axes.axhline(y, color=FAINT, linewidth=0.8, zorder=0, label=label)


def line(axes: Axes, xy: Collection[tuple[float, float]], label: str, **options: Any) -> None:
    """Draw a line through these points."""
    axes.plot([x for x, _ in xy], [y for _, y in xy], label=label, **options)


@final
@dataclass(frozen=True)
class LineLabel:
    """Label of a line: its text, its style, and where the line ends in data units; None if it does
    not reach the edge of the axes.
    """

    text: str
    style: SeriesStyle
    end: tuple[float, float] | None
    marker: bool = True


def labels_width(texts: Sequence[str]) -> float:
    """Space that labels take beside the axes, in inches."""
    return _LEADER + _SAMPLE + 2 * _SPACE + min(_LONGEST, max(map(width_of, texts)))


def labels_height(count: int) -> float:
    """Space that so many labels take, in inches."""
    return count * _LINE


def label_lines(axes: Axes, labels: Sequence[LineLabel]) -> None:
    """Write labels to the right of the axes, each as near to its line's end as the others allow;
    the limits of the axes must be set.
    """
    figure = axes.get_figure(root=True)
    assert figure is not None
    box, inch = axes.get_window_extent(), figure.dpi
    right, low, high = box.x1 / inch, box.y0 / inch, box.y1 / inch
    ends = [
        None if label.end is None else axes.transData.transform(label.end) / inch
        for label in labels
    ]
    targets = [low if end is None else min(max(float(end[1]), low), high) for end in ends]
    start = right + _LEADER
    for label, end, target, y in zip(
        labels, ends, targets, spread(targets, _LINE, low, high), strict=True
    ):
        options: dict[str, Any] = {"color": label.style.colour, "transform": figure.dpi_scale_trans}
        dashes, marker = label.style.dashes, label.style.marker
        if end is not None:
            x_leader, y_leader = [end[0], right, start], [target, target, y]
            figure.add_artist(Line2D(x_leader, y_leader, linewidth=0.5, alpha=0.6, **options))
        figure.add_artist(
            Line2D([start, start + _SAMPLE], [y, y], linestyle=dashes, linewidth=1.4, **options)
        )
        if label.marker:
            figure.add_artist(
                Line2D([start + _SAMPLE / 2], [y], marker=marker, markersize=4.5, **options)
            )
        figure.text(
            start + _SAMPLE + _SPACE,
            y,
            shortened(label.text, _LONGEST),
            transform=figure.dpi_scale_trans,
            fontsize=SIZE,
            va="center_baseline",
        )


def spread(targets: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Positions near the targets, in their order, at least `gap` apart, and within the bounds if
    they all fit.

    Of two equal targets, the first gets the higher position.
    """
    order = sorted(range(len(targets)), key=lambda number: (targets[number], -number))
    ordered = [targets[number] for number in order]
    up = list(accumulate(ordered, lambda last, target: max(target, last + gap)))
    down = list(accumulate(ordered[::-1], lambda last, target: min(target, last - gap)))
    placed = [0.0] * len(order)
    for rank, number in enumerate(order):
        middle = (up[rank] + down[-1 - rank]) / 2
        highest = high - (len(order) - 1 - rank) * gap
        placed[number] = min(max(middle, low + rank * gap), highest)
    return placed
