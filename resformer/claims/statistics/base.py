"""Interface of a statistic: what a claim's members are reduced to."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
import pandas as pd

from resformer.claims.evidence import Evidence
from resformer.stats import Floats
from resformer.stats.steps import student_interval


@final
@dataclass(frozen=True, kw_only=True)
class Measured:
    """Number that a statistic found, its 95 % interval, and the numbers that it is made of."""

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
    numbers: pd.DataFrame
    """A row per arm, place and seed."""


@dataclass(frozen=True, kw_only=True)
class Statistic(ABC):
    """Statistic; a subclass is final, a frozen dataclass of its settings: numbers, texts, or tuples
    of texts, of which an arm is a text of conditions as `report --where` takes them.
    """

    by_final_loss: ClassVar[bool] = False
    """True if it compares final losses, which members that stop when they solve do not have."""

    @property
    @abstractmethod
    def arms(self) -> Sequence[str]:
        """The arms that it measures."""

    @property
    def axis(self) -> str:
        """Setting along which it takes each arm; "" if it takes them along none."""
        return ""

    @abstractmethod
    def measure(self, evidence: Evidence) -> Measured:
        """Measure it; UserError if the study has not what it needs."""


def mean_interval(values_S: Floats) -> tuple[float, float, float]:
    """(mean, low, high) of a value per seed, by Student's t; no bounds for a single seed or zero
    variance, and neither where a value is not finite.
    """
    if not np.isfinite(values_S).all():
        return np.nan, -np.inf, np.inf
    low, high = student_interval(values_S)
    known = low is not None and high is not None
    return float(values_S.mean()), low if known else -np.inf, high if known else np.inf  # type: ignore[return-value]


def rows(arm: str, place: object, seeds: list[int], **values: Floats) -> pd.DataFrame:
    """A row per seed of one arm at one place."""
    return pd.DataFrame({"arm": arm, "place": str(place), "seed": seeds, **values})
