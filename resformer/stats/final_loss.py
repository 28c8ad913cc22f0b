"""Final losses of two arms after equal budgets: the exact test of their differences."""

from collections.abc import Sequence

import numpy as np

from resformer.stats import Bools, Floats, Integers
from resformer.stats.rates import rates_in_arms
from resformer.stats.two_sample import Stratum, exchange_test


def rates_by_loss(loss_UR: Floats, ran_UR: Bools, arm_KU: Bools) -> Integers:
    """For each unit the column of the rate at which the other units of its arm ended lowest on
    average, of equally low ones the smaller, (K, U); -1 for units that never ran.
    """
    unsolved_UR = np.full(loss_UR.shape, np.nan)
    return rates_in_arms(unsolved_UR, loss_UR, ran_UR, arm_KU, budget=1.0)


def losses_apart(strata: Sequence[Stratum], arm_KU: Bools) -> Floats:
    """Difference between the two arms' mean final losses, first minus second, (K, D).

    Each seed is scored at the rate that its arm's other seeds chose, anew in each permutation.
    Losses are finite. At a depth at which an arm has no seed the difference is 0.
    """
    apart_KD = np.zeros((len(arm_KU), len(strata)))
    for depth, stratum in enumerate(strata):
        rate_KU = rates_by_loss(stratum.loss_UR, stratum.ran_UR, arm_KU)
        loss_KU = stratum.loss_UR[np.arange(arm_KU.shape[1]), rate_KU]
        present_KU = rate_KU >= 0
        sums = [
            (
                (present_KU & inside_KU).sum(axis=1),
                np.where(present_KU & inside_KU, loss_KU, 0.0).sum(axis=1),
            )
            for inside_KU in (arm_KU, ~arm_KU)
        ]
        first_K, second_K = (loss_K / np.maximum(seeds_K, 1) for seeds_K, loss_K in sums)
        both_K = (sums[0][0] > 0) & (sums[1][0] > 0)
        apart_KD[:, depth] = np.where(both_K, first_K - second_K, 0.0)
    return apart_KD


def loss_test(
    strata: Sequence[Stratum], *, first: int, second: int, max_permutations: int
) -> Floats | None:
    """`exchange_test` of the differences of mean final losses; None if an arm is empty."""
    if not (first and second):
        return None
    return exchange_test(
        lambda arm_KU: losses_apart(strata, arm_KU),
        first=first,
        second=second,
        max_permutations=max_permutations,
    )
