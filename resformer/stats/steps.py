"""Steps to solve: their median and their mean within the budget, with intervals."""

import math
import warnings

import numpy as np
from scipy.special import stdtrit

from resformer.stats import Floats, Interval

FEWEST_FOR_MEDIAN = 5
"""Seeds that a median's interval needs: of fewer, not even [min, max] covers 90 %."""
_TAIL = 0.025


def censor(steps: Floats, budget: float) -> Floats:
    """Censor steps at a budget: a solve must begin before it, so that an evaluation can confirm."""
    return np.where(steps < budget, steps, np.nan)


def median_steps(steps_S: Floats) -> float | None:
    """Median: the smallest number of steps by which at least half of the seeds have solved, None if
    fewer than half did.

    Order statistic number ⌈S/2⌉: it assumes nothing about the censored seeds.
    """
    return _order_statistic(steps_S, -(-len(steps_S) // 2))


def median_interval(steps_S: Floats) -> Interval:
    """95 % interval of the median, from order statistics j and S+1-j; at five seeds [min, max] with
    93.75 %.

    Coverage is at least 1 - 2·P(Binomial(S, ½) < j) for every distribution (David & Nagaraja 2003,
    §7.1). A bound is None if that seed did not solve; both are None below five seeds.
    """
    seeds = len(steps_S)
    if seeds < FEWEST_FOR_MEDIAN:
        return None, None
    cumulative = np.cumsum([math.comb(seeds, k) for k in range(seeds)]) / 2**seeds
    rank = max(1, int((cumulative <= _TAIL).sum()))
    return _order_statistic(steps_S, rank), _order_statistic(steps_S, seeds + 1 - rank)


def _order_statistic(steps_S: Floats, rank: int) -> float | None:
    value = np.sort(steps_S)[rank - 1] if 0 < rank <= len(steps_S) else np.nan  # NaN sorts last
    return None if np.isnan(value) else float(value)


def kaplan_meier_median(
    steps_S: Floats, budget_S: Floats
) -> tuple[float | None, float | None, float | None]:
    """Median steps to solve and its 95 % interval, where each seed has a budget of its own.

    Product-limit estimate (Kaplan & Meier 1958), its interval inverted from log(-log) bands
    (Brookmeyer & Crowley 1982). Where the curve is ½ over an interval, its first step is the
    median; others take its middle or its end. None if the curve, or the band, does not come down
    to ½; no interval below five seeds.
    """
    from scipy.stats import CensoredData, ecdf

    solved_S = ~np.isnan(steps_S)
    if not solved_S.any():
        return None, None, None
    curve = ecdf(CensoredData(uncensored=steps_S[solved_S], right=budget_S[~solved_S])).sf
    with warnings.catch_warnings():
        # The band does not exist where the curve is 1 or 0: those steps are NaN below.
        warnings.simplefilter("ignore", RuntimeWarning)
        band = curve.confidence_interval(1 - 2 * _TAIL, method="log-log")

    def reaches_half(share_T: Floats) -> float | None:
        share_T = np.where(np.isnan(share_T), curve.probabilities, share_T)
        below_T = share_T <= 0.5 + 1e-12
        return float(curve.quantiles[below_T.argmax()]) if below_T.any() else None

    median = reaches_half(curve.probabilities)
    if len(steps_S) < FEWEST_FOR_MEDIAN:
        return median, None, None
    return median, reaches_half(band.low.probabilities), reaches_half(band.high.probabilities)


def restricted_mean(steps_S: Floats, budget: float) -> float:
    """Mean steps spent within the budget (Royston & Parmar 2013, eq. 1)."""
    return float(spent(steps_S, budget).mean())


def restricted_mean_interval(steps_S: Floats, budget: float) -> Interval:
    """95 % interval of the restricted mean: Student's t over seeds, kept within [0, budget].

    None, None for a single seed and for zero variance, which tells nothing about other seeds.
    """
    low, high = student_interval(spent(steps_S, budget))
    if low is None or high is None:
        return None, None
    return max(0.0, low), min(float(budget), high)


def spent(steps: Floats, budget: float | Floats) -> Floats:
    """Steps spent within the budget: all of it by a member that did not solve."""
    return np.where(np.isnan(steps), budget, np.minimum(steps, budget)).astype(np.float64)


def student_interval(values_S: Floats) -> Interval:
    """95 % interval of a mean (Student 1908); None, None for a single value or zero variance."""
    count = len(values_S)
    spread = float(values_S.std(ddof=1)) if count > 1 else 0.0
    if spread == 0 or not math.isfinite(spread):
        return None, None
    half = float(stdtrit(count - 1, 1 - _TAIL)) * spread / math.sqrt(count)
    return float(values_S.mean()) - half, float(values_S.mean()) + half
