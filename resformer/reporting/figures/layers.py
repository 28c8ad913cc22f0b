"""A measure against the layer, a panel per kind of stack, a line per depth."""

import math
import textwrap

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from resformer.reporting.analysis.probes import Probed
from resformer.reporting.figures import labels
from resformer.reporting.figures.frame import frame, last_of_lines, log_y, lowest
from resformer.reporting.figures.labels import Name
from resformer.reporting.figures.style import Look

_ACROSS, _HEIGHT, _WRAPPED = 4, 1.6, 22
_EMBEDDING = 0.5
"""Where layer 0 stands on an axis that is logarithmic."""
_WIDE = 1e3
"""A measure that is never negative and spans more than so many times is drawn logarithmically."""


def draw(found: Probed, measure: str, words: str) -> Figure | None:
    """The figure of one measure, which `words` say; None where no value of it is finite."""
    values = np.concatenate(
        [stack[measure] for stacks in found.stacks.values() for stack in stacks.values()]
    )
    values = values[np.isfinite(values)]
    if not len(values):
        return None
    across = min(_ACROSS, len(found.stacks))
    names = [f"depth {depth}" for depth in found.depths]
    height = max(_HEIGHT, labels.height(len(names)))
    figure, panels = frame(len(found.stacks), across, height, labels.width(names))
    _scale(panels[0], values, 2 * found.depths[-1])
    looks = _looks(found.depths)
    for axes, (key, stacks) in zip(panels, found.stacks.items(), strict=True):
        axes.set_title(found.name(key))
        # Shared layers of stacks of two depths start from the same weights, so their lines
        # coincide: the ends tell.
        for depth in sorted(stacks, reverse=True):
            known = stacks[depth][measure].dropna()
            places = np.maximum(known.index.to_numpy(dtype=float), _EMBEDDING)
            axes.plot(places, known, color=looks[depth].colour, linewidth=1.3)
            axes.plot(
                places[-1:],
                known[-1:],
                "o",
                color=looks[depth].colour,
                markersize=3.5,
                clip_on=False,
            )
        if axes in last_of_lines(panels, across):
            labels.name_lines(
                axes,
                [
                    Name(f"depth {depth}", looks[depth], None, marker=False)
                    for depth in found.depths
                ],
            )
    for axes in panels[::across]:
        axes.set_ylabel(textwrap.fill(words, _WRAPPED))
    for axes in lowest(panels, across):
        axes.set_xlabel("sub-layers passed")
    return figure


def _scale(axes: Axes, values: np.ndarray, last: int) -> None:
    """The axes of all panels."""
    axes.set_xscale("log", base=2)
    axes.set_xlim(_EMBEDDING, last)
    ticks = [2**power for power in range(math.floor(math.log2(last)) + 1)]
    ticks = ticks[:: math.ceil(len(ticks) / 4)]
    axes.set_xticks([_EMBEDDING, *ticks], ["0", *map(str, ticks)])
    axes.set_xticks([], minor=True)
    low, high = float(values.min()), float(values.max())
    if low >= 0 and high > _WIDE * low:
        smallest = float(values[values > 0].min(initial=high))
        log_y(axes, smallest / 1.5, high * 1.5)
    else:
        room = 0.05 * (high - low or 1.0)
        axes.set_ylim(low - room, high + room)


def _looks(depths: list[int]) -> dict[int, Look]:
    """From light to dark with depth."""
    shades = mpl.colormaps["viridis_r"](np.linspace(0.12, 1, len(depths)))
    return {
        depth: Look(mpl.colors.to_hex(shade), "-", "")
        for depth, shade in zip(depths, shades, strict=True)
    }
