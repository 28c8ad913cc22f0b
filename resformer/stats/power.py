"""Power of the exact test: the probability that it tells two shares of solved seeds apart."""

import itertools

import numpy as np

from resformer.stats import Floats
from resformer.stats.multiplicity import LEVEL

FIRST_LOOK, SECOND_LOOK = 0.008, 0.042
"""Levels of two looks at a study, the second with twice the seeds, which add up to `LEVEL`."""
_ROUNDING = 1e-7


def fisher_p(first: int, second: int) -> Floats:
    """Two-sided p-values of Fisher's exact test by seeds solved in each of two arms of `first` and
    `second` seeds, (first + 1, second + 1).

    The share of exchanges of whole seeds that are at least as far apart in the shares solved.
    """
    from scipy.stats import hypergeom  # slow to import: a report of one arm needs no power

    p = np.empty((first + 1, second + 1))
    for total in range(first + second + 1):
        solved = np.arange(max(0, total - second), min(first, total) + 1)
        chance = hypergeom.pmf(solved, first + second, total, first)
        apart = np.abs(solved / first - (total - solved) / second)
        p[solved, total - solved] = (chance * (apart >= apart[:, None] - _ROUNDING)).sum(axis=1)
    return p


def power(first: int, second: int, shares: tuple[float, float], level: float = LEVEL) -> float:
    """Probability that the exact test at one depth is significant at `level`, where these shares of
    two arms solve.
    """
    chance_NM = np.outer(_binomial(first, shares[0]), _binomial(second, shares[1]))
    return float(chance_NM[fisher_p(first, second) <= level + _ROUNDING].sum())


def power_of_two_looks(
    seeds: int, shares: tuple[float, float], levels: tuple[float, float]
) -> float:
    """Probability that one of two looks at one depth is significant at its level, the first with so
    many seeds per arm and the second, where it is not, with as many more.
    """
    first_level, second_level = (level + _ROUNDING for level in levels)
    at_first = fisher_p(seeds, seeds) <= first_level
    at_second = fisher_p(2 * seeds, 2 * seeds) <= second_level
    # Seeds solved of the first half (A, B) and of the second half (C, D) in each of the two arms.
    of_arm_A, of_arm_B = (_binomial(seeds, share) for share in shares)
    chance_AB = np.outer(of_arm_A, of_arm_B)
    total = float(chance_AB[at_first].sum())
    for first, second in np.argwhere(~at_first):
        both_CD = at_second[first : first + seeds + 1, second : second + seeds + 1]
        total += float(chance_AB[first, second] * chance_AB[both_CD].sum())
    return total


def seeds_for(shares: tuple[float, float], chance: float, level: float = LEVEL) -> int:
    """Smallest number of seeds per arm that finds the difference with this probability.

    The power is no monotone function of the number, which is discrete: the smallest number from
    which on the next one has it too.
    """
    return next(
        seeds
        for seeds in itertools.count(2)
        if all(power(more, more, shares, level) >= chance for more in (seeds, seeds + 1))
    )


def _binomial(seeds: int, share: float) -> Floats:
    """Probabilities of the numbers of seeds that solve, (seeds + 1,)."""
    from scipy.stats import binom

    pmf: Floats = binom.pmf(np.arange(seeds + 1), seeds, share)
    return pmf
