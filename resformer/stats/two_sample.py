"""Exact tests of two arms, such as with and without residual connections: how deep they train."""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from resformer.stats import Bools, Floats
from resformer.stats.rates import rates_in_arms
from resformer.stats.steps import spent

_CHUNK = 2048
_BESAG_CLIFFORD_H = 50
"""Random permutations as extreme as the observed one after which sampling stops."""
_ROUNDING = 1e-9
"""Statistics this close count as equally extreme."""


@final
@dataclass(frozen=True, kw_only=True)
class Stratum:
    """Units of both arms at one depth: steps and loss at every rate, and their common budget."""

    steps_UR: Floats
    loss_UR: Floats
    ran_UR: Bools
    budget: float


def shares_apart(strata: Sequence[Stratum], arm_KU: Bools) -> Floats:
    """Difference between the two arms' shares of seeds solved, first minus second, (K, D).

    Each seed is scored at the rate that its arm's other seeds chose, anew in each permutation. At a
    depth at which an arm has no seed the difference is 0.
    """
    apart_KD = np.zeros((len(arm_KU), len(strata)))
    for depth, stratum in enumerate(strata):
        steps_KU, present_KU = _scored(stratum, arm_KU)
        solved_KU = present_KU & ~np.isnan(steps_KU)
        counts = [
            ((present_KU & inside_KU).sum(axis=1), (solved_KU & inside_KU).sum(axis=1))
            for inside_KU in (arm_KU, ~arm_KU)
        ]
        first_K, second_K = (solved_K / np.maximum(seeds_K, 1) for seeds_K, solved_K in counts)
        both_K = (counts[0][0] > 0) & (counts[1][0] > 0)
        apart_KD[:, depth] = np.where(both_K, first_K - second_K, 0.0)
    return apart_KD


def speeds_apart(strata: Sequence[Stratum], arm_KU: Bools) -> Floats:
    """Difference between the two arms' mean logarithms of steps, over seeds and depths, (K, 1).

    Rates are chosen anew as in `shares_apart`; a seed that does not solve there counts with the
    whole budget.
    """
    log_KU = np.mean(
        [np.log(spent(_scored(stratum, arm_KU)[0], stratum.budget)) for stratum in strata], axis=0
    )
    first_K, second_K = (
        (log_KU * inside_KU).sum(axis=1) / inside_KU.sum(axis=1) for inside_KU in (arm_KU, ~arm_KU)
    )
    apart_K1: Floats = (first_K - second_K)[:, None]
    return apart_K1


def _scored(stratum: Stratum, arm_KU: Bools) -> tuple[Floats, Bools]:
    """Steps of each unit at the rate that its arm's other units chose, NaN where it did not solve,
    and whether it ran, both (K, U).
    """
    rate_KU = rates_in_arms(
        stratum.steps_UR, stratum.loss_UR, stratum.ran_UR, arm_KU, stratum.budget
    )
    return stratum.steps_UR[np.arange(arm_KU.shape[1]), rate_KU], rate_KU >= 0


def depth_test(
    strata: Sequence[Stratum], *, first: int, second: int, max_permutations: int
) -> Floats | None:
    """`exchange_test` of the differences of shares solved; None if an arm is empty or nobody solved
    at any depth.
    """
    if not (first and second) or all(np.isnan(stratum.steps_UR).all() for stratum in strata):
        return None
    return exchange_test(
        lambda arm_KU: shares_apart(strata, arm_KU),
        first=first,
        second=second,
        max_permutations=max_permutations,
    )


def exchange_test(
    differences: Callable[[Bools], Floats], *, first: int, second: int, max_permutations: int
) -> Floats:
    """Two-sided p-value at each depth, (D,), corrected for the number of depths; the smallest is
    that of the comparison.

    Whole seeds are exchanged between two arms of `first` and `second` seeds (the first arm's units
    come first); `differences` gives those of both arms at each depth, (K, U) → (K, D). The
    statistic is the largest difference over depths; step-down over the depths in the order of their
    differences (Westfall & Young 1993, algorithm 2.8), which holds the error over all depths. p is
    the share of all permutations that are at least as extreme as the observed one. If there are
    more than `max_permutations`, so many are drawn at random and the observed one is counted in
    (Phipson & Smyth 2010); fewer, as soon as h of them are as extreme at every depth (Besag &
    Clifford 1991). Differences are not divided by their standard deviations: rates are chosen anew
    in each permutation, which costs power at tied depths.
    """
    h = _BESAG_CLIFFORD_H if permutation_count(first, second) > max_permutations else math.inf
    total = 0
    extreme_D, observed_D, order_D = np.empty(0), np.empty(0), np.empty(0, dtype=np.int64)
    for arm_KU in permutations(first, second, max_permutations):
        apart_KD = np.abs(differences(arm_KU))
        if not total:
            order_D = np.argsort(-apart_KD[0], kind="stable")
            observed_D = apart_KD[0, order_D]
            extreme_D = np.zeros(len(order_D))
        # The largest difference over a depth and those behind it in the order.
        largest_KD = np.maximum.accumulate(apart_KD[:, order_D[::-1]], axis=1)[:, ::-1]
        extreme_D += (largest_KD >= observed_D - _ROUNDING).sum(axis=0)
        total += len(arm_KU)
        if extreme_D.min() >= h:
            break
    p_D = np.empty(len(order_D))
    p_D[order_D] = np.maximum.accumulate(extreme_D / total)
    return p_D


def permutation_count(first: int, second: int) -> int:
    """Number of ways to assign whole seeds to two arms of these sizes."""
    return math.comb(first + second, first)


def permutations(first: int, second: int, max_permutations: int) -> Iterator[Bools]:
    """Assignments of the units to the arms, in chunks (K, U), True in the first arm; the observed
    one comes first.

    All of them; or, if there are more than `max_permutations`, so many at random after the first.
    Arms of equal size can change places without changing the size of any difference, so only those
    with the first unit in the first arm are made.
    """
    units = first + second
    if permutation_count(first, second) > max_permutations:
        yield np.arange(units)[None] < first
        generator = np.random.default_rng(0)
        for start in range(0, max_permutations, _CHUNK):
            size = min(_CHUNK, max_permutations - start)
            yield generator.random((size, units)).argsort(axis=1) < first
        return
    fixed = int(first == second)
    first_arms = itertools.combinations(range(fixed, units), first - fixed)
    while batch := list(itertools.islice(first_arms, _CHUNK)):
        arm_KU = np.zeros((len(batch), units), dtype=bool)
        arm_KU[:, :fixed] = True
        chosen_KF = np.array(batch, dtype=np.int64).reshape(len(batch), -1)
        np.put_along_axis(arm_KU, chosen_KF, True, axis=1)
        yield arm_KU
