"""A claim's figure: lines of medians with their seeds."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

import matplotlib as mpl
import numpy as np
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
_MOST_TICKS = 7


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
        for axis, logarithmic in (("x", log[0]), ("y", log[1])):
            if logarithmic:
                getattr(axes, f"set_{axis}scale")("log")
        if log[0]:
            every = -(-len(x) // _MOST_TICKS)
            axes.set_xticks(
                x, [f"{place:g}" if not number % every else "" for number, place in enumerate(x)]
            )
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
        figure.legend(frameon=False, loc="outside right upper")
    return figure


def _styles(names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Colour and dashes of each name."""
    others, seen = iter(_OTHER_COLOURS), Counter[str]()
    for name in names:
        family = next((word for word in _COLOURS if name.startswith(word)), name)
        yield _COLOURS.get(family) or next(others), _DASHES[seen[family]]
        seen[family] += 1
