"""Figure of a probe's measure against the layer: a panel per network that has the measure, a line
per depth.
"""

import math
import textwrap

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from resformer.reporting.analysis.probes import Probed
from resformer.reporting.figures.axes import grid, log_y
from resformer.reporting.figures.marks import (
    LineLabel,
    label_lines,
    labels_height,
    labels_width,
)
from resformer.reporting.figures.style import SeriesStyle
from resformer.reporting.text.words import kind_of_model
from resformer.stats import Floats

_ACROSS, _HEIGHT, _WRAPPED = 4, 1.6, 22
_EMBEDDING = 0.5
"""Position of layer 0 on a logarithmic axis."""
_ROUND_OFF = 1e-9
"""Range relative to the largest value up to which a measure is drawn as constant."""
_WIDE = 1e3
"""Range (largest over smallest) above which a non-negative measure is drawn logarithmically."""


def draw(probed: Probed, measure: str, title: str) -> Figure | None:
    """Draw the figure of one measure; None if no value of it is finite."""
    by_network = {
        key: {depth: by_layer[measure] for depth, by_layer in models.items()}
        for key, models in probed.models.items()
        if any(np.isfinite(by_layer[measure]).any() for by_layer in models.values())
    }
    if not by_network:
        return None
    values = np.concatenate(
        [column for by_depth in by_network.values() for column in by_depth.values()]
    )
    values = values[np.isfinite(values)]
    styles = _depth_styles(probed.depths)
    labels = [
        LineLabel(f"depth {depth}", style, None, marker=False) for depth, style in styles.items()
    ]
    page = grid(
        len(by_network),
        min(_ACROSS, len(by_network)),
        height=max(_HEIGHT, labels_height(len(labels))),
        right=labels_width([label.text for label in labels]),
        heading="",
    )
    _scale(page.panels[0], values, 2 * probed.depths[-1])
    for axes, (key, by_depth) in zip(page.panels, by_network.items(), strict=True):
        axes.set_title(kind_of_model(probed.axes, key))
        # Shared layers of two depths start from the same weights, so their lines coincide: the
        # points at their ends tell them apart.
        for depth in sorted(by_depth, reverse=True):
            known = by_depth[depth].dropna()
            x = np.maximum(known.index.to_numpy(dtype=float), _EMBEDDING)
            colour = styles[depth].colour
            axes.plot(x, known, color=colour, linewidth=1.3)
            axes.plot(x[-1:], known[-1:], "o", color=colour, markersize=3.5, clip_on=False)
        if axes in page.last_of_lines:
            label_lines(axes, labels)
    page.label("sub-layers passed", textwrap.fill(title, _WRAPPED))
    return page.figure


def _scale(axes: Axes, values: Floats, last: int) -> None:
    """Set the axes of all panels."""
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
        constant = high - low <= _ROUND_OFF * max(abs(low), abs(high))
        room = 0.05 * (1.0 if constant else high - low)
        axes.set_ylim(low - room, high + room)


def _depth_styles(depths: list[int]) -> dict[int, SeriesStyle]:
    """Styles of the depths, from light to dark."""
    shades = mpl.colormaps["viridis_r"](np.linspace(0.12, 1, len(depths)))
    return {
        depth: SeriesStyle(mpl.colors.to_hex(shade), "-", "")
        for depth, shade in zip(depths, shades, strict=True)
    }
