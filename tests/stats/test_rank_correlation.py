"""Spearman's correlation and its interval."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from resformer.stats.rank_correlation import spearman, spearman_interval

values = st.lists(st.integers(0, 5).map(float), min_size=6, max_size=12)


@given(data=st.data(), first=values)
def test_it_is_scipys(data: st.DataObject, first: list[float]) -> None:
    size = len(first)
    second = data.draw(st.lists(st.integers(0, 5).map(float), min_size=size, max_size=size))
    ours = spearman(np.array(first), np.array(second))
    if len(set(first)) == 1 or len(set(second)) == 1:
        assert ours is None
    else:
        assert ours == pytest.approx(spearmanr(first, second).statistic)


def test_intervals_of_normal_arms_cover_the_correlation() -> None:
    """Of two normal scores with correlation 0.6, whose Spearman's is 6/π·asin(0.3) = 0.58."""
    rng = np.random.default_rng(0)
    true, covered, trials = 6 / np.pi * np.arcsin(0.3), 0, 400
    for _ in range(trials):
        pairs = rng.multivariate_normal([0, 0], [[1, 0.6], [0.6, 1]], size=25)
        value = spearman(pairs[:, 0], pairs[:, 1])
        assert value is not None
        low, high = spearman_interval(value, 25)
        covered += low <= true <= high
    # 95 % of 400 are 380, with a standard error of 4.4.
    assert covered > 364


def test_a_perfect_ranking_has_an_interval() -> None:
    low, high = spearman_interval(1.0, 10)
    assert 0.99 < low <= high <= 1.0
