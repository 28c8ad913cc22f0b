"""Names of lines beside the axes in which they end, in place of a legend."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from resformer.reporting.figures.style import SIZE, Look, shortened, width_of

_LEADER, _SAMPLE, _SPACE = 0.16, 0.28, 0.07
_LINE = 0.155
"""Inches from one name to the next."""
_LONGEST = 2.0


@final
@dataclass(frozen=True)
class Name:
    """A line's name, its look, and where it ends, in units of the axes; None where it does not get
    to their edge.
    """

    text: str
    look: Look
    end: tuple[float, float] | None
    marker: bool = True


def width(texts: Sequence[str]) -> float:
    """Room that names take beside the axes, in inches."""
    return _LEADER + _SAMPLE + 2 * _SPACE + min(_LONGEST, max(map(width_of, texts)))


def height(count: int) -> float:
    """Room that so many names take, in inches."""
    return count * _LINE


def name_lines(axes: Axes, names: Sequence[Name]) -> None:
    """Write the names to the right of the axes, each as near to its line's end as the others allow.

    The limits of the axes are those that they have now.
    """
    figure = axes.get_figure(root=True)
    assert figure is not None
    box, inch = axes.get_window_extent(), figure.dpi
    right, low, high = box.x1 / inch, box.y0 / inch, box.y1 / inch
    ends = [
        None if name.end is None else axes.transData.transform(name.end) / inch for name in names
    ]
    wanted = [low if end is None else min(max(float(end[1]), low), high) for end in ends]
    for name, end, level, y in zip(
        names, ends, wanted, spread(wanted, _LINE, low, high), strict=True
    ):
        start = right + _LEADER
        style: dict[str, Any] = {"color": name.look.colour, "transform": figure.dpi_scale_trans}
        if end is not None:
            figure.add_artist(
                Line2D([end[0], right, start], [level, level, y], linewidth=0.5, alpha=0.6, **style)
            )
        figure.add_artist(
            Line2D(
                [start, start + _SAMPLE], [y, y], linestyle=name.look.dashes, linewidth=1.4, **style
            )
        )
        if name.marker:
            figure.add_artist(
                Line2D([start + _SAMPLE / 2], [y], marker=name.look.marker, markersize=4.5, **style)
            )
        figure.text(
            start + _SAMPLE + _SPACE,
            y,
            shortened(name.text, _LONGEST),
            transform=figure.dpi_scale_trans,
            fontsize=SIZE,
            va="center_baseline",
        )


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Places near the wanted ones, in the same order, at least `gap` apart, and inside the bounds
    if they all fit.

    Of two that want the same, the first gets the higher.
    """
    order = sorted(range(len(wanted)), key=lambda number: (wanted[number], -number))
    up, down = [wanted[number] for number in order], [wanted[number] for number in order]
    for after in range(1, len(order)):
        up[after] = max(up[after], up[after - 1] + gap)
        down[-1 - after] = min(down[-1 - after], down[-after] - gap)
    placed = [(above + below) / 2 for above, below in zip(up, down, strict=True)]
    for number in range(len(placed)):
        placed[number] = max(placed[number], low + number * gap)
    for number in range(len(placed)):
        placed[-1 - number] = min(placed[-1 - number], high - number * gap)
    return [placed[order.index(number)] for number in range(len(wanted))]
