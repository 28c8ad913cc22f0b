"""Speed where both arms train: ratios of the steps that the same seeds took."""

import math

import numpy as np

from resformer.stats import Floats
from resformer.stats.steps import student_interval


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
