"""Mean of a quantity of an arm."""

from dataclasses import dataclass
from typing import final

from resformer.claims import quantities
from resformer.claims.evidence import Evidence
from resformer.claims.of_quantity import OfQuantity
from resformer.claims.statistics.base import Measured, mean_interval, rows


@final
@dataclass(frozen=True, kw_only=True)
class Mean(OfQuantity):
    """Quantity of `arm`, of one cell: mean over its seeds."""

    arm: str

    @property
    def arms(self) -> tuple[str]:
        """The arm."""
        return (self.arm,)

    def measure(self, evidence: Evidence) -> Measured:
        """Measure the arm."""
        (cell,) = evidence.by_loss([evidence.one(self.arm)])
        quantity = quantities.QUANTITIES[self.of]
        value_S = quantity.measure(evidence, cell)
        value, low, high = mean_interval(value_S)
        return Measured(
            value=value,
            low=low,
            high=high,
            quantity=f"{quantity.words} of {self.arm}",
            numbers=rows(self.arm, cell.key.depth, cell.seeds, **{self.of: value_S}),
        )
