"""A claim's figure: lines of medians with their seeds."""

from collections.abc import Mapping

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from resformer.reporting.figures.style import RC

_COLOURS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_NARROW = 100
"""A logarithmic axis over less than this has ticks between powers of ten."""


def lines(
    x: np.ndarray,
    measured: Mapping[str, np.ndarray],
    x_label: str,
    y_label: str,
    log: tuple[bool, bool],
) -> Figure:
    """Draw a line per name: the median over seeds of an array (S, places), and thin each seed."""
    with mpl.rc_context(RC):
        figure = Figure(figsize=(4.8, 3.0), layout="constrained")
        axes = figure.add_subplot()
        for colour, (name, values_SL) in zip(_COLOURS, measured.items(), strict=False):
            axes.plot(x, values_SL.T, color=colour, linewidth=0.4, alpha=0.4)
            axes.plot(
                x,
                np.median(values_SL, axis=0),
                "o-",
                color=colour,
                linewidth=1.5,
                markersize=3,
                label=name,
            )
        for axis, logarithmic in (("x", log[0]), ("y", log[1])):
            if logarithmic:
                getattr(axes, f"set_{axis}scale")("log")
        if log[0]:
            axes.set_xticks(x, [f"{place:g}" for place in x])
            axes.set_xticks([], minor=True)
        if log[1]:
            low, high = axes.get_ylim()
            axes.yaxis.set_major_locator(
                LogLocator(subs=(1, 2, 5) if high / low < _NARROW else (1,))
            )
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        axes.legend(frameon=False)
    return figure
