"""Interface of a statistic: a number of a claim's members, or of its models before training."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
import pandas as pd

from resformer.claims.evidence import Evidence
from resformer.claims.quantities import Planned
from resformer.claims.starts import Starts
from resformer.errors import UserError
from resformer.stats import Floats
from resformer.stats.steps import student_interval

_SAME = 6
"""Seeds with the same value from which on their median is known."""
_ROUNDING = 1e-12
"""Difference of values, absolute and relative, that is rounding."""


@final
@dataclass(frozen=True, kw_only=True)
class Measured:
    """Value of a statistic, its 95 % interval, and the numbers that it is made of."""

    value: float
    """NaN where there is none."""
    low: float
    """-∞ where nothing is known."""
    high: float
    """∞ where nothing is known."""
    p: float | None = None
    """Exact p-value of a difference from 0, of statistics that have a test."""
    quantity: str
    """Its quantity and unit, in words."""
    place: str = "depth"
    """Setting whose values are the places of its numbers."""
    numbers: pd.DataFrame
    """A row per arm, place and seed; a value that is missing, such as the steps of a seed that did
    not solve, is NaN.
    """

    def __str__(self) -> str:
        """The statistic with its interval and p-value, in words."""
        low, high = self.low, self.high
        if np.isinf(low):
            between = "interval unknown" if np.isinf(high) else f"at most {high:.3g}"
        else:
            between = f"at least {low:.3g}" if np.isinf(high) else f"{low:.3g} to {high:.3g}"
        p = "" if self.p is None else f", exact p = {self.p:.2g}"
        return f"{self.quantity}: {self.value:.3g} ({between}){p}"


@dataclass(frozen=True, kw_only=True)
class Statistic(ABC):
    """Statistic, `Trained` or `Untrained`; a final one is a frozen dataclass of its settings:
    numbers, texts, or tuples of texts, of which an arm is a text of conditions as `report --where`
    takes them.
    """

    paired: ClassVar[bool] = True
    """True if it compares the same seeds of its arms."""

    @property
    @abstractmethod
    def arms(self) -> Sequence[str]:
        """The arms that it measures."""

    @property
    def axes(self) -> Sequence[str]:
        """Settings along which it takes each arm."""
        return ()


@dataclass(frozen=True, kw_only=True)
class Along(Statistic):
    """Statistic of an arm along a setting, of which that of another arm may be taken off."""

    arm: str
    on: str
    """A setting, such as model.depth, or `parameters`."""
    less: str = ""

    def __post_init__(self) -> None:
        check_other("less", self.arm, self.less)

    @property
    def arms(self) -> tuple[str, ...]:
        """The arm, and the one whose value is taken off."""
        return tuple(filter(None, (self.arm, self.less)))

    @property
    def axes(self) -> tuple[str, ...]:
        """The setting `on`."""
        return (self.on,)


@dataclass(frozen=True, kw_only=True)
class Trained(Statistic):
    """Statistic of finished members."""

    by_final_loss: ClassVar[bool] = False
    """True if it compares final losses, which members that stop when they solve do not have."""
    needs_weights: ClassVar[bool] = False
    """True if it needs what members learnt (`train.keep_weights`)."""

    def check_members(self, members: Sequence[Planned]) -> None:
        """Raise UserError, before anything runs, if it will not exist of these members of its
        arms.
        """

    @abstractmethod
    def measure(self, evidence: Evidence) -> Measured:
        """Measure it; UserError if the study lacks what it needs."""


@dataclass(frozen=True, kw_only=True)
class Untrained(Statistic):
    """Statistic of models before training, for which nothing is swept."""

    @abstractmethod
    def measure(self, starts: Starts) -> Measured:
        """Measure it; UserError if the study lacks what it needs."""


def mean_interval(values_S: Floats) -> tuple[float, float, float]:
    """(mean, low, high) of a value per seed, by Student's t; neither mean nor bounds where a value
    is not finite.

    Where all seeds have the same value, as counts of blocks may, Student's t says nothing. Their
    interval is then that of the median between the least and the largest value, which is [v, v] at
    95 % from six seeds on (it misses at 2 · 0.5^S), and unknown with fewer.
    """
    if not np.isfinite(values_S).all():
        return np.nan, -np.inf, np.inf
    mean = float(values_S.mean())
    if np.allclose(values_S, values_S[0], rtol=_ROUNDING, atol=_ROUNDING):
        return (mean, mean, mean) if len(values_S) >= _SAME else (mean, -np.inf, np.inf)
    low, high = student_interval(values_S)
    assert low is not None
    assert high is not None
    return mean, low, high


def check_other(setting: str, arm: str, other: str) -> None:
    """Raise UserError for an arm that is compared with itself, from which nothing follows."""
    if arm.split() == other.split():
        raise UserError(f"{setting}: {other}: is the arm itself; another arm would work")


def rows(arm: str, place: object, seeds: list[int], **values: Floats) -> pd.DataFrame:
    """A row per seed of one arm at one place."""
    return pd.DataFrame({"arm": arm, "place": str(place), "seed": seeds, **values})
