"""Panels of the same size on a page of the same width, whatever is drawn in them."""

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

WIDTH = 7.2
"""Of every figure; inches, like all lengths here."""
_LEFT, _TOP, _GAP = 0.72, 0.24, 0.16
_BETWEEN, _TITLED = 0.06, 0.4
"""From one line of panels to the title of the next, without and with an axis' title between them.
"""
_CLEAR = 0.05
"""Share of an axis between two of its ticks."""


def frame(
    count: int, across: int, height: float, right: float, below: float = 0.42
) -> tuple[Figure, list[Axes]]:
    """A figure with so many panels in lines of `across`, all with the same axes; and the panels in
    order.

    `right` is left free for what stands beside the panels, `below` under the last of them; each has
    room for a title.
    """
    down = math.ceil(count / across)
    between = _BETWEEN if count % across == 0 else _TITLED
    whole = _TOP + down * height + (down - 1) * (between + _TOP) + below
    width = panel_width(across, right)
    figure = Figure(figsize=(WIDTH, whole))
    panels: list[Axes] = []
    for number in range(count):
        line, place = divmod(number, across)
        left, top = _LEFT + place * (width + _GAP), _TOP + line * (height + between + _TOP)
        at = (left / WIDTH, 1 - (top + height) / whole, width / WIDTH, height / whole)
        first = panels[0] if panels else None
        axes = figure.add_axes(at, sharex=first, sharey=first)
        axes.tick_params(labelleft=place == 0, labelbottom=number + across >= count)
        panels.append(axes)
    return figure, panels


def panel_width(across: int, right: float) -> float:
    """How wide each of so many panels side by side is."""
    return (WIDTH - _LEFT - right - (across - 1) * _GAP) / across


def last_of_lines(panels: Sequence[Axes], across: int) -> list[Axes]:
    """The rightmost panel of every line."""
    return [
        axes
        for number, axes in enumerate(panels, 1)
        if number % across == 0 or number == len(panels)
    ]


def lowest(panels: Sequence[Axes], across: int) -> Sequence[Axes]:
    """The panels that have none below them."""
    return panels[-across:]


def log_y(
    axes: Axes,
    low: float,
    high: float,
    top: float | None = None,
    also: Mapping[float, str] = MappingProxyType({}),
) -> None:
    """A logarithmic y axis from `low` to `top`, with round numbers between `low` and `high`.

    `also` are further places that are named; round numbers make way for them.
    """
    top = high if top is None else top
    axes.set_yscale("log")
    axes.set_ylim(low, top)
    ticks = [
        tick
        for tick in _round(low, high)
        if all(abs(math.log(tick / at)) > _CLEAR * math.log(top / low) for at in also)
    ]
    axes.set_yticks([*ticks, *also], [*(f"{tick:g}" for tick in ticks), *also.values()])
    axes.set_yticks([], minor=True)


def _round(low: float, high: float) -> list[float]:
    """Round numbers between these, about three to eight."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    found: list[float] = []
    for digits in ((1.0,), (1.0, 3.0), (1.0, 2.0, 5.0), range(1, 10), np.arange(1.0, 10.0, 0.1)):
        ticks = [float(f"{digit:.2g}e{decade}") for decade in decades for digit in digits]
        found = [tick for tick in ticks if low <= tick <= high]
        if len(found) > 2:
            break
    return found[:: math.ceil(len(found) / 8)]
