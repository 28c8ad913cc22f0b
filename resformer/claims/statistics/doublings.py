"""Doublings of depth: how much deeper one arm trains than another."""

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
import pandas as pd

from resformer.claims.evidence import Evidence
from resformer.claims.statistics.base import Measured, Trained, check_other, rows
from resformer.errors import UserError
from resformer.keys import as_typed
from resformer.reporting.analysis.comparisons import comparisons
from resformer.reporting.analysis.pairs import Pairing, differing_axes


@final
@dataclass(frozen=True, kw_only=True)
class Doublings(Trained):
    """Doublings of depth that `arm` solves more than `against`, with the exact p-value of the
    report's comparison: whole seeds exchanged, the largest difference of shares solved over depths.
    """

    arm: str
    against: str

    paired: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_other("against", self.arm, self.against)

    @property
    def arms(self) -> tuple[str, ...]:
        """Both arms."""
        return self.arm, self.against

    @property
    def axes(self) -> tuple[str]:
        """The depth."""
        return ("model.depth",)

    def measure(self, evidence: Evidence) -> Measured:
        """Compare the arms."""
        scheme, baseline = evidence.along(self.arm, "depth"), evidence.along(self.against, "depth")
        first, second = (next(iter(cells.values())).key.arm for cells in (scheme, baseline))
        words = [f"{axis}={as_typed(second.value(axis))}" for axis in differing_axes(first, second)]
        cells = [*scheme.values(), *baseline.values()]
        compared = comparisons(cells, Pairing(against=" ".join(words)))
        if len(compared) != 1 or compared[0].doublings is None:
            raise UserError(f"statistic: {self.arm} and {self.against} share no two depths")
        apart = compared[0].doublings
        return Measured(
            value=apart.value,
            low=-np.inf if apart.low is None else apart.low,
            high=np.inf if apart.high is None else apart.high,
            p=1.0 if compared[0].p is None else compared[0].p,
            quantity=f"doublings of depth that {self.arm} solves more than {self.against}",
            numbers=pd.concat(
                rows(name, depth, cell.seeds, steps=cell.scored(cell.budget))
                for name, arm in ((self.arm, scheme), (self.against, baseline))
                for depth, cell in arm.items()
            ),
        )
