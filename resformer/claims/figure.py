"""Figure of a claim: the numbers of its statistic by place, arm and seed."""

import math
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from resformer.claims.statistics.base import Measured
from resformer.keys import short
from resformer.reporting.figures.axes import axis_title, log_y
from resformer.reporting.figures.style import RC, colours
from resformer.stats import Floats
from resformer.text import printable

_WIDTH, _HEIGHT, _PER_ARM = 7.2, 2.4, 0.17
"""Size in inches, and what every arm adds to the height for its line of the legend."""
_LANES = 0.25
"""Share of the distance between two places over which the arms stand side by side."""
_LOGARITHMIC = 20.0
"""Values above 0 that span such a factor are on a logarithmic axis."""
_MOST_NAMED = 8
"""Places that are named at the most."""
_MARGIN = 1.25
"""Factor between values and the ends of a logarithmic axis."""


def draw(measured: Measured, path: Path) -> None:
    """Draw a line per arm, the median over seeds, with every seed beside it; a value that is
    missing, such as the steps of a seed that did not solve, is a cross at the top.
    """
    table = measured.numbers
    arms, places = [*dict.fromkeys(table["arm"])], _places(table["place"])
    column = str(table.columns[3])
    values = table[column].to_numpy(np.float64)
    with mpl.rc_context(RC):
        figure = Figure(figsize=(_WIDTH, _HEIGHT + _PER_ARM * len(arms)), layout="constrained")
        axes = figure.add_subplot()
        top = _y_axis(axes, values[np.isfinite(values)])
        axes.set_ylabel(printable(column.replace("_", " ")))
        _x_axis(axes, places, axis_title(short(measured.place)))
        spacing = min(np.diff(sorted(places.values())), default=1.0)
        colour_of = colours("arm", arms)
        for number, arm in enumerate(arms):
            offset = (number - (len(arms) - 1) / 2) * _LANES * spacing / len(arms)
            rows = table[table["arm"] == arm].drop_duplicates(["seed", "place"])
            value_SX = rows.pivot(index="seed", columns="place", values=column)
            x_X = np.array([places[place] for place in value_SX]) + offset
            order = np.argsort(x_X)
            _arm(axes, x_X[order], value_SX.to_numpy(np.float64)[:, order], top, colour_of[arm])
            axes.plot([], [], color=colour_of[arm], linewidth=1.5, label=printable(arm))
        figure.legend(frameon=False, loc="outside lower left", fontsize=7)
        figure.savefig(path, metadata={"Date": None})


def _arm(axes: Axes, x_X: Floats, value_SX: Floats, top: float, colour: str) -> None:
    is_there_SX = np.isfinite(value_SX)
    x_SX = np.broadcast_to(x_X, value_SX.shape)
    axes.plot(x_SX[is_there_SX], value_SX[is_there_SX], ".", color=colour, markersize=3, alpha=0.6)
    missing = x_SX[~is_there_SX]
    axes.plot(
        missing,
        np.full(len(missing), top),
        "x",
        color=colour,
        markeredgewidth=0.6,
        markersize=4,
        clip_on=False,
    )
    median_X = np.median(np.where(is_there_SX, value_SX, np.inf), axis=0)
    median_X[np.isinf(median_X)] = np.nan
    axes.plot(x_X, median_X, "-o", color=colour, linewidth=1.2, markersize=4)


def _places(column: pd.Series) -> dict[str, float]:
    """Position of each place: numbers to scale, on a logarithmic one if they are above 0 and span a
    factor of four; words one after another.
    """
    places = [*dict.fromkeys(map(str, column))]
    try:
        numbers = [float(place) for place in places]
    except ValueError:
        return {place: float(number) for number, place in enumerate(places)}
    if min(numbers) > 0 and max(numbers) >= 4 * min(numbers):
        numbers = [math.log2(number) for number in numbers]
    return dict(sorted(zip(places, numbers, strict=True), key=lambda pair: pair[1]))


def _x_axis(axes: Axes, places: dict[str, float], title: str) -> None:
    every = -(-len(places) // _MOST_NAMED)
    labels = [printable(place) if not n % every else "" for n, place in enumerate(places)]
    axes.set_xticks([*places.values()], labels)
    axes.set_xlabel(title)


def _y_axis(axes: Axes, values: Sequence[float] | Floats) -> float:
    """Set the axis of these values; returns where missing ones are drawn."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    if low > 0 and high >= _LOGARITHMIC * low:
        log_y(axes, low / _MARGIN, high * _MARGIN)
        return float(high * _MARGIN)
    edge = 0.05 * (high - low or 1.0)
    axes.set_ylim(low - edge, high + edge)
    return float(high + edge)
