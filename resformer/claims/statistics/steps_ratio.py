"""Ratio of the steps that arms take to solve a task."""

from dataclasses import dataclass
from typing import final

import numpy as np
import pandas as pd

from resformer.claims.evidence import Evidence
from resformer.claims.statistics.base import Measured, Trained, rows
from resformer.reporting.analysis.cells import CellMembers
from resformer.stats import Floats
from resformer.stats import steps as stats_of_steps
from resformer.stats.speed import paired_ratio


@final
@dataclass(frozen=True, kw_only=True)
class StepsRatio(Trained):
    """Geometric mean of the ratio of steps to solve, paired by seed: the product of the arms
    `above` over that of the arms `below`, of one cell each.

    A seed that did not solve spent its budget, and more: of those above the line the ratio has no
    upper bound, of those below no lower one.
    """

    above: tuple[str, ...]
    below: tuple[str, ...]

    @property
    def arms(self) -> tuple[str, ...]:
        """The arms above and below the line."""
        return *self.above, *self.below

    def measure(self, evidence: Evidence) -> Measured:
        """Compare the arms."""
        above, below = ([*map(evidence.one, arms)] for arms in (self.above, self.below))
        value, low, high = paired_ratio(_product(below), _product(above))
        known = low is not None and high is not None
        return Measured(
            value=np.nan if value is None else value,
            low=low if known and _all_solve(below) else -np.inf,  # type: ignore[arg-type]
            high=high if known and _all_solve(above) else np.inf,  # type: ignore[arg-type]
            quantity=f"steps of {' × '.join(self.above)} / steps of {' × '.join(self.below)}",
            numbers=pd.concat(
                rows(arm, cell.key.depth, cell.seeds, steps=cell.scored(cell.budget))
                for arm, cell in zip((*self.above, *self.below), (*above, *below), strict=True)
            ),
        )


def _product(cells: list[CellMembers]) -> Floats:
    """Product of the steps that each seed spent, (S,)."""
    spent = [stats_of_steps.spent(cell.scored(cell.budget), cell.budget) for cell in cells]
    product_S: Floats = np.prod(spent, axis=0)
    return product_S


def _all_solve(cells: list[CellMembers]) -> bool:
    return not any(np.isnan(cell.scored(cell.budget)).any() for cell in cells)
