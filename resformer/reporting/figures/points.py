"""Points of single members: none hides another, and each can say who it is."""

from collections.abc import Sequence
from typing import Any, final

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from resformer.reporting.figures.style import Look

Floats = npt.NDArray[np.float64]

_DIAMETER = 3.0
"""Points, as matplotlib counts them."""
_MOST = 2000
"""More points than these are drawn as one, and say nothing."""


@final
class Tips(dict[str, str]):
    """What the parts of a figure say of themselves, by their ids."""

    def told(self, text: str) -> str:
        """The id of a new part that says this."""
        name = f"tip-{len(self)}"
        self[name] = text
        return name


def draw_points(
    axes: Axes,
    at: float,
    values: Sequence[float],
    texts: Sequence[str],
    look: Look,
    lane: float,
    tips: Tips,
) -> None:
    """A point per value at this place of x, those that would hide each other side by side within
    their lane.

    The limits of the axes are those that they have now.
    """
    if not len(values):
        return
    scale = axes.transData.transform
    heights = np.array([scale((at, value))[1] for value in values])
    inch = axes.figure.get_dpi()
    diameter = _DIAMETER / 72 * inch
    unit = scale((at + 1, values[0]))[0] - scale((at, values[0]))[0]
    offsets = _beside(heights, diameter, lane * unit) / unit
    style: dict[str, Any] = {
        "linestyle": "",
        "marker": look.marker,
        "color": look.colour,
        "markersize": _DIAMETER,
        "alpha": 0.55,
    }
    if len(tips) + len(values) > _MOST:
        axes.plot(at + offsets, values, **style)
        return
    for offset, value, text in zip(offsets, values, texts, strict=True):
        axes.plot([at + offset], [value], gid=tips.told(text), **style)


def _beside(heights: Floats, diameter: float, lane: float) -> Floats:
    """How far each point moves aside, so that those at about one height stand in a row around their
    place.
    """
    offsets = np.zeros(len(heights))
    for level in np.unique(np.round(heights / diameter)):
        same = np.flatnonzero(np.round(heights / diameter) == level)
        step = min(diameter, lane / len(same))
        offsets[same] = (np.arange(len(same)) - (len(same) - 1) / 2) * step
    return offsets
