"""Axes of the figures: panels of one size on a page of one width, the report's rows along x.

All lengths are inches.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from types import MappingProxyType
from typing import final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from resformer.keys import Value, as_typed, is_number
from resformer.reporting.figures import marks
from resformer.reporting.figures.data import PanelData
from resformer.reporting.figures.style import SMALL, Series, shortened, width_of
from resformer.reporting.layout import Panel
from resformer.reporting.text.words import metric
from resformer.text import printable

_WIDTH = 7.2
"""Width of every figure."""
_LEFT, _TOP, _GAP = 0.72, 0.24, 0.16
_HEADED = 0.18
"""Space that the heading of a figure takes above its panels."""
_BETWEEN, _TITLED = 0.06, 0.4
"""Space between two lines of panels, without and with the title of an axis in it."""
_BELOW = 0.42
"""Space below the panels for ticks and the title of their axis."""
_TICKS_APART = 0.05
"""Share of an axis between two of its ticks."""
_LONG = 1e6
"""Number from which on labels have a metric prefix."""
_LONGEST = 1.1
"""Width of the longest label of a tick."""
_LANES = 0.25
"""Share of the distance between two rows over which series stand side by side, so that a mark is
read at its own row.
"""
_WIDEST = 0.2
"""Width of the widest lane."""
_MOST_ACROSS = (5, 4, 3)

_UNITS = {
    "depth": "blocks",
    "task.length": "tokens",
    "train.batch": "sequences",
    "train.steps": "steps",
    "train.warmup_steps": "steps",
    "train.eval_every": "steps",
}
_WORDS = {"residual": "residual scheme", "norm": "norm placement"}


@final
@dataclass(frozen=True, kw_only=True)
class Grid:
    """Panels of a figure in lines of `across`, all with the same axes."""

    figure: Figure
    panels: list[Axes]
    across: int

    def label(self, x: str, y: str) -> None:
        """Set the titles of the axes, below and to the left of the panels."""
        for axes in self.panels[:: self.across]:
            axes.set_ylabel(y)
        for axes in self.panels[-self.across :]:
            axes.set_xlabel(x)

    @property
    def last_of_lines(self) -> list[Axes]:
        """Rightmost panel of every line."""
        return [*self.panels[self.across - 1 : -1 : self.across], self.panels[-1]]


def balanced(count: int) -> int:
    """Number of panels in a line, at most five, that leaves no panel alone in the last line, and
    the fewest places of it empty.
    """
    if count <= _MOST_ACROSS[0]:
        return count
    return min(_MOST_ACROSS, key=lambda across: (count % across == 1, -count % across))


def grid(
    count: int,
    across: int,
    *,
    height: float,
    right: float,
    heading: str,
    left: float = _LEFT,
    below: float = _BELOW,
) -> Grid:
    """Figure with so many panels of this height under a heading (or none, if it is empty), with
    `left`, `right` and `below` left free around them, and room for a title above each.
    """
    lines = math.ceil(count / across)
    between = _BETWEEN if count % across == 0 else _TITLED
    above = _TOP + (_HEADED if heading else 0)
    total = above + lines * height + (lines - 1) * (between + _TOP) + below
    width = panel_width(across, right, left)
    figure = Figure(figsize=(_WIDTH, total))
    if heading:
        figure.text(
            0.05 / _WIDTH,
            1 - 0.06 / total,
            shortened(printable(heading), _WIDTH - 0.1),
            weight="bold",
            va="top",
            gid="heading",
        )
    panels: list[Axes] = []
    for number in range(count):
        line, column = divmod(number, across)
        x, top = left + column * (width + _GAP), above + line * (height + between + _TOP)
        box = (x / _WIDTH, 1 - (top + height) / total, width / _WIDTH, height / total)
        first = panels[0] if panels else None
        axes = figure.add_axes(box, sharex=first, sharey=first)
        axes.tick_params(labelleft=column == 0, labelbottom=number + across >= count)
        panels.append(axes)
    return Grid(figure=figure, panels=panels, across=across)


def panel_width(across: int, right: float, left: float = _LEFT) -> float:
    """Width of each of so many panels side by side."""
    return (_WIDTH - left - right - (across - 1) * _GAP) / across


@final
@dataclass(frozen=True, kw_only=True)
class Lanes:
    """Panels with the report's rows along x, where at each row every series has a lane."""

    figure: Figure
    panels: list[Axes]
    height: float
    """Height of the panels, in inches."""
    x_of_row: Mapping[Value, float]
    offset: Mapping[Series, float]
    """Distance of a series from its row, so that no two overlap."""
    width: float
    """Width of a lane, in units of x."""
    inches: float
    """Width of a lane, in inches."""

    def x(self, row: Value, series: Series) -> float:
        """Position of a cell."""
        return self.x_of_row[row] + self.offset[series]


def lanes(
    data: PanelData, height: float, titles: Sequence[str], further: Sequence[str] = ()
) -> Lanes:
    """Panels of at least this height side by side, a title for each, with room to the right for
    the labels of the series and for `further` ones.
    """
    rows, columns = _row_axis(data.panel), data.panel.columns
    texts = [*map(data.label, columns), *further]
    right = marks.labels_width(texts)
    height = max(height, marks.labels_height(len(texts)))
    width = panel_width(len(titles), right)
    page = grid(
        len(titles),
        len(titles),
        height=height,
        right=right,
        heading=data.panel.title,
        below=rows.below(width),
    )
    for axes, title in zip(page.panels, titles, strict=True):
        rows.apply(axes, width)
        axes.set_title(title)
    low, high = rows.limits
    inch = (high - low) / width
    lane = min(_LANES * rows.spacing / len(columns), _WIDEST * inch)
    middle = (len(columns) - 1) / 2
    return Lanes(
        figure=page.figure,
        panels=page.panels,
        height=height,
        x_of_row=rows.x,
        offset={series: (number - middle) * lane for number, series in enumerate(columns)},
        width=lane,
        inches=lane / inch,
    )


@final
@dataclass(frozen=True, kw_only=True)
class _RowAxis:
    """The axis of the report's rows along x: numbers to scale, words one after another."""

    x: Mapping[Value, float]
    labels: list[str]
    title: str

    @cached_property
    def spacing(self) -> float:
        """The smallest distance between two rows."""
        return min((after - before for before, after in pairwise(self.x.values())), default=1.0)

    @property
    def limits(self) -> tuple[float, float]:
        """Limits of the axis: half a spacing more on either side."""
        return min(self.x.values()) - self.spacing / 2, max(self.x.values()) + self.spacing / 2

    def upright(self, width: float) -> bool:
        """True if labels fit on an axis of this width only upright."""
        return not self._numeric and max(map(width_of, self.labels)) > self._inches(width)

    def below(self, width: float) -> float:
        """Space that labels and title take below an axis of this width."""
        if not self.upright(width):
            return _BELOW
        return 0.36 + min(_LONGEST, max(width_of(text, SMALL) for text in self.labels))

    def apply(self, axes: Axes, width: float) -> None:
        """Set limits, ticks and labels of an axis of this width; of numbers only as many as fit."""
        axes.set_xlim(*self.limits)
        ticks = list(self.x.values())
        inches = self._inches(width) / self.spacing
        labels, end = [], -math.inf
        for tick, label in zip(ticks, self.labels, strict=True):
            middle, half = (tick - ticks[0]) * inches, width_of(label, SMALL) / 2
            fits = not self._numeric or middle - half > end
            labels.append(shortened(label, _LONGEST, SMALL) if fits else "")
            end = middle + half + 0.05 if fits else end
        axes.set_xticks(ticks, labels, rotation=90 if self.upright(width) else 0)
        axes.set_xlabel(self.title)

    @property
    def _numeric(self) -> bool:
        return all(map(is_number, self.x))

    def _inches(self, width: float) -> float:
        """The spacing in inches."""
        low, high = self.limits
        return self.spacing / (high - low) * width


def _row_axis(panel: Panel) -> _RowAxis:
    """Axis of the panel's rows, logarithmic if they are positive and span a factor of four."""
    rows = panel.rows
    numbers = [float(row) for row in rows if is_number(row)]
    if len(numbers) < len(rows):
        numbers = [float(number) for number in range(len(rows))]
    elif min(numbers) > 0 and max(numbers) >= 4 * min(numbers):
        numbers = [math.log2(number) for number in numbers]
    return _RowAxis(
        x=dict(zip(rows, numbers, strict=True)),
        labels=[printable(as_typed(row)) for row in rows],
        title=axis_title(panel.layout.rows),
    )


def axis_title(key: str) -> str:
    """Title of the axis of a setting, with its unit."""
    name = _WORDS.get(key, printable(key.rpartition(".")[2].replace("_", " ")))
    return f"{name} ({_UNITS[key]})" if key in _UNITS else name


def log_y(
    axes: Axes,
    low: float,
    high: float,
    *,
    top: float | None = None,
    named: Mapping[float, str] = MappingProxyType({}),
) -> None:
    """Set a logarithmic y axis from `low` to `top`, with round numbers between `low` and `high`.

    `named` are further ticks with their labels; round numbers make way for them.
    """
    top = high if top is None else top
    axes.set_yscale("log")
    axes.set_ylim(low, top)
    ticks = [
        tick
        for tick in _round_numbers(low, high)
        if all(abs(math.log(tick / y)) > _TICKS_APART * math.log(top / low) for y in named)
    ]
    axes.set_yticks([*ticks, *named], [*map(_tick, ticks), *named.values()])
    axes.set_yticks([], minor=True)


def _tick(number: float) -> str:
    """Label of a number: with a metric prefix where it would have an exponent."""
    return metric(number) if number >= _LONG else f"{number:g}"


def _round_numbers(low: float, high: float) -> list[float]:
    """Round numbers between these, about three to eight."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    numbers: list[float] = []
    for digits in ((1.0,), (1.0, 3.0), (1.0, 2.0, 5.0), range(1, 10), np.arange(1.0, 10.0, 0.1)):
        candidates = [float(f"{digit:.2g}e{decade}") for decade in decades for digit in digits]
        numbers = [number for number in candidates if low <= number <= high]
        if len(numbers) > 2:
            break
    return numbers[:: math.ceil(len(numbers) / 8)]
