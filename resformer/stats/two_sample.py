"""Two-sample tests: two arms over the same seeds and depths, such as with and without residuals."""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
import numpy.typing as npt

from resformer.stats import Bools, Floats
from resformer.stats.rates import rates_in_arms
from resformer.stats.steps import student_interval

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


def logrank(steps_KU: Floats, present_KU: Bools, arm_KU: Bools) -> tuple[Floats, Floats]:
    """(solved minus expected in the arm, its hypergeometric variance) of the log-rank test, (K,)
    each.

    Mantel 1966; Peto & Peto 1972. All units that did not solve are censored after the last event,
    at the budget.
    """
    times_J = np.unique(steps_KU[present_KU & ~np.isnan(steps_KU)])
    bins = len(times_J) + 1
    # NaN sorts into the last bin.
    bin_KU = np.searchsorted(times_J, steps_KU) + bins * np.arange(len(steps_KU))[:, None]

    def histogram(mask_KU: Bools) -> Floats:
        counts = np.bincount(bin_KU[mask_KU], minlength=bins * len(steps_KU))
        return counts.reshape(-1, bins).astype(np.float64)

    def at_risk(counts_KB: Floats) -> Floats:
        return counts_KB[:, ::-1].cumsum(axis=1)[:, ::-1][:, :-1]

    all_KB, arm_KB = histogram(present_KU), histogram(present_KU & arm_KU)
    risk_KJ, arm_risk_KJ, events_KJ = at_risk(all_KB), at_risk(arm_KB), all_KB[:, :-1]
    share_KJ = arm_risk_KJ / np.maximum(risk_KJ, 1)
    variance_KJ = (
        events_KJ * share_KJ * (1 - share_KJ) * (risk_KJ - events_KJ) / np.maximum(risk_KJ - 1, 1)
    )
    return (arm_KB[:, :-1] - events_KJ * share_KJ).sum(axis=1), variance_KJ.sum(axis=1)


def stratified_logrank(strata: Sequence[Stratum], arm_KU: Bools) -> Floats:
    """Log-rank statistic Z stratified by depth, (K,), each seed at the rate that its arm's other
    seeds chose; 0 if nothing tells the arms apart.
    """
    score_K, variance_K = np.zeros(len(arm_KU)), np.zeros(len(arm_KU))
    for stratum in strata:
        rate_KU = rates_in_arms(
            stratum.steps_UR, stratum.loss_UR, stratum.ran_UR, arm_KU, stratum.budget
        )
        present_KU = rate_KU >= 0
        steps_KU = stratum.steps_UR[np.arange(arm_KU.shape[1]), rate_KU]
        steps_KU = np.where(present_KU, steps_KU, np.nan)
        stratum_score_K, stratum_variance_K = logrank(steps_KU, present_KU, arm_KU)
        score_K += stratum_score_K
        variance_K += stratum_variance_K
    deviation_K = np.sqrt(np.where(variance_K > 0, variance_K, 1.0))
    return np.where(variance_K > 0, score_K / deviation_K, 0.0)


def permutation_test(
    strata: Sequence[Stratum], *, first: int, second: int, max_permutations: int
) -> tuple[float, float] | None:
    """(two-sided p, Z) of the stratified log-rank test, permuting whole seeds between two arms of
    `first` and `second` seeds.

    p: the share of all permutations of the units (the first arm's come first) whose |Z| is at least
    the observed one; the rates are chosen anew in each. If there are more than `max_permutations`,
    so many are drawn at random and the observed one is counted in (Phipson & Smyth 2010); fewer, as
    soon as h of them are as extreme (Besag & Clifford 1991). The asymptotic p would be too small by
    a factor of four at five seeds. Z is positive if the first arm solves sooner. None if nobody
    solved, or an arm is empty.
    """
    if not (first and second) or all(np.isnan(stratum.steps_UR).all() for stratum in strata):
        return None
    h = _BESAG_CLIFFORD_H if permutation_count(first, second) > max_permutations else math.inf
    extreme = total = 0
    observed = 0.0
    for arm_KU in permutations(first, second, max_permutations):
        z_K = stratified_logrank(strata, arm_KU)
        observed = float(z_K[0]) if not total else observed
        extreme_K = (np.abs(z_K) >= abs(observed) - _ROUNDING).cumsum() + extreme
        if extreme_K[-1] >= h:
            return h / (total + int(extreme_K.searchsorted(h)) + 1), observed
        extreme = int(extreme_K[-1])
        total += len(arm_KU)
    return extreme / total, observed


def permutation_count(first: int, second: int) -> int:
    """Number of ways to assign whole seeds to two arms of these sizes."""
    return math.comb(first + second, first)


def permutations(first: int, second: int, max_permutations: int) -> Iterator[Bools]:
    """Assignments of the units to the arms, in chunks (K, U), True in the first arm; the observed
    one comes first.

    All of them; or, if there are more than `max_permutations`, so many at random after the first.
    Arms of equal size can change places without changing |Z|, so only those with the first unit in
    the first arm are made.
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


def smallest_p(first: int, second: int, max_permutations: int) -> float:
    """Smallest p-value that permuting whole seeds can give."""
    count = permutation_count(first, second)
    if count > max_permutations:
        return 1 / (max_permutations + 1)
    return (2 if first == second else 1) / count


def seeds_needed(comparisons: int, max_permutations: int, level: float = 0.05) -> int:
    """Seeds per arm from which the smallest p is significant after Holm among so many comparisons.

    No number of seeds is enough unless comparisons / (max_permutations + 1) is at most the level.
    """
    return next(
        seeds
        for seeds in itertools.count(2)
        if comparisons * smallest_p(seeds, seeds, max_permutations) <= level
    )


def holm(p_M: npt.ArrayLike) -> Floats:
    """Adjusted p-values, (M,) (Holm 1979): valid under any dependence among the tests."""
    p = np.asarray(p_M, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)) if len(p) else p
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted


def paired_ratio(
    first_S: Floats, second_S: Floats
) -> tuple[float | None, float | None, float | None]:
    """(second / first, low, high) of positive amounts, paired by seed: their geometric mean ratio
    and its 95 % interval, Student's t on the log ratios.

    None without pairs; no interval for one pair or zero variance.
    """
    if not len(first_S) or (first_S <= 0).any() or (second_S <= 0).any():
        return None, None, None
    log_S = np.log(second_S / first_S)
    low, high = student_interval(log_S)
    if low is None or high is None:
        return math.exp(log_S.mean()), None, None
    return math.exp(log_S.mean()), _exp(low), _exp(high)


def _exp(value: float) -> float | None:
    return math.exp(value) if value < 700 else None
