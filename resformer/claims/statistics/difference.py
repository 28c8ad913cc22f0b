"""Difference of a quantity between two arms."""

from dataclasses import dataclass
from typing import final

import pandas as pd

from resformer.claims import quantities
from resformer.claims.evidence import Evidence, of_seeds, paired
from resformer.claims.of_quantity import OfQuantity
from resformer.claims.statistics.base import Measured, check_other, mean_interval, rows


@final
@dataclass(frozen=True, kw_only=True)
class Difference(OfQuantity):
    """Quantity of `arm` minus that of `against`, of one cell each: mean over the seeds that both
    have.
    """

    arm: str
    against: str

    def __post_init__(self) -> None:
        super().__post_init__()
        check_other("against", self.arm, self.against)

    @property
    def arms(self) -> tuple[str, ...]:
        """Both arms."""
        return self.arm, self.against

    def measure(self, evidence: Evidence) -> Measured:
        """Compare the arms."""
        cells = evidence.by_loss([evidence.one(arm) for arm in self.arms])
        seeds, quantity = paired(cells), quantities.QUANTITIES[self.of]
        values = [of_seeds(cell, quantity.measure(evidence, cell), seeds) for cell in cells]
        value, low, high = mean_interval(values[0] - values[1])
        return Measured(
            value=value,
            low=low,
            high=high,
            quantity=f"{quantity.words} of {self.arm} minus that of {self.against}",
            numbers=pd.concat(
                rows(arm, cell.key.depth, seeds, **{self.of: value_S})
                for arm, cell, value_S in zip(self.arms, cells, values, strict=True)
            ),
        )
