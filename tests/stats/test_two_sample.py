"""Two-sample tests: log-rank, permutations, Holm, paired ratios."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats as scipy_stats

from resformer.stats import two_sample
from resformer.stats.rates import rates_by_other_seeds
from resformer.stats.two_sample import Stratum

NAN = math.nan
BUDGET = 600

# Bland & Altman 2004, "The logrank test", BMJ 328:1073: weeks of survival with two kinds of glioma.
ASTROCYTOMA = [6, 13, 21, 30, 37, 38, 49, 50, 63, 79, 86, 98, 202, 219], [31, 47, 80, 82, 82, 149]
GLIOBLASTOMA = (
    [
        10,
        10,
        12,
        13,
        14,
        15,
        16,
        17,
        18,
        20,
        24,
        24,
        25,
        28,
        30,
        33,
        35,
        37,
        40,
        40,
        46,
        48,
        76,
        81,
        82,
        91,
        112,
        181,
    ],
    [34, 40, 70],
)
# Freireich et al. 1963, weeks of remission: placebo, all of them events.
PLACEBO = [1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23]


def stratum(steps_UR: np.ndarray) -> Stratum:
    """Units that ran at every rate, with the same loss."""
    return Stratum(
        steps_UR=steps_UR,
        loss_UR=np.zeros_like(steps_UR),
        ran_UR=np.ones_like(steps_UR, dtype=bool),
        budget=BUDGET,
    )


def one_rate(steps: list[float]) -> Stratum:
    return stratum(np.array(steps, dtype=float)[:, None])


def naive_logrank(steps: np.ndarray, arm: np.ndarray) -> tuple[float, float]:
    """Observed minus expected and variance, event time by event time; who is censored is at risk
    throughout.
    """
    score = variance = 0.0
    for time in sorted({value for value in steps if not math.isnan(value)}):
        risk = [math.isnan(value) or value >= time for value in steps]
        n, n1 = (
            sum(risk),
            sum(at_risk and inside for at_risk, inside in zip(risk, arm, strict=True)),
        )
        d = sum(value == time for value in steps)
        d1 = sum(value == time and inside for value, inside in zip(steps, arm, strict=True))
        score += d1 - d * n1 / n
        variance += d * (n1 / n) * (1 - n1 / n) * (n - d) / (n - 1) if n > 1 else 0.0
    return score, variance


steps_and_arm = st.integers(2, 10).flatmap(
    lambda units: st.tuples(
        hnp.arrays(np.float64, units, elements=st.sampled_from([NAN, 10.0, 20.0, 30.0, 70.0])),
        hnp.arrays(np.bool_, units),
    )
)


@given(steps_and_arm)
def test_logrank_is_that_by_hand(sample: tuple[np.ndarray, np.ndarray]) -> None:
    steps, arm = sample
    score, variance = two_sample.logrank(
        steps[None], np.ones((1, len(steps)), dtype=bool), arm[None]
    )
    assert (score[0], variance[0]) == pytest.approx(naive_logrank(steps, arm), abs=1e-9)


@given(steps_and_arm)
def test_logrank_is_that_of_scipy(sample: tuple[np.ndarray, np.ndarray]) -> None:
    steps, arm = sample
    score, variance = two_sample.logrank(
        steps[None], np.ones((1, len(steps)), dtype=bool), arm[None]
    )
    if variance[0] < 1e-9 or np.isnan(steps[arm]).all() or np.isnan(steps[~arm]).all():
        return  # scipy wants an event in each
    first, second = (
        scipy_stats.CensoredData(
            uncensored=part[~np.isnan(part)], right=np.full(int(np.isnan(part).sum()), 600.0)
        )
        for part in (steps[arm], steps[~arm])
    )
    expected = scipy_stats.logrank(first, second).statistic
    assert score[0] / math.sqrt(variance[0]) == pytest.approx(expected, abs=1e-9)


def test_logrank_of_the_glioma_data_without_censoring_before_the_last_event() -> None:
    """The published test knows losses in between, which a budget cannot have: all censored at the
    end instead.

    scipy on the data as published gives χ² = 7.5, as Bland & Altman print; with all losses put at
    the end both give the same, which is what is compared.
    """
    published = [
        scipy_stats.CensoredData(uncensored=solved, right=lost)
        for solved, lost in (ASTROCYTOMA, GLIOBLASTOMA)
    ]
    assert scipy_stats.logrank(*published).statistic ** 2 == pytest.approx(7.5, abs=0.05)
    steps = np.array([*ASTROCYTOMA[0], *[NAN] * 6, *GLIOBLASTOMA[0], *[NAN] * 3], dtype=float)
    arm = np.arange(len(steps)) < 20
    score, variance = two_sample.logrank(
        steps[None], np.ones((1, len(steps)), dtype=bool), arm[None]
    )
    at_end = [
        scipy_stats.CensoredData(uncensored=solved, right=np.full(len(lost), 300.0))
        for solved, lost in (ASTROCYTOMA, GLIOBLASTOMA)
    ]
    assert score[0] / math.sqrt(variance[0]) == pytest.approx(
        scipy_stats.logrank(*at_end).statistic, abs=1e-9
    )


def test_logrank_of_the_remission_data_as_far_as_both_arms_are_followed() -> None:
    """In the first five weeks nobody is lost; 9 events, all under placebo, where fewer are expected
    week by week.
    """
    placebo = [week if week <= 5 else NAN for week in PLACEBO]
    steps = np.array([*placebo, *[NAN] * 21], dtype=float)
    arm = np.arange(42) < 21
    score, _ = two_sample.logrank(steps[None], np.ones((1, 42), dtype=bool), arm[None])
    expected = 2 * 21 / 42 + 2 * 19 / 40 + 17 / 38 + 2 * 16 / 37 + 2 * 14 / 35
    assert score[0] == pytest.approx(9 - expected)


def test_units_that_never_ran_do_not_count() -> None:
    steps = np.array([[10.0, 20.0, 30.0, NAN, 40.0]])
    arm = np.array([[True, True, False, False, False]])
    present = np.array([[True, False, True, True, True]])
    left = present[0]
    without = two_sample.logrank(steps[:, left], present[:, left], arm[:, left])
    assert np.array(two_sample.logrank(steps, present, arm)) == pytest.approx(np.array(without))


def p_value(strata: list[Stratum], first: int, second: int, max_permutations: int) -> float | None:
    result = two_sample.permutation_test(
        strata, first=first, second=second, max_permutations=max_permutations
    )
    return result and result[0]


def naive_p(strata: list[Stratum], first: int, second: int) -> float:
    """Every permutation by itself, the rates chosen anew in each arm of each."""

    def statistic(chosen: tuple[int, ...]) -> float:
        arm = np.isin(np.arange(first + second), chosen)
        score = variance = 0.0
        for table in strata:
            steps = np.full(first + second, NAN)
            for side in (arm, ~arm):
                columns = rates_by_other_seeds(
                    table.steps_UR[side], table.loss_UR[side], table.ran_UR[side], table.budget
                )
                steps[side] = table.steps_UR[side][np.arange(int(side.sum())), columns]
            one, other = naive_logrank(steps, arm)
            score, variance = score + one, variance + other
        return abs(score / math.sqrt(variance)) if variance > 0 else 0.0

    observed = statistic(tuple(range(first)))
    values = [statistic(chosen) for chosen in itertools.combinations(range(first + second), first)]
    return sum(value >= observed - 1e-9 for value in values) / len(values)


@settings(max_examples=40, deadline=None)
@given(
    data=st.data(),
    first=st.integers(1, 3),
    second=st.integers(1, 3),
    rates=st.integers(1, 3),
    depths=st.integers(1, 2),
)
def test_p_is_the_share_of_permutations_counted_one_by_one(
    data: st.DataObject, first: int, second: int, rates: int, depths: int
) -> None:
    values = st.sampled_from([NAN, 10.0, 20.0, 30.0, 400.0])
    strata = []
    for _ in range(depths):
        steps = data.draw(hnp.arrays(np.float64, (first + second, rates), elements=values))
        strata.append(stratum(steps))
    p = p_value(strata, first, second, 1000)
    if all(np.isnan(table.steps_UR).all() for table in strata):
        assert p is None
    else:
        assert p == pytest.approx(naive_p(strata, first, second))


def test_five_seeds_that_all_solve_against_five_that_do_not() -> None:
    """2 of 252; the asymptotic test would say 0.0018 or so."""
    strata = [one_rate([100, 110, 120, 130, 140, *[NAN] * 5])]
    assert p_value(strata, 5, 5, 1000) == pytest.approx(2 / 252)
    assert two_sample.smallest_p(5, 5, 1000) == 2 / 252
    observed = np.arange(10)[None] < 5
    assert scipy_stats.norm.sf(abs(two_sample.stratified_logrank(strata, observed)[0])) * 2 < 0.003


def test_equal_arms_give_p_one_and_no_events_give_none() -> None:
    assert p_value([one_rate([100] * 10)], 5, 5, 1000) == 1.0
    assert p_value([one_rate([NAN] * 10)], 5, 5, 1000) is None
    assert p_value([one_rate([100] * 5)], 5, 0, 1000) is None


def test_order_of_seeds_does_not_matter_to_p() -> None:
    steps = [100.0, 300.0, 120.0, NAN, 80.0, NAN, 400.0, NAN, 300.0, NAN]
    mixed = [steps[index] for index in (3, 0, 4, 1, 2, 9, 7, 5, 8, 6)]
    assert p_value([one_rate(steps)], 5, 5, 1000) == p_value([one_rate(mixed)], 5, 5, 1000)


def test_permutations_are_complete_without_repeats_and_halved_for_arms_of_equal_size() -> None:
    for first, second, expected in ((2, 3, 10), (3, 3, 10), (1, 4, 5)):
        arms = np.vstack(list(two_sample.permutations(first, second, 1000)))
        assert arms[0].tolist() == [True] * first + [False] * second
        assert len({tuple(arm) for arm in arms.tolist()}) == len(arms) == expected
        assert (arms.sum(axis=1) == first).all()


def test_many_permutations_are_sampled_the_same_each_time_and_p_is_never_zero() -> None:
    arms = np.vstack(list(two_sample.permutations(12, 12, 6000)))
    assert arms.shape == (6001, 24)
    assert arms[0].tolist() == [True] * 12 + [False] * 12
    assert (arms.sum(axis=1) == 12).all()
    assert np.array_equal(arms, np.vstack(list(two_sample.permutations(12, 12, 6000))))
    # Every unit is in the first arm half of the time: within five standard errors.
    assert np.abs(arms.mean(axis=0) - 0.5).max() < 5 * math.sqrt(0.25 / 6000)
    strata = [one_rate([*range(100, 112), *[NAN] * 12])]
    assert p_value(strata, 12, 12, 999) == 1 / 1000


def test_sampled_p_is_near_the_exact_one() -> None:
    strata = [one_rate([100.0, 300.0, 120.0, NAN, 80.0, NAN, 400.0, NAN, 300.0, NAN])]
    exact, sampled = (p_value(strata, 5, 5, limit) for limit in (252, 251))
    assert exact is not None
    # A share of 251: within four standard errors.
    assert sampled == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / 251))


def test_seeds_needed_for_significance() -> None:
    exact = 10**6
    assert [
        two_sample.seeds_needed(comparisons, exact) for comparisons in (1, 2, 6, 7, 23, 24)
    ] == [4, 5, 5, 6, 6, 7]
    # 12 + 12 seeds have 2,704,156 permutations: 999 of them drawn give no p under 0.001.
    assert two_sample.smallest_p(12, 12, 999) == 0.001


def test_a_test_says_which_arm_solves_sooner() -> None:
    slow, fast = [300.0, 310.0, 320.0], [100.0, 110.0, 120.0]
    for first, second, sign in ((fast, slow, 1), (slow, fast, -1)):
        result = two_sample.permutation_test(
            [one_rate([*first, *second])], first=3, second=3, max_permutations=1000
        )
        assert result is not None
        assert math.copysign(1, result[1]) == sign


def test_sampling_stops_where_p_is_clear() -> None:
    """Equal arms: a p of one half is known after a hundred permutations or so, and is near the one
    of all permutations.
    """
    generator = np.random.default_rng(3)
    strata = [one_rate(generator.permutation(np.arange(10.0, 170.0, 10.0)).tolist())]
    stopped = p_value(strata, 8, 8, 12_000)
    whole = p_value(strata, 8, 8, 13_000)
    assert stopped is not None
    assert whole is not None
    # Fifty of a geometric number of draws: relative error 1/√50, four of them.
    assert stopped == pytest.approx(whole, rel=4 / math.sqrt(50))


def closure(p: list[float]) -> list[float]:
    """Holm by its definition: Bonferroni in every set of hypotheses that holds this one."""
    numbers = range(len(p))
    sets = [
        chosen for size in range(1, len(p) + 1) for chosen in itertools.combinations(numbers, size)
    ]
    return [
        min(1.0, max(len(one) * min(p[i] for i in one) for one in sets if index in one))
        for index in numbers
    ]


@given(st.lists(st.floats(0, 1), max_size=6))
def test_holm_is_the_closure_of_bonferroni(p: list[float]) -> None:
    assert two_sample.holm(p).tolist() == pytest.approx(closure(p))


def test_paired_ratio_is_that_of_scipys_paired_t_on_logarithms() -> None:
    first, second = (
        np.array([100.0, 200.0, 150.0, 90.0, 130.0]),
        np.array([50.0, 120.0, 100.0, 40.0, 90.0]),
    )
    expected = scipy_stats.ttest_rel(np.log(second), np.log(first)).confidence_interval()
    ratio, low, high = two_sample.paired_ratio(first, second)
    assert (low, high) == pytest.approx((math.exp(expected.low), math.exp(expected.high)))
    assert ratio == pytest.approx(math.prod(second / first) ** (1 / 5))


def test_paired_ratio_of_few_and_of_equal() -> None:
    assert two_sample.paired_ratio(np.array([]), np.array([])) == (None, None, None)
    assert two_sample.paired_ratio(np.array([0.0]), np.array([5.0])) == (None, None, None)
    assert two_sample.paired_ratio(np.array([10.0]), np.array([5.0])) == (0.5, None, None)
    assert two_sample.paired_ratio(np.array([10.0, 20.0]), np.array([5.0, 10.0])) == (
        0.5,
        None,
        None,
    )


@settings(deadline=None)
@given(st.integers(0, 99))
def test_swapping_the_arms_inverts_the_ratio(seed: int) -> None:
    first, second = np.random.default_rng(seed).uniform(10, 600, (2, 5))
    ratio, low, high = two_sample.paired_ratio(first, second)
    back, back_low, back_high = two_sample.paired_ratio(second, first)
    assert (ratio, low, high) == pytest.approx((1 / back, 1 / back_high, 1 / back_low))
