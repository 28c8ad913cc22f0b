"""Difference of the final losses of two arms."""

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
import pandas as pd

from resformer.claims.evidence import Evidence, of_seeds, paired
from resformer.claims.statistics.base import Measured, Statistic, mean_interval, rows


@final
@dataclass(frozen=True, kw_only=True)
class LossDifference(Statistic):
    """Final held-out loss of `arm` minus that of `against`, nats per target, of one cell each: mean
    over the seeds of both, each at the rate that is best for the others.
    """

    arm: str
    against: str

    by_final_loss: ClassVar[bool] = True

    @property
    def arms(self) -> tuple[str, ...]:
        """Both arms."""
        return self.arm, self.against

    def measure(self, evidence: Evidence) -> Measured:
        """Compare the arms."""
        cells = evidence.by_loss([evidence.one(arm) for arm in (self.arm, self.against)])
        seeds = paired(*cells)
        losses = [
            of_seeds(cell, cell.loss_SR[np.arange(len(cell.seeds)), cell.chosen], seeds)
            for cell in cells
        ]
        value, low, high = mean_interval(losses[0] - losses[1])
        return Measured(
            value=value,
            low=low,
            high=high,
            quantity=f"final loss of {self.arm} minus that of {self.against}, nats per target",
            numbers=pd.concat(
                rows(arm, cell.key.depth, seeds, final_loss=loss_S)
                for arm, cell, loss_S in zip((self.arm, self.against), cells, losses, strict=True)
            ),
        )
