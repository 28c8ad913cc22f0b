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
@dataclass(frozen=True, kw_only=True)
class Claim:
    """One claim after it was tried.

    Its verdict rests on one measurement, which is named before the run; others are reported: a
    verdict of several parts would fail with any of them, however true the claim.
    """

    number: int
    title: str
    source: str
    """The paper, and the place in it."""
    saw: str
    """Observation of the paper."""
    judged: str
    """The measurement that the verdict rests on, with its interval and its bound."""
    verdict: Verdict
    reported: Sequence[str]
    """Further measurements."""
    differs: str
    """Differences from the paper."""
    earlier: str
    """The verdict of an earlier version of this test, and why it was wrong."""
    numbers: pd.DataFrame
    """All numbers that the measurements are made of."""
    draw: Callable[[], Figure]


def inside(interval: Interval, low: float, high: float) -> Verdict:
    """Judge if a quantity is between two bounds: undecided if its interval straddles one."""
    if low <= interval[0] and interval[1] <= high:
        return "holds"
    return "does not hold here" if interval[1] < low or interval[0] > high else "undecided"


def shown(interval: Interval) -> str:
    """An interval in words."""
    low, high = interval
    if np.isinf(low):
        return "unknown" if np.isinf(high) else f"at most {high:.3g}"
    return f"at least {low:.3g}" if np.isinf(high) else f"{low:.3g} to {high:.3g}"
