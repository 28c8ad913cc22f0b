"""Steps to solve: their median and their mean within the budget, with intervals."""

import math
import warnings

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

Floats = npt.NDArray[np.float64]
Interval = tuple[float | None, float | None]

FEWEST_FOR_MEDIAN = 5
"""With fewer seeds not even [min, max] is an interval of 90 %."""
_TAIL = 0.025


def within(steps: Floats, budget: float) -> Floats:
    """Steps censored at a budget: solving is confirmed an evaluation later, so it must have begun
    before the budget.
    """
    return np.where(steps < budget, steps, np.nan)


def median_steps(steps_S: Floats) -> float | None:
    """The smallest number of steps within which at least half of the seeds have solved; None if
    fewer than half did.

    An order statistic, number ⌈S/2⌉: it needs no assumption on what the censored seeds would have
    done.
    """
    return _order_statistic(steps_S, -(-len(steps_S) // 2))


def median_interval(steps_S: Floats) -> Interval:
    """A 95 % interval of the median, from order statistics j and S+1-j; at five seeds [min, max]
    with 93.75 %.

    It covers with 1 - 2·P(Binomial(S, ½) < j) at least, whatever the distribution (David & Nagaraja
    2003, §7.1). A bound is None where that seed did not solve; both are None below five seeds.
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
    """Median steps to solve and its 95 % interval where each seed has a budget of its own.

    The product-limit estimate (Kaplan & Meier 1958), its interval inverted from log(-log) bands
    (Brookmeyer & Crowley 1982). None where the curve, or the band, does not come down to ½; no
    interval below five seeds.
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
    """Mean steps spent within the budget: a seed that did not solve spent all of it (Royston &
    Parmar 2013, eq. 1).
    """
    return float(spent(steps_S, budget).mean())


def restricted_mean_interval(steps_S: Floats, budget: float) -> Interval:
    """95 % interval of the restricted mean: Student's t over seeds, kept within [0, budget].

    None, None for a single seed and for zero variance, which says nothing about other seeds.
    """
    low, high = student_interval(spent(steps_S, budget))
    if low is None or high is None:
        return None, None
    return max(0.0, low), min(float(budget), high)


def spent(steps: Floats, budget: float | Floats) -> Floats:
    """Steps spent within the budget, all of it by who did not solve."""
    return np.where(np.isnan(steps), budget, np.minimum(steps, budget)).astype(np.float64)


def student_interval(values_S: Floats) -> Interval:
    """95 % interval of a mean (Student 1908);
    None, None for a single value and for zero variance.
    """
    count = len(values_S)
    spread = float(values_S.std(ddof=1)) if count > 1 else 0.0
    if spread == 0 or not math.isfinite(spread):
        return None, None
    half = float(stdtrit(count - 1, 1 - _TAIL)) * spread / math.sqrt(count)
    return float(values_S.mean()) - half, float(values_S.mean()) + half
