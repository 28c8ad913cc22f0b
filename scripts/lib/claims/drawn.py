"""A claim's figure: lines of medians with their seeds."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from resformer.reporting.figures.style import RC

_COLOURS = {"post-norm": "#D55E00", "pre-norm": "#0072B2", "DeepNorm": "#009E73"}
"""Colours of arms that several claims have, by the word that their names begin with."""
_OTHER_COLOURS = ("#CC79A7", "#E69F00", "#56B4E9", "#1a1a1a")
_DASHES = ("-", "--", ":")
"""Of arms of one colour the first, the second and so on."""
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
        figure = Figure(figsize=(6.4, 3.0), layout="constrained")
        axes = figure.add_subplot()
        for (name, values_SL), (colour, dashes) in zip(
            measured.items(), _styles(measured), strict=True
        ):
            axes.plot(x, values_SL.T, color=colour, linewidth=0.4, alpha=0.4)
            axes.plot(
                x,
                np.median(values_SL, axis=0),
                marker="o",
                linestyle=dashes,
                color=colour,
                linewidth=1.5,
                markersize=3,
                label=name,
            )
        if log[0]:
            logarithmic_x(axes, x)
        if log[1]:
            logarithmic_y(axes)
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        figure.legend(frameon=False, loc="outside right upper")
    return figure


def logarithmic_x(axes: Axes, places: Sequence[float] | np.ndarray, *, most: int = 7) -> None:
    """Make an axis logarithmic, with ticks at these places, of which at most so many are named."""
    every = -(-len(places) // most)
    named = [f"{place:g}" if not number % every else "" for number, place in enumerate(places)]
    axes.set_xscale("log")
    axes.set_xticks(places, named)
    axes.set_xticks([], minor=True)


def logarithmic_y(axes: Axes) -> None:
    """Make an axis logarithmic, with plain numbers at its ticks."""
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < _NARROW else (1,)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _styles(names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Colour and dashes of each name."""
    others, seen = iter(_OTHER_COLOURS), Counter[str]()
    for name in names:
        family = next((word for word in _COLOURS if name.startswith(word)), name)
        yield _COLOURS.get(family) or next(others), _DASHES[seen[family]]
        seen[family] += 1
