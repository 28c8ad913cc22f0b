"""Two arms against each other: the same seeds with and without something, over several depths."""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
import numpy.typing as npt

from resformer.stats.rates import Bools, rates_in_arms
from resformer.stats.steps import Floats, student_interval

_CHUNK = 2048
_CLEAR = 50
"""Of divisions drawn at random: after so many that are as extreme as what was seen, p is known well
enough.
"""
_ROUNDING = 1e-9
"""Splits whose statistics are this near are as extreme as each other."""


@final
@dataclass(frozen=True)
class Stratum:
    """One depth:
    what every unit did at every learning rate, and the budget that both arms share.
    """

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
    place_KU = (
        np.searchsorted(times_J, steps_KU) + bins * np.arange(len(steps_KU))[:, None]
    )  # NaN goes last

    def histogram(wanted_KU: Bools) -> Floats:
        counts = np.bincount(place_KU[wanted_KU], minlength=bins * len(steps_KU))
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
    """The log-rank statistic Z stratified by depth, (K,): each arm's seeds at the rates its other
    seeds chose.

    0 where nothing tells the arms apart.
    """
    score_K, variance_K = np.zeros(len(arm_KU)), np.zeros(len(arm_KU))
    for stratum in strata:
        column_KU = rates_in_arms(
            stratum.steps_UR, stratum.loss_UR, stratum.ran_UR, arm_KU, stratum.budget
        )
        present_KU = column_KU >= 0
        steps_KU = np.where(
            present_KU, stratum.steps_UR[np.arange(arm_KU.shape[1]), column_KU], np.nan
        )
        score_S, variance_S = logrank(steps_KU, present_KU, arm_KU)
        score_K += score_S
        variance_K += variance_S
    return np.where(
        variance_K > 0, score_K / np.sqrt(np.where(variance_K > 0, variance_K, 1.0)), 0.0
    )


def permutation_test(
    strata: Sequence[Stratum], first: int, second: int, most: int
) -> tuple[float, float] | None:
    """(two-sided p, Z) of the stratified log-rank by exchanging whole seeds between two arms of so
    many seeds.

    p: of all divisions of the units (the first arm's stand first), the share whose |Z| is at least
    what was seen; the choice of rates is redone in each. Where there are more than `most`, so many
    are drawn at random and the one that was seen is counted in (Phipson & Smyth 2010); fewer, if so
    many were as large that p is clear (Besag & Clifford 1991). The asymptotic p would be too small
    by a factor of four at five seeds. Z is positive where the first arm solves sooner. None where
    nobody solved, or an arm is empty.
    """
    if not (first and second) or all(np.isnan(stratum.steps_UR).all() for stratum in strata):
        return None
    sampled = division_count(first, second) > most
    extreme = total = 0
    seen = 0.0
    for arm_KU in divisions(first, second, most):
        z_K = stratified_logrank(strata, arm_KU)
        seen = float(z_K[0]) if not total else seen
        as_large_K = np.abs(z_K) >= abs(seen) - _ROUNDING
        if sampled and extreme + as_large_K.sum() >= _CLEAR:
            return _CLEAR / (
                total + int((as_large_K.cumsum() + extreme).searchsorted(_CLEAR)) + 1
            ), seen
        extreme += int(as_large_K.sum())
        total += len(arm_KU)
    return extreme / total, seen


def division_count(first: int, second: int) -> int:
    """In how many ways whole seeds can be divided into two arms of these sizes."""
    return math.comb(first + second, first)


def divisions(first: int, second: int, most: int) -> Iterator[Bools]:
    """Ways to divide the units, in chunks (K, U), True in the first arm; the very first is the one
    that was seen.

    All of them; or, if there are more than `most`, so many at random after the first. Arms of equal
    size can change places without changing |Z|, so only those with the first unit in the first arm
    are made.
    """
    units = first + second
    if division_count(first, second) > most:
        yield np.arange(units)[None] < first
        generator = np.random.default_rng(0)
        for done in range(0, most, _CHUNK):
            order_KU = generator.random((min(_CHUNK, most - done), units)).argsort(axis=1)
            yield order_KU < first
        return
    fixed = int(first == second)
    chosen = itertools.combinations(range(fixed, units), first - fixed)
    while batch := list(itertools.islice(chosen, _CHUNK)):
        arm_KU = np.zeros((len(batch), units), dtype=bool)
        arm_KU[:, :fixed] = True
        np.put_along_axis(
            arm_KU, np.array(batch, dtype=np.int64).reshape(len(batch), -1), True, axis=1
        )
        yield arm_KU


def smallest_p(first: int, second: int, most: int) -> float:
    """The smallest p that exchanging whole seeds can give, of at most so many divisions."""
    count = division_count(first, second)
    return (2 if first == second else 1) / count if count <= most else 1 / (most + 1)


def seeds_needed(comparisons: int, most: int, level: float = 0.05) -> int:
    """How many seeds an arm needs for the smallest p to be significant after Holm among so many
    comparisons.

    There is no such number unless comparisons / (most + 1) is at most the level.
    """
    return next(
        seeds
        for seeds in itertools.count(2)
        if comparisons * smallest_p(seeds, seeds, most) <= level
    )


def holm(p_M: npt.ArrayLike) -> Floats:
    """p-values adjusted for their number, (M,) (Holm 1979): valid however they depend on each
    other.
    """
    p = np.asarray(p_M, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)) if len(p) else p
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted


def paired_ratio(
    first_S: Floats, second_S: Floats
) -> tuple[float | None, float | None, float | None]:
    """Second / first of positive amounts, paired by seed, and its 95 % interval: the mean log ratio
    and Student's t.

    The geometric mean of the seeds' ratios. None without pairs; no interval for one pair or zero
    variance.
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
