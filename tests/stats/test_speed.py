"""Ratios of steps, paired by seed."""

import math

import numpy as np
import pytest
from scipy import stats as scipy_stats

from resformer.stats.speed import paired_ratio


def test_paired_ratio_is_that_of_scipys_paired_t_on_logarithms() -> None:
    first, second = (
        np.array([100.0, 200.0, 150.0, 90.0, 130.0]),
        np.array([50.0, 120.0, 100.0, 40.0, 90.0]),
    )
    expected = scipy_stats.ttest_rel(np.log(second), np.log(first)).confidence_interval()
    ratio, low, high = paired_ratio(first, second)
    assert (low, high) == pytest.approx((math.exp(expected.low), math.exp(expected.high)))
    assert ratio == pytest.approx(math.prod(second / first) ** (1 / 5))


def test_paired_ratio_of_few_and_of_equal() -> None:
    assert paired_ratio(np.array([]), np.array([])) == (None, None, None)
    assert paired_ratio(np.array([0.0]), np.array([5.0])) == (None, None, None)
    assert paired_ratio(np.array([10.0]), np.array([5.0])) == (0.5, None, None)
    assert paired_ratio(np.array([10.0, 20.0]), np.array([5.0, 10.0])) == (0.5, None, None)
