"""What a paper claims, what was measured here, and whether the one holds in the other."""

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
    """One thing that was measured, and what it says of the claim."""

    said: str
    """With its interval, and the bound that it is held against."""
    verdict: Verdict | None = None
    """None of what is reported and not judged."""

    def __str__(self) -> str:
        return f"{self.said} ({self.verdict})" if self.verdict else self.said


@final
@dataclass(frozen=True)
class Claim:
    """One claim after it was tried."""

    number: int
    title: str
    source: str
    """The paper, and where in it."""
    saw: str
    """What the paper saw, and where."""
    parts: Sequence[Part]
    """What was measured here."""
    differs: str
    """What is different here from the paper."""
    numbers: pd.DataFrame
    """Everything that the verdict was made of."""
    draw: Callable[[], Figure]

    @property
    def measured(self) -> str:
        """All parts, in a line."""
        return "; ".join(map(str, self.parts))

    @property
    def verdict(self) -> Verdict:
        """It holds if all of its parts do, and does not if one does not."""
        return all_of(*(part.verdict for part in self.parts if part.verdict))


def inside(interval: Interval, low: float, high: float) -> Verdict:
    """Whether a quantity is between two bounds: undecided where its interval straddles one."""
    if low <= interval[0] and interval[1] <= high:
        return "holds"
    return "does not hold here" if interval[1] < low or interval[0] > high else "undecided"


def all_of(*parts: Verdict) -> Verdict:
    """A claim of several parts holds if all do, and does not if one does not."""
    if "does not hold here" in parts:
        return "does not hold here"
    return "undecided" if "undecided" in parts else "holds"


def shown(interval: Interval) -> str:
    """An interval in words."""
    low, high = interval
    if np.isinf(low) and low == high:
        return "infinite"
    return "unknown" if np.isinf(high) and low in (0.0, -np.inf) else f"{low:.3g} to {high:.3g}"
