"""Order of arms by the learning rates at which they learn something."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, NamedTuple, final

import numpy as np
import pandas as pd

from resformer.claims.evidence import Evidence
from resformer.claims.statistics.base import Measured, Trained, rows
from resformer.errors import UserError
from resformer.keys import LEARNT
from resformer.reporting.analysis.cells import CellMembers
from resformer.stats import Bools
from resformer.stats.multiplicity import LEVEL
from resformer.stats.reach import Solved, doublings_apart
from resformer.stats.two_sample import Stratum, depth_test, permutation_count


class Further(NamedTuple):
    """Doublings of the rate at which one arm learns more than another."""

    value: float
    low: float
    high: float
    p: float


@final
@dataclass(frozen=True, kw_only=True)
class RatesOrder(Trained):
    """Doublings of the learning rate at which each arm of `ascending` learns more than the arm
    before, of one cell each with the same rates: the least of all pairs, with the largest of their
    p-values; or of a pair that is significantly the other way round, that one.

    A member learns that ends below 0.95 times the loss of the best that does not look at the input.
    A p-value is exact: whole seeds exchanged, the largest difference of shares over rates.
    """

    ascending: tuple[str, ...]
    """Two arms or more, the one with the fewest rates first."""

    by_final_loss: ClassVar[bool] = True
    paired: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if len(self.ascending) < 2:
            raise UserError("ascending: needs two arms at least")

    @property
    def arms(self) -> tuple[str, ...]:
        """All of them."""
        return self.ascending

    def measure(self, evidence: Evidence) -> Measured:
        """Compare every arm with the one before."""
        cells = [evidence.one(arm) for arm in self.ascending]
        rates = cells[0].rates
        if any(cell.rates != rates or not cell.ran_SR.all() for cell in cells):
            raise UserError("ascending: its arms need the same learning rates")
        learnt = [_learnt(cell) for cell in cells]
        pairs = [further(after, before, rates) for before, after in pairwise(learnt)]
        reversed_ = [pair for pair in pairs if pair.value < 0 and pair.p <= LEVEL]
        value, low, high, p = (
            min(reversed_)
            if reversed_
            else (
                min(pair.value for pair in pairs),
                min(pair.low for pair in pairs),
                min(pair.high for pair in pairs),
                max(pair.p for pair in pairs),
            )
        )
        reach = ", ".join(
            f"{arm} {learnt_SR.sum() / len(learnt_SR):.1f}"
            for arm, learnt_SR in zip(self.ascending, learnt, strict=True)
        )
        return Measured(
            value=value,
            low=low,
            high=high,
            p=p,
            quantity=f"least doublings of the learning rate between arms that learn at more and "
            f"more of {len(rates)} rates ({reach})",
            place="member.lr",
            numbers=pd.concat(
                rows(arm, rate, cell.seeds, final_loss=loss_S, learnt=learnt_S)
                for arm, cell, learnt_SR in zip(self.ascending, cells, learnt, strict=True)
                for rate, loss_S, learnt_S in zip(rates, cell.loss_SR.T, learnt_SR.T, strict=True)
            ),
        )


def _learnt(cell: CellMembers) -> Bools:
    """True for members that learnt something, (S, R)."""
    blind_loss = cell.arrays["blind_loss"][cell.row_SR]
    learnt_SR: Bools = cell.loss_SR < LEARNT * blind_loss
    return learnt_SR


def further(first_SR: Bools, second_SR: Bools, rates: Sequence[float]) -> Further:
    """Doublings of the rate at which the first arm learns more than the second."""
    first, second = len(first_SR), len(second_SR)
    both_UR = np.concatenate([first_SR, second_SR])
    strata = [
        Stratum(
            steps_UR=np.where(learnt_U[:, None], 0.0, np.nan),
            loss_UR=np.zeros((first + second, 1)),
            ran_UR=np.ones((first + second, 1), dtype=bool),
            budget=1,
        )
        for learnt_U in both_UR.T
    ]
    p_R = depth_test(
        strata, first=first, second=second, max_permutations=permutation_count(first, second)
    )
    counts = [
        Solved(solved=[*learnt_SR.sum(axis=0)], seeds=[len(learnt_SR)] * len(rates))
        for learnt_SR in (first_SR, second_SR)
    ]
    value, low, high = doublings_apart(rates, *counts)
    return Further(value, low, high, 1.0 if p_R is None else float(p_R.min()))
