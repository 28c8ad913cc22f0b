"""Spearman's correlation and its interval."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from resformer.stats.rank_correlation import (
    FEWEST,
    reliability,
    spearman,
    spearman_interval,
)

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


@pytest.mark.parametrize("arms", [FEWEST, 25])
def test_intervals_of_normal_arms_cover_the_correlation(arms: int) -> None:
    """Of two normal scores with correlation 0.6, whose Spearman's is 6/π·asin(0.3) = 0.58."""
    rng = np.random.default_rng(0)
    true, covered, trials = 6 / np.pi * np.arcsin(0.3), 0, 400
    for _ in range(trials):
        pairs = rng.multivariate_normal([0, 0], [[1, 0.6], [0.6, 1]], size=arms)
        value = spearman(pairs[:, 0], pairs[:, 1])
        assert value is not None
        interval = spearman_interval(value, arms)
        covered += interval is not None and interval[0] <= true <= interval[1]
    # 95 % of 400 are 380, with a standard error of 4.4.
    assert covered > 364


@pytest.mark.parametrize("sign", [1, -1])
def test_a_perfect_ranking_has_no_interval(sign: int) -> None:
    """Rounded as numpy rounds the correlation of equal ranks, too."""
    ranks = np.arange(9.0)
    value = spearman(ranks, sign * ranks)
    assert value == pytest.approx(sign)
    assert spearman_interval(value, 9) is None


def test_all_seeds_rank_more_reliably_than_half_of_them() -> None:
    """Arms with scores of variance 1, each seen by two halves of seeds whose noise has variance 1:
    halves correlate by 1/2, means of both halves with such means by 1 / (1 + 1/2).
    """
    assert reliability(1 / 2) == pytest.approx(2 / 3)
    assert reliability(1.0) == 1.0
    assert reliability(-1.0) == 0.0
