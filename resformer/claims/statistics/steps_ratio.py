"""Ratio of the steps that arms take to solve a task."""

from dataclasses import dataclass
from typing import final

import numpy as np
import pandas as pd

from resformer.claims.evidence import Evidence, of_seeds, paired
from resformer.claims.statistics.base import Measured, Trained, rows
from resformer.errors import UserError
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

    def __post_init__(self) -> None:
        if not self.above or not self.below:
            raise UserError("above, below: need an arm each")

    @property
    def arms(self) -> tuple[str, ...]:
        """The arms above and below the line."""
        return *self.above, *self.below

    def measure(self, evidence: Evidence) -> Measured:
        """Compare the arms."""
        cells = [*map(evidence.one, self.arms)]
        seeds = paired(cells)
        steps = [of_seeds(cell, cell.scored(cell.budget), seeds) for cell in cells]
        spent = [
            stats_of_steps.spent(steps_S, cell.budget)
            for cell, steps_S in zip(cells, steps, strict=True)
        ]
        over = len(self.above)
        value, low, high = paired_ratio(
            np.prod(spent[over:], axis=0), np.prod(spent[:over], axis=0)
        )
        return Measured(
            value=np.nan if value is None else value,
            low=-np.inf if low is None or not _all_solve(steps[over:]) else low,
            high=np.inf if high is None or not _all_solve(steps[:over]) else high,
            quantity=f"steps of {' × '.join(self.above)} / steps of {' × '.join(self.below)}",
            numbers=pd.concat(
                rows(arm, cell.key.depth, seeds, steps=steps_S)
                for arm, cell, steps_S in zip(self.arms, cells, steps, strict=True)
            ),
        )


def _all_solve(steps: list[Floats]) -> bool:
    return not any(np.isnan(steps_S).any() for steps_S in steps)
