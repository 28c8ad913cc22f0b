"""Doublings of depth that one arm solves more than another."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resformer.stats.reach import Solved, doublings_apart


def test_one_depth_is_newcombes_published_interval() -> None:
    """Newcombe 1998, table II (a), 56 of 70 against 48 of 80: method 10 gives 0.0524 to 0.3339."""
    difference, low, high = doublings_apart(
        [1], Solved(solved=[56], seeds=[70]), Solved(solved=[48], seeds=[80])
    )
    assert difference == pytest.approx(0.2)
    assert (low, high) == pytest.approx((0.0524, 0.3339), abs=5e-5)


def test_four_doublings_against_two() -> None:
    """All of five seeds to depth 8 against depth 2: two doublings, 0.9 to 2.6."""
    difference, low, high = doublings_apart(
        [1, 2, 4, 8],
        Solved(solved=[5] * 4, seeds=[5] * 4),
        Solved(solved=[5, 5, 0, 0], seeds=[5] * 4),
    )
    assert difference == 2.0
    assert (round(low, 1), round(high, 1)) == (0.9, 2.6)


def test_depths_count_by_their_doublings() -> None:
    """The step from 2 to 16 is three doublings; that to 3 is log2(1.5) of one."""
    all_, none = Solved(solved=[1, 1], seeds=[1, 1]), Solved(solved=[1, 0], seeds=[1, 1])
    assert doublings_apart([2, 16], all_, none)[0] == pytest.approx(3.0)
    assert doublings_apart([2, 3], all_, none)[0] == pytest.approx(0.58496, abs=1e-5)


counts = st.lists(
    st.integers(1, 9).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))),
    min_size=3,
    max_size=3,
)


@given(counts, counts)
def test_arms_that_change_places_mirror_the_difference(
    first: list[tuple[int, int]], second: list[tuple[int, int]]
) -> None:
    one, other = (
        Solved(solved=[solved for solved, _ in arm], seeds=[seeds for _, seeds in arm])
        for arm in (first, second)
    )
    value, low, high = doublings_apart([1, 3, 8], one, other)
    assert doublings_apart([1, 3, 8], other, one) == pytest.approx((-value, -high, -low))
    assert low <= value <= high
