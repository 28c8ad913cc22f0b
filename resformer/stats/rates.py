"""Learning rate of a seed: the one at which the other seeds did best."""

import numpy as np

from resformer.stats import Bools, Floats, Integers
from resformer.stats.steps import spent


def rates_by_other_seeds(
    steps_SR: Floats, loss_SR: Floats, ran_SR: Bools, budget: float
) -> Integers:
    """For each seed the column of the best rate of the *other* seeds, (S,); rates ascend.

    Best is: the largest share of seeds solved, then the smallest restricted mean, then the lowest
    mean final held-out loss (a non-finite one is the worst), then the smaller rate. Only rates at
    which the seed itself ran are considered. If no other seed ran at any of them (a single seed has
    no others), the seed's own best rate is taken, which is optimistic.
    """
    one_arm_1S = np.ones((1, len(ran_SR)), dtype=bool)
    rate_S: Integers = rates_in_arms(steps_SR, loss_SR, ran_SR, one_arm_1S, budget)[0]
    return rate_S


def rates_in_arms(
    steps_UR: Floats, loss_UR: Floats, ran_UR: Bools, arm_KU: Bools, budget: float
) -> Integers:
    """`rates_by_other_seeds` within each arm, for K permutations of the arm labels, (K, U); -1 for
    units that never ran.
    """
    solved_UR, finite_UR = ran_UR & ~np.isnan(steps_UR), np.isfinite(loss_UR)
    amounts_URA = np.stack(
        [
            ran_UR,
            solved_UR,
            np.where(ran_UR, spent(steps_UR, budget), 0.0),
            np.where(ran_UR & finite_UR, loss_UR, 0.0),
            ran_UR & ~finite_UR,
        ],
        axis=-1,
        dtype=np.float64,
    )
    itself_UU = np.eye(len(ran_UR), dtype=bool)
    others_KUU = (arm_KU[:, :, None] == arm_KU[:, None, :]) & ~itself_UU
    ran_KUR = np.matmul(others_KUU.astype(np.float64), ran_UR.astype(np.float64))
    alone_KU = ~((ran_KUR > 0) & ran_UR).any(axis=-1)
    others_KUU |= alone_KU[:, :, None] & itself_UU
    units, rates, kinds = amounts_URA.shape
    sums_KURA = (
        others_KUU.reshape(-1, units).astype(np.float64) @ amounts_URA.reshape(units, -1)
    ).reshape(*arm_KU.shape, rates, kinds)
    count_KUR, solved_KUR, spent_KUR, loss_KUR, bad_KUR = np.moveaxis(sums_KURA, -1, 0)
    best_KUR = (count_KUR > 0) & ran_UR
    ran_KU = best_KUR.any(axis=-1)
    divisor_KUR = np.maximum(count_KUR, 1.0)
    for badness_KUR in (
        -solved_KUR / divisor_KUR,
        spent_KUR / divisor_KUR,
        np.where(bad_KUR > 0, np.inf, loss_KUR / divisor_KUR),
    ):
        tied_KUR = np.where(best_KUR, badness_KUR, np.inf)
        best_KUR &= tied_KUR == tied_KUR.min(axis=-1, keepdims=True)
    return np.where(ran_KU, best_KUR.argmax(axis=-1), -1)
