"""Slope of a quantity on the logarithm of a setting."""

from dataclasses import dataclass
from typing import final

from resformer.claims import quantities, slopes
from resformer.claims.evidence import Evidence, of_seeds, paired
from resformer.claims.of_quantity import OfQuantity
from resformer.claims.statistics.base import Along, Measured


@final
@dataclass(frozen=True, kw_only=True)
class Slope(Along, OfQuantity):
    """Slope of a quantity of `arm` on the natural logarithm of the setting `on`, or of the number
    of parameters: each seed's least squares, then the mean over seeds. With `less` that arm's slope
    of the same seed is taken off.
    """

    def __post_init__(self) -> None:
        Along.__post_init__(self)
        OfQuantity.__post_init__(self)

    def measure(self, evidence: Evidence) -> Measured:
        """Measure the slope."""
        arms = [evidence.along(arm, self.on) for arm in self.arms]
        cells = evidence.by_loss([cell for arm in arms for cell in arm.values()])
        seeds, quantity, by_loss = paired(cells), quantities.QUANTITIES[self.of], iter(cells)
        lines = [
            slopes.line(
                name,
                self.on,
                {
                    place: of_seeds(cell, quantity.measure(evidence, cell), seeds)
                    for place, cell in zip(arm, by_loss, strict=False)
                },
            )
            for name, arm in zip(self.arms, arms, strict=True)
        ]
        words = f"slope on log {self.on} of the {quantity.words}"
        return slopes.measured(lines, seeds, on=self.on, of=self.of, words=words)
