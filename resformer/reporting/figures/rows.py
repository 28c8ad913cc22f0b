"""The axis of a report's rows along x: numbers in their places, words one after another."""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeGuard, final

from matplotlib.axes import Axes

from resformer.keys import as_typed
from resformer.reporting.figures.sheet import Sheet
from resformer.reporting.figures.style import SMALL, shortened, width_of
from resformer.text import printable

_UNITS = {
    "depth": "blocks",
    "task.length": "tokens",
    "train.batch": "sequences",
    "train.steps": "steps",
    "train.warmup_steps": "steps",
    "train.eval_every": "steps",
}
_WORDS = {"residual": "residual scheme", "norm": "norm placement"}
_LONGEST = 1.1
"""Of a tick's label, in inches."""


@final
@dataclass(frozen=True)
class Rows:
    """Where rows stand, in units of x, and what they are called there."""

    at: dict[Any, float]
    labels: list[str]
    title: str
    apart: float
    """The smallest distance between two of them."""

    @property
    def limits(self) -> tuple[float, float]:
        """Of the axis: half a distance more on either side."""
        return min(self.at.values()) - self.apart / 2, max(self.at.values()) + self.apart / 2

    def upright(self, width: float) -> bool:
        """Whether labels have to stand upright to fit on an axis so wide (inches)."""
        return not self._numbers and max(map(width_of, self.labels)) > self._inches(width)

    def below(self, width: float) -> float:
        """Room that labels and title take below such an axis, in inches."""
        return (
            0.42
            if not self.upright(width)
            else 0.36 + min(_LONGEST, max(width_of(text, SMALL) for text in self.labels))
        )

    def mark(self, axes: Axes, width: float) -> None:
        """Limits, ticks and labels of an axis so wide; of numbers only as many as fit."""
        axes.set_xlim(*self.limits)
        places = list(self.at.values())
        inches = self._inches(width) / self.apart
        kept, end = [], -math.inf
        for place, label in zip(places, self.labels, strict=True):
            half = width_of(label, SMALL) / 2
            if not self._numbers or (place - places[0]) * inches - half > end:
                kept.append(label)
                end = (place - places[0]) * inches + half + 0.05
            else:
                kept.append("")
        upright = self.upright(width)
        axes.set_xticks(
            places,
            [shortened(label, _LONGEST, SMALL) for label in kept],
            rotation=90 if upright else 0,
        )
        axes.set_xlabel(self.title)

    @property
    def _numbers(self) -> bool:
        return all(_is_number(value) for value in self.at)

    def _inches(self, width: float) -> float:
        """The smallest distance in inches."""
        low, high = self.limits
        return self.apart / (high - low) * width


def rows(sheet: Sheet) -> Rows:
    """The rows of a sheet: on a scale of doublings where they are positive and span a factor of
    four, else linear.
    """
    values = sheet.panel.rows
    numbers = [float(value) for value in values if _is_number(value)]
    if len(numbers) < len(values):
        places = [float(number) for number in range(len(values))]
    elif min(numbers) > 0 and max(numbers) >= 4 * min(numbers):
        places = [math.log2(number) for number in numbers]
    else:
        places = numbers
    apart = min((after - before for before, after in pairwise(places)), default=1.0)
    labels = [printable(as_typed(value)) for value in values]
    return Rows(
        dict(zip(values, places, strict=True)), labels, title(sheet.panel.layout.rows), apart
    )


def title(axis: str) -> str:
    """What an axis is called, with its unit."""
    name = _WORDS.get(axis, printable(axis.rpartition(".")[2].replace("_", " ")))
    return f"{name} ({_UNITS[axis]})" if axis in _UNITS else name


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
