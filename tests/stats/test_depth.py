"""Depth limits: the depths to which a column solves."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from resformer.stats.depth import depth_run, limit_bounds, wilson

DEPTHS = [1, 2, 4, 8]


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
    assert depth_run(DEPTHS, solved, [5] * 4) == expected


@pytest.mark.parametrize(
    ("solved", "seeds", "published"),
    [
        (81, 263, (0.2553, 0.3662)),
        (15, 148, (0.0624, 0.1605)),
        (0, 20, (0.0, 0.1611)),
        (1, 29, (0.0061, 0.1718)),
    ],
)
def test_wilsons_interval_is_the_published_one(
    solved: int, seeds: int, published: tuple[float, float]
) -> None:
    """Newcombe 1998, table I, method 3."""
    assert wilson(solved, seeds) == pytest.approx(published, abs=5e-5)


@given(seeds=st.integers(1, 60), data=st.data())
def test_wilsons_interval_is_that_of_scipy(seeds: int, data: st.DataObject) -> None:
    solved = data.draw(st.integers(0, seeds))
    expected = binomtest(solved, seeds).proportion_ci(method="wilson")
    assert wilson(solved, seeds) == pytest.approx((expected.low, expected.high), abs=1e-9)


@pytest.mark.parametrize(
    ("solved", "bounds"),
    [
        ([5, 5, 5, 5], (8, None)),
        ([5, 5, 0, 0], (2, 2)),
        ([5, 4, 2, 0], (1, 4)),
        ([4, 5, 5, 1], (None, None)),
        ([5, 5, 1, 0], (2, 4)),
        ([0, 5, 0, 5], (2, 2)),
        ([0, 0, 0, 0], (None, None)),
    ],
)
def test_bounds_of_the_depth_limit_at_five_seeds(
    solved: list[int], bounds: tuple[int | None, int | None]
) -> None:
    """Five of five is surely over one half, none of five surely under it, all between undecided."""
    assert limit_bounds(DEPTHS, solved, [5] * 4) == bounds


@pytest.mark.parametrize(
    ("seeds", "bounds"),
    [
        ([4, 4, 4, 4], (None, None)),
        ([5, 5, 4, 4], (2, None)),
        ([4, 4, 5, 5], (None, 2)),
    ],
)
def test_depths_with_four_seeds_bound_nothing(
    seeds: list[int], bounds: tuple[int | None, int | None]
) -> None:
    """However clear they are: all seeds solve depths 1 and 2, none depths 4 and 8."""
    assert limit_bounds(DEPTHS, [*seeds[:2], 0, 0], seeds) == bounds


@given(solved=st.lists(st.integers(0, 8), min_size=1, max_size=6))
def test_the_limit_lies_between_its_bounds(solved: list[int]) -> None:
    depths, seeds = [2**index for index in range(len(solved))], [8] * len(solved)
    _, limit = depth_run(depths, solved, seeds)
    low, high = limit_bounds(depths, solved, seeds)
    assert low is None or (limit is not None and low <= limit)
    assert high is None or (limit is not None and high >= limit)
