"""Rank correlation of two rankings of the same arms."""

import math

import numpy as np
from scipy.special import ndtri
from scipy.stats import rankdata

from resformer.stats import Floats

FEWEST = 8
"""Arms from which on a correlation is given."""
_Z = float(ndtri(0.975))


def spearman(first_A: Floats, second_A: Floats) -> float | None:
    """Spearman's correlation, equal values sharing the mean of their ranks; None if either ranks
    nothing.
    """
    ranks = [rankdata(values_A) for values_A in (first_A, second_A)]
    if any(np.ptp(ranks_A) == 0 for ranks_A in ranks):
        return None
    return float(np.corrcoef(*ranks)[0, 1])


def spearman_interval(value: float, arms: int) -> tuple[float, float] | None:
    """95 % interval of Spearman's correlation, the arms being a sample: Fisher's z with the
    variance (1 + r²/2) / (A - 3) (Bonett & Wright 2000, Psychometrika 65). None for 1 and -1, where
    z is infinite.
    """
    if abs(value) > 1.0 - 1e-9:
        return None
    z = math.atanh(value)
    reach = _Z * math.sqrt((1.0 + value * value / 2.0) / (arms - 3))
    return math.tanh(z - reach), math.tanh(z + reach)


def reliability(of_halves: float) -> float:
    """Correlation that a ranking by all seeds would have with one by as many others, from that
    between the rankings by half of the seeds each: 2h / (1 + h) (Spearman 1910; Brown 1910), 0
    where the halves do not agree.
    """
    agreed = max(of_halves, 0.0)
    return 2.0 * agreed / (1.0 + agreed)
