"""Statistics of convergence: arrays in, numbers out.

Steps to solve are censored at the budget: NaN stands for a member that did not solve within it. S seeds, R learning
rates. A quantity that does not exist is None, never 0 and never the budget.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def median_steps(steps_S: Floats) -> float | None:
    """The smallest number of steps within which at least half of the seeds have solved; None if fewer than half did.

    An order statistic, number ⌈S/2⌉: it needs no assumption on what the censored seeds would have done.
    """
    half = -(-len(steps_S) // 2)
    value = np.sort(steps_S)[half - 1] if half else np.nan  # NaN sorts last
    return None if np.isnan(value) else float(value)


def restricted_mean(steps_S: Floats, budget: int) -> float:
    """Mean steps spent within the budget: a seed that did not solve spent all of it (Royston & Parmar 2013, eq. 1)."""
    return float(np.where(np.isnan(steps_S), budget, np.minimum(steps_S, budget)).mean())


def best_rate(steps_SR: Floats, loss_SR: Floats, ran_SR: npt.NDArray[np.bool_], budget: int) -> int | None:
    """Column of the best learning rate; rates ascend. None if nothing ran.

    Best is: the largest share of seeds solved, then the smallest restricted mean, then the lowest mean final held-out
    loss (a non-finite one is the worst), then the smaller rate. `ran_SR` says which members there are.
    """

    def badness(column: int) -> tuple[float, float, float, int]:
        ran_S = ran_SR[:, column]
        steps_S, loss_S = steps_SR[ran_S, column], loss_SR[ran_S, column]
        loss = float(loss_S.mean()) if np.isfinite(loss_S).all() else np.inf
        return -float(np.mean(~np.isnan(steps_S))), restricted_mean(steps_S, budget), loss, column

    candidates = [column for column in range(ran_SR.shape[1]) if ran_SR[:, column].any()]
    return min(candidates, key=badness, default=None)


def rates_by_other_seeds(steps_SR: Floats, loss_SR: Floats, ran_SR: npt.NDArray[np.bool_], budget: int) -> list[int]:
    """For each seed, the column of the best rate of the *other* seeds, so that no seed is scored where it was tuned.

    Only rates at which the seed itself ran are looked at. Where no other seed ran at one of those (a single seed has no
    others), its own best rate is taken, which is optimistic.
    """
    chosen = []
    for seed, own_R in enumerate(ran_SR):
        others = np.arange(len(ran_SR)) != seed
        column = best_rate(steps_SR[others], loss_SR[others], ran_SR[others] & own_R, budget)
        if column is None:
            column = best_rate(steps_SR[[seed]], loss_SR[[seed]], ran_SR[[seed]], budget)
        assert column is not None, "a seed that ran at no rate"
        chosen.append(column)
    return chosen


def depth_run(depths: Sequence[int], solved: Sequence[int], seeds: Sequence[int]) -> tuple[int | None, int | None]:
    """(depth floor, depth limit) of one column: depths ascend, `solved` of `seeds` seeds solved at each.

    The floor is the smallest depth at which at least half of the seeds solve; the limit is the last depth of the
    unbroken run from there. None, None if no depth does.
    """
    floor = limit = None
    for depth, right, of in zip(depths, solved, seeds, strict=True):
        if of and 2 * right >= of:
            floor = depth if floor is None else floor
            limit = depth
        elif floor is not None:
            break
    return floor, limit
