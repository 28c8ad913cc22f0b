"""Power of the exact test at one depth."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import fisher_exact

from resformer.stats.power import (
    FIRST_LOOK,
    SECOND_LOOK,
    fisher_p,
    power,
    power_of_two_looks,
    seeds_for,
)

# Computed by hand from binomials for the design of the project: two levels, by number of seeds.
TABLE = {
    (0.95, 0.05): {4: (0.66, 0), 5: (0.91, 0.60), 6: (0.88, 0.88), 8: (0.99, 0.96)},
    (0.90, 0.20): {5: (0.54, 0.19), 8: (0.79, 0.56), 16: (0.99, 0.97)},
    (0.90, 0.40): {5: (0.22, 0.05), 10: (0.47, 0.40), 24: (0.95, 0.92)},
    (0.80, 0.40): {8: (0.24, 0.09), 20: (0.65, 0.57)},
}


@given(st.integers(1, 12), st.data())
def test_p_is_scipys_where_arms_are_of_equal_size(seeds: int, data: st.DataObject) -> None:
    """Then the divisions that are as far apart are those that are as improbable."""
    first, second = (data.draw(st.integers(0, seeds)) for _ in range(2))
    table = [[first, seeds - first], [second, seeds - second]]
    assert fisher_p(seeds, seeds)[first, second] == pytest.approx(fisher_exact(table).pvalue)


def test_power_is_that_of_the_table() -> None:
    for shares, by_seeds in TABLE.items():
        for seeds, expected in by_seeds.items():
            values = [power(seeds, seeds, shares, level) for level in (0.05, 0.025)]
            assert values == pytest.approx(expected, abs=0.0051), (shares, seeds)


def test_seeds_that_find_a_limit_one_grid_depth_apart() -> None:
    """Six seeds find it less surely than five do: their test is more conservative."""
    assert seeds_for((0.95, 0.05), 0.95) == 7
    assert seeds_for((0.95, 0.05), 0.85) == 5
    assert seeds_for((0.95, 0.05), 0.85, 0.025) == 6


def test_power_of_two_looks_is_that_of_the_table() -> None:
    """Levels 0.008 and 0.042, five seeds and five more (simulated for the design)."""
    levels = (FIRST_LOOK, SECOND_LOOK)
    assert power_of_two_looks(5, (0.95, 0.05), levels) == pytest.approx(0.998, abs=0.0011)
    assert power_of_two_looks(5, (0.90, 0.20), levels) == pytest.approx(0.84, abs=0.006)
    assert power_of_two_looks(5, (0.5, 0.5), levels) == pytest.approx(0.014, abs=0.0006)


SHARES = st.integers(0, 100).map(lambda percent: percent / 100)


@given(st.integers(1, 12), SHARES, SHARES)
def test_two_looks_see_at_least_what_either_does_alone(
    seeds: int, scheme: float, baseline: float
) -> None:
    shares = (scheme, baseline)
    both = power_of_two_looks(seeds, shares, (FIRST_LOOK, SECOND_LOOK))
    alone = [
        power(seeds, seeds, shares, FIRST_LOOK),
        power(2 * seeds, 2 * seeds, shares, SECOND_LOOK),
    ]
    assert max(alone) - 1e-12 <= both <= min(1.0, sum(alone)) + 1e-12
    assert power_of_two_looks(seeds, shares, (FIRST_LOOK, -1.0)) == pytest.approx(alone[0])
