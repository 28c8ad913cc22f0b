"""A claim of a paper, its measurements here, and the verdict."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, final

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

Verdict = Literal["holds", "does not hold here", "undecided"]
Interval = tuple[float, float]


@final
@dataclass(frozen=True)
class Part:
    """A measurement in words, and its verdict on the claim."""

    text: str
    """With its interval, and the bound that it is held against."""
    verdict: Verdict | None = None
    """None if it is reported and not judged."""

    def __str__(self) -> str:
        return f"{self.text} ({self.verdict})" if self.verdict else self.text


@final
@dataclass(frozen=True, kw_only=True)
class Claim:
    """One claim after it was tried."""

    number: int
    title: str
    source: str
    """The paper, and the place in it."""
    saw: str
    """Observation of the paper."""
    parts: Sequence[Part]
    """Measurements here."""
    differs: str
    """Differences from the paper."""
    numbers: pd.DataFrame
    """All numbers that the verdict is made of."""
    draw: Callable[[], Figure]

    @property
    def measured(self) -> str:
        """All parts, in a line."""
        return "; ".join(map(str, self.parts))

    @property
    def verdict(self) -> Verdict:
        """Verdict on all parts: holds if all do, and does not if one does not."""
        return all_of(*(part.verdict for part in self.parts if part.verdict))


def inside(interval: Interval, low: float, high: float) -> Verdict:
    """Judge if a quantity is between two bounds: undecided if its interval straddles one."""
    if low <= interval[0] and interval[1] <= high:
        return "holds"
    return "does not hold here" if interval[1] < low or interval[0] > high else "undecided"


def all_of(*parts: Verdict) -> Verdict:
    """Judge several parts: they hold if all do, and do not if one does not."""
    if "does not hold here" in parts:
        return "does not hold here"
    return "undecided" if "undecided" in parts else "holds"


def shown(interval: Interval) -> str:
    """An interval in words."""
    low, high = interval
    if np.isinf(low) and low == high:
        return "infinite"
    return "unknown" if np.isinf(high) and low in (0.0, -np.inf) else f"{low:.3g} to {high:.3g}"
