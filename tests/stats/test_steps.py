"""Medians and means of censored steps, and their intervals."""

import itertools
import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats as scipy_stats

from resformer.stats import steps as stats

NAN = math.nan
BUDGET = 600
steps = hnp.arrays(
    np.float64, st.integers(1, 12), elements=st.one_of(st.just(NAN), st.integers(1, 599).map(float))
)

# Freireich et al. 1963, remission in weeks under 6-mercaptopurine, as in Kalbfleisch & Prentice
# 2002, table 1.1 and Klein & Moeschberger 2003, section 4.2.
SOLVED_6MP = [6, 6, 6, 7, 10, 13, 16, 22, 23]
CENSORED_6MP = [6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35]


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
def test_median_exists_where_half_of_the_seeds_solved(
    values: list[float], median: float | None
) -> None:
    assert stats.median_steps(np.array(values, dtype=float)) == median


def test_interval_of_the_median_at_five_seeds_is_from_least_to_most() -> None:
    assert stats.median_interval(np.array([30.0, 10.0, 20.0, 50.0, 40.0])) == (10, 50)
    assert stats.median_interval(np.array([30.0, 10.0, NAN, 50.0, 40.0])) == (10, None)
    assert stats.median_interval(np.array([NAN] * 5)) == (None, None)
    assert stats.median_interval(np.array([30.0, 10.0, 20.0, 50.0])) == (None, None)


def test_ranks_of_the_median_interval_are_those_of_the_sign_test() -> None:
    """One more than the critical values of the sign test, two-sided 5 %, as tables have them."""
    published = {6: 1, 8: 1, 9: 2, 11: 2, 12: 3, 15: 4, 20: 6, 25: 8, 30: 10}
    for seeds, rank in published.items():
        low, high = stats.median_interval(np.arange(1.0, seeds + 1))
        assert (low, high) == (rank, seeds + 1 - rank)


@pytest.mark.parametrize("seeds", [5, 6, 8, 9, 10])
def test_median_interval_covers_as_often_as_it_says(seeds: int) -> None:
    """Every order of signs around the true median, counted out."""
    covered = 0
    for above in itertools.product([False, True], repeat=seeds):
        low, high = stats.median_interval(np.where(above, 2.0, 1.0) + np.linspace(0, 0.1, seeds))
        assert low is not None
        assert high is not None
        covered += low < 1.5 < high
    assert covered / 2**seeds >= (0.9375 if seeds == 5 else 0.95)


def test_restricted_mean_counts_a_censored_seed_as_the_budget() -> None:
    assert stats.restricted_mean(np.array([100, NAN, 300]), 600) == pytest.approx(1000 / 3)
    assert stats.restricted_mean(np.array([100, NAN, 300]), 200) == pytest.approx(500 / 3)


def test_restricted_mean_is_the_area_under_the_kaplan_meier_curve() -> None:
    """Under one budget; the area by scipy's curve, which knows nothing of means."""
    values = np.array([50.0, 120.0, 120.0, NAN, 300.0, NAN])
    solved = values[~np.isnan(values)]
    curve = scipy_stats.ecdf(
        scipy_stats.CensoredData(uncensored=solved, right=np.full(2, 400.0))
    ).sf
    edges = [0.0, *curve.quantiles[curve.quantiles < 400], 400.0]
    area = sum(
        (later - earlier) * curve.evaluate(earlier) for earlier, later in itertools.pairwise(edges)
    )
    assert stats.restricted_mean(values, 400) == pytest.approx(area)


@given(values=steps, budget=st.integers(1, 600), more=st.integers(0, 600))
def test_a_longer_budget_never_lowers_a_restricted_mean(
    values: np.ndarray, budget: int, more: int
) -> None:
    assert stats.restricted_mean(values, budget + more) >= stats.restricted_mean(values, budget)


@given(values=steps, seed=st.integers(0, 99))
def test_the_order_of_seeds_does_not_matter(values: np.ndarray, seed: int) -> None:
    shuffled = np.random.default_rng(seed).permutation(values)
    budgets = np.full(len(values), float(BUDGET))
    assert stats.median_steps(values) == stats.median_steps(shuffled)
    assert stats.median_interval(values) == stats.median_interval(shuffled)
    assert stats.kaplan_meier_median(values, budgets) == stats.kaplan_meier_median(
        shuffled, budgets
    )
    # The order of a sum of at most twelve numbers.
    assert stats.restricted_mean(values, 600) == pytest.approx(
        stats.restricted_mean(shuffled, 600), rel=1e-12
    )


def test_students_interval_of_the_sleep_data() -> None:
    """Student 1908, differences in hours of sleep; 95 % interval 0.70 to 2.46."""
    differences = np.array([1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4])
    assert stats.student_interval(differences) == pytest.approx((0.70, 2.46), abs=0.005)


@given(values=steps)
def test_interval_of_the_mean_is_that_of_scipy_within_the_possible(values: np.ndarray) -> None:
    low, high = stats.restricted_mean_interval(values, BUDGET)
    amounts = [BUDGET if math.isnan(value) else value for value in values]
    if len(set(amounts)) < 2:
        assert (low, high) == (None, None)
        return
    expected = scipy_stats.t.interval(
        0.95,
        len(amounts) - 1,
        loc=statistics.mean(amounts),
        scale=statistics.stdev(amounts) / math.sqrt(len(amounts)),
    )
    assert low == pytest.approx(max(0.0, expected[0]), abs=1e-6)
    assert high == pytest.approx(min(BUDGET, expected[1]), abs=1e-6)


def test_more_seeds_narrow_the_intervals() -> None:
    generator = np.random.default_rng(1)

    def widths(seeds: int) -> tuple[float, float]:
        pairs = []
        for _ in range(200):
            values = generator.gamma(4.0, 50.0, seeds)
            (low, high), (mean_low, mean_high) = (
                stats.median_interval(values),
                stats.student_interval(values),
            )
            assert None not in (low, high, mean_low, mean_high)
            pairs.append((high - low, mean_high - mean_low))
        median, mean = np.mean(pairs, axis=0)
        return float(median), float(mean)

    by_seeds = [widths(seeds) for seeds in (5, 10, 20, 40)]
    assert by_seeds == sorted(by_seeds, reverse=True)
    assert [mean for _, mean in by_seeds] == sorted((mean for _, mean in by_seeds), reverse=True)


def test_kaplan_meier_of_the_6mp_trial() -> None:
    """Median remission of 23 weeks (Klein & Moeschberger 2003, section 4.2); the band is checked by
    hand below.
    """
    values = np.array([*SOLVED_6MP, *[NAN] * len(CENSORED_6MP)], dtype=float)
    budgets = np.array([*[35] * len(SOLVED_6MP), *CENSORED_6MP], dtype=float)
    median, low, high = stats.kaplan_meier_median(values, budgets)
    assert (median, low, high) == (23, 13, None)


def test_band_of_the_6mp_trial_comes_down_to_half_at_week_13() -> None:
    """Greenwood's variance on the log(-log) scale, event by event."""
    share, variance, lows = 1.0, 0.0, {}
    for week in sorted(set(SOLVED_6MP)):
        at_risk = sum(other >= week for other in (*SOLVED_6MP, *CENSORED_6MP))
        events = SOLVED_6MP.count(week)
        share *= 1 - events / at_risk
        variance += events / (at_risk * (at_risk - events))
        lows[week] = share ** math.exp(1.959964 * math.sqrt(variance) / abs(math.log(share)))
    assert min(week for week, low in lows.items() if low <= 0.5) == 13


def naive_kaplan_meier(values: np.ndarray, budgets: np.ndarray) -> float | None:
    """By hand, event by event."""
    share = 1.0
    for time in sorted({value for value in values if not math.isnan(value)}):
        at_risk = sum(
            (budget if math.isnan(value) else value) >= time
            for value, budget in zip(values, budgets, strict=True)
        )
        share *= 1 - sum(value == time for value in values) / at_risk
        if share <= 0.5 + 1e-12:
            return float(time)
    return None


@given(values=steps, seed=st.integers(0, 99))
def test_kaplan_meier_median_is_that_of_the_product_by_hand(values: np.ndarray, seed: int) -> None:
    budgets = np.random.default_rng(seed).integers(1, 700, len(values)).astype(float)
    budgets = np.where(np.isnan(values), budgets, np.maximum(budgets, np.nan_to_num(values) + 1))
    assert stats.kaplan_meier_median(values, budgets)[0] == naive_kaplan_meier(values, budgets)


@given(values=steps)
def test_kaplan_meier_median_is_the_order_statistic_under_one_budget(values: np.ndarray) -> None:
    budgets = np.full(len(values), float(BUDGET))
    assert stats.kaplan_meier_median(values, budgets)[0] == stats.median_steps(values)


def test_solving_must_begin_before_the_budget() -> None:
    assert stats.censor(np.array([290.0, 300.0, 310.0, NAN]), 300).tolist()[:1] == [290.0]
    assert np.isnan(stats.censor(np.array([290.0, 300.0, 310.0, NAN]), 300)[1:]).all()
