"""Bound of a claim, and the verdict on a statistic."""

from dataclasses import dataclass
from typing import Literal, final

from resformer.claims.statistics.base import Measured
from resformer.errors import UserError
from resformer.stats.multiplicity import LEVEL

Verdict = Literal["holds", "does not hold here", "undecided"]


@final
@dataclass(frozen=True, kw_only=True)
class Bound:
    """Values that a statistic must have for a claim to hold."""

    above: float | None = None
    below: float | None = None

    def __post_init__(self) -> None:
        if self.above is None and self.below is None:
            raise UserError("holds: has no bound; above: NUMBER, below: NUMBER or both would work")
        if self.above is not None and self.below is not None and self.above >= self.below:
            raise UserError(
                f"holds: above {self.above:g} and below {self.below:g}: no number is both"
            )

    def verdict(self, measured: Measured) -> Verdict:
        """Judge by the 95 % interval: undecided if it straddles a bound, or if 0 is outside the
        bound and the test of a difference from 0 is not significant.
        """
        if measured.p is not None and measured.p > LEVEL and not self._has(0):
            return "undecided"
        low, high = measured.low, measured.high
        over = self.above is None or low > self.above
        under = self.below is None or high < self.below
        if over and under:
            return "holds"
        outside = (self.above is not None and high < self.above) or (
            self.below is not None and low > self.below
        )
        return "does not hold here" if outside else "undecided"

    def _has(self, value: float) -> bool:
        above = self.above is None or value > self.above
        return above and (self.below is None or value < self.below)

    def __str__(self) -> str:
        above = [] if self.above is None else [f"> {self.above:g}"]
        return " and ".join([*above, *([] if self.below is None else [f"< {self.below:g}"])])
