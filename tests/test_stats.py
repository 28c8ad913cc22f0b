"""Statistics of convergence."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from resformer import stats

NAN = math.nan
steps = hnp.arrays(np.float64, st.integers(1, 9), elements=st.one_of(st.just(NAN), st.integers(0, 600).map(float)))


@pytest.mark.parametrize(
    ("values", "median"),
    [
        ([30, 10, 20, 50, 40], 30),
        ([30, 10, NAN, 50, NAN], 50),
        ([30, NAN, NAN, NAN, 10], None),
        ([NAN] * 5, None),
        ([10, 20, NAN, NAN], 20),
        ([10, NAN, NAN, NAN], None),
        ([70], 70),
        ([], None),
    ],
)
def test_median_exists_where_half_of_the_seeds_solved(values: list[float], median: float | None) -> None:
    assert stats.median_steps(np.array(values, dtype=float)) == median


def test_restricted_mean_counts_a_censored_seed_as_the_budget() -> None:
    assert stats.restricted_mean(np.array([100, NAN, 300]), 600) == pytest.approx(1000 / 3)
    assert stats.restricted_mean(np.array([100, NAN, 300]), 200) == pytest.approx(500 / 3)


@given(values=steps, budget=st.integers(1, 600), more=st.integers(0, 600))
def test_a_longer_budget_never_lowers_a_restricted_mean(values: np.ndarray, budget: int, more: int) -> None:
    assert stats.restricted_mean(values, budget + more) >= stats.restricted_mean(values, budget)


@given(values=steps, seed=st.integers(0, 99))
def test_order_does_not_matter(values: np.ndarray, seed: int) -> None:
    shuffled = np.random.default_rng(seed).permutation(values)
    assert stats.median_steps(values) == stats.median_steps(shuffled)
    # The order of a sum of at most nine numbers.
    assert stats.restricted_mean(values, 600) == pytest.approx(stats.restricted_mean(shuffled, 600), rel=1e-12)


def best(steps_SR: list[list[float]], loss_SR: list[list[float]] | None = None) -> int | None:
    table = np.array(steps_SR, dtype=float)
    loss = np.zeros_like(table) if loss_SR is None else np.array(loss_SR, dtype=float)
    return stats.best_rate(table, loss, np.ones_like(table, dtype=bool), 600)


def test_best_rate_most_solved_then_fastest_then_lowest_loss_then_smallest() -> None:
    assert best([[10, 300], [NAN, 400]]) == 1
    assert best([[10, 20], [40, 20]]) == 1
    assert best([[NAN, NAN], [NAN, NAN]], [[2.0, 1.0], [2.0, 1.5]]) == 1
    assert best([[NAN, NAN], [NAN, NAN]], [[2.0, NAN], [2.0, 0.1]]) == 0
    assert best([[10, 10], [20, 20]]) == 0


def test_a_rate_is_chosen_by_the_other_seeds() -> None:
    """Seed 0 alone does well at the first rate; it is scored at the second, which the others prefer."""
    table = np.array([[10.0, NAN], [NAN, 50.0], [NAN, 60.0]])
    ran = np.ones_like(table, dtype=bool)
    assert stats.rates_by_other_seeds(table, np.zeros_like(table), ran, 600) == [1, 0, 0]
    ran[0, 1] = False
    assert stats.rates_by_other_seeds(table, np.zeros_like(table), ran, 600) == [0, 1, 1]
    disjoint = np.array([[10.0, NAN], [NAN, 50.0]])
    assert stats.rates_by_other_seeds(disjoint, np.zeros_like(disjoint), ~np.isnan(disjoint), 600) == [0, 1]
    one = np.array([[NAN, 50.0]])
    assert stats.rates_by_other_seeds(one, np.zeros_like(one), np.ones_like(one, dtype=bool), 600) == [1]


@pytest.mark.parametrize(
    ("solved", "expected"),
    [
        ([5, 5, 5, 5], (1, 8)),
        ([5, 5, 2, 5], (1, 2)),
        ([0, 0, 0, 0], (None, None)),
        ([1, 3, 5, 0], (2, 4)),
        ([0, 0, 0, 5], (8, 8)),
    ],
)
def test_depth_floor_and_limit(solved: list[int], expected: tuple[int | None, int | None]) -> None:
    assert stats.depth_run([1, 2, 4, 8], solved, [5] * 4) == expected
