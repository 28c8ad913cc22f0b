"""Logistic fit of the depth at which half of the seeds solve."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resformer.stats.logistic import half_depth, has_half_octaves

DEPTHS = [1, 2, 3, 4, 6, 8, 12, 16]


def naive(depths: list[int], solved: list[int], seeds: list[int]) -> list[float]:
    """Quantiles 2.5, 50 and 97.5 % of draws from the prior, weighted by the root of their
    likelihood, since a seed counts half.
    """
    generator = np.random.default_rng(1)
    draws = 400_000
    middle = generator.uniform(math.log2(depths[0]) - 1, math.log2(depths[-1]) + 1, draws)
    scale = np.exp(generator.uniform(math.log(0.05), math.log(2.0), draws))
    weight = np.ones(draws)
    for depth, wins, of in zip(depths, solved, seeds, strict=True):
        share = 1 / (1 + np.exp(np.clip((math.log2(depth) - middle) / scale, -700, 700)))
        weight *= (share**wins * (1 - share) ** (of - wins)) ** 0.5
    order = np.argsort(middle)
    below = np.cumsum(weight[order]) / weight.sum()
    return [2 ** float(middle[order][np.searchsorted(below, q)]) for q in (0.025, 0.5, 0.975)]


@pytest.mark.parametrize(
    "solved", [[5, 5, 5, 4, 3, 1, 0, 0], [5, 5, 5, 5, 0, 0, 0, 0], [5, 4, 5, 3, 4, 2, 3, 1]]
)
def test_quantiles_are_those_of_weighted_draws(solved: list[int]) -> None:
    value, low, high = half_depth(DEPTHS, solved, [5] * 8)
    expected = naive(DEPTHS, solved, [5] * 8)
    # 400,000 draws, of which some thousand count: 2 % of a quantile.
    assert [low, value] == pytest.approx(expected[:2], rel=0.02)
    assert high is None if expected[2] > 16 else high == pytest.approx(expected[2], rel=0.02)


def test_beyond_the_depths_that_were_tried_there_is_no_number() -> None:
    value, low, high = half_depth(DEPTHS, [5] * 8, [5] * 8)
    assert (value, high) == (16.0, None)
    assert low is not None
    assert 12 < low <= 16
    value, low, high = half_depth(DEPTHS, [0] * 8, [5] * 8)
    assert (value, low) == (1.0, None)
    assert high is not None
    assert 1 <= high < 2


@settings(max_examples=50, deadline=None)
@given(data=st.data(), seeds=st.integers(1, 8))
def test_the_mirrored_study_has_the_mirrored_interval(data: st.DataObject, seeds: int) -> None:
    """Depths d and 1/d with failures as solves: here 2^k and 2^(K - k)."""
    octaves = [1, 2, 4, 8, 16]
    solved = data.draw(st.lists(st.integers(0, seeds), min_size=5, max_size=5))
    value, low, high = half_depth(octaves, solved, [seeds] * 5)
    mirrored = half_depth(octaves, [seeds - wins for wins in solved[::-1]], [seeds] * 5)
    expected = (16 / value, high and 16 / high, low and 16 / low)
    for mine, other in zip(mirrored, expected, strict=True):
        assert mine == (other if other is None else pytest.approx(other))


@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_one_more_solved_seed_moves_the_depth_up_and_order_holds(data: st.DataObject) -> None:
    """Where counts fall with depth before and after: one solved seed behind depths at which none
    does speaks for a wider curve, whose middle may be lower.
    """
    drawn = data.draw(st.lists(st.integers(0, 5), min_size=8, max_size=8))
    value, low, high = half_depth(DEPTHS, drawn, [5] * 8)
    assert (low or 1) <= value <= (high or 16)
    solved = sorted(drawn, reverse=True)
    at = solved.index(solved[data.draw(st.integers(0, 7))])
    if solved[at] < 5:
        more = [wins + (number == at) for number, wins in enumerate(solved)]
        before = half_depth(DEPTHS, solved, [5] * 8)[0]
        assert half_depth(DEPTHS, more, [5] * 8)[0] >= before - 1e-9


def test_half_octaves() -> None:
    assert has_half_octaves([2, 3, 4])
    assert not has_half_octaves([1, 2, 4, 8])
    assert not has_half_octaves([4])
