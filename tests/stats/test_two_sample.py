"""Exact test of how deep: exchanges of whole seeds, step-down over depths."""

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from resformer.stats import two_sample
from resformer.stats.power import fisher_p
from resformer.stats.rates import rates_by_other_seeds
from resformer.stats.two_sample import Stratum

NAN = math.nan
BUDGET = 600
STEPS = st.sampled_from([NAN, 10.0, 20.0, 30.0, 400.0])


def stratum(steps_UR: np.ndarray) -> Stratum:
    """Units that ran at every rate, with the same loss."""
    return Stratum(
        steps_UR=steps_UR,
        loss_UR=np.zeros_like(steps_UR),
        ran_UR=np.ones_like(steps_UR, dtype=bool),
        budget=BUDGET,
    )


def solved(first: Sequence[int], second: Sequence[int]) -> Stratum:
    """A depth with one rate, where 1 stands for a seed that solves."""
    return stratum(np.where(np.array([*first, *second]) == 1, 100.0, NAN)[:, None])


def p_values(
    strata: list[Stratum], first: int, second: int, max_permutations: int = 1000
) -> list[float] | None:
    p_D = two_sample.depth_test(
        strata, first=first, second=second, max_permutations=max_permutations
    )
    return None if p_D is None else p_D.tolist()


def naive_p(strata: list[Stratum], first: int, second: int) -> list[float]:
    """By definition: for each depth the share of divisions whose largest difference, over all
    depths that are observed to differ at most as much as it, is at least its own; never smaller
    than the p-value of a depth that differs more.
    """

    def apart(chosen: tuple[int, ...]) -> list[float]:
        arm = np.isin(np.arange(first + second), chosen)
        differences = []
        for table in strata:
            shares = []
            for side in (arm, ~arm):
                columns = rates_by_other_seeds(
                    table.steps_UR[side], table.loss_UR[side], table.ran_UR[side], table.budget
                )
                steps = table.steps_UR[side][np.arange(int(side.sum())), columns]
                shares.append(float(np.mean(~np.isnan(steps))))
            differences.append(abs(shares[0] - shares[1]))
        return differences

    observed = apart(tuple(range(first)))
    divisions = [apart(chosen) for chosen in itertools.combinations(range(first + second), first)]

    def alone(depth: int) -> float:
        rest = [other for other in range(len(strata)) if observed[other] <= observed[depth] + 1e-9]
        extreme = [
            max(division[other] for other in rest) >= observed[depth] - 1e-9
            for division in divisions
        ]
        return sum(extreme) / len(extreme)

    return [
        max(
            alone(other)
            for other in range(len(strata))
            if observed[other] >= observed[depth] - 1e-9
        )
        for depth in range(len(strata))
    ]


@settings(max_examples=60, deadline=None)
@given(
    data=st.data(),
    first=st.integers(1, 3),
    second=st.integers(1, 3),
    rates=st.integers(1, 3),
    depths=st.integers(1, 3),
)
def test_p_by_depth_is_that_of_the_definition(
    data: st.DataObject, first: int, second: int, rates: int, depths: int
) -> None:
    strata = [
        stratum(data.draw(hnp.arrays(np.float64, (first + second, rates), elements=STEPS)))
        for _ in range(depths)
    ]
    p = p_values(strata, first, second)
    if all(np.isnan(table.steps_UR).all() for table in strata):
        assert p is None
    else:
        assert p == pytest.approx(naive_p(strata, first, second))


@given(first=st.integers(1, 6), second=st.integers(1, 6), data=st.data())
def test_p_at_one_depth_and_rate_is_that_of_fishers_test(
    first: int, second: int, data: st.DataObject
) -> None:
    one = data.draw(st.lists(st.integers(0, 1), min_size=first, max_size=first))
    other = data.draw(st.lists(st.integers(0, 1), min_size=second, max_size=second))
    p = p_values([solved(one, other)], first, second)
    if sum(one) + sum(other) == 0:
        assert p is None
    else:
        assert p == pytest.approx([fisher_p(first, second)[sum(one), sum(other)]])


def test_five_seeds_that_all_solve_against_five_that_do_not() -> None:
    assert p_values([solved([1] * 5, [0] * 5)], 5, 5) == pytest.approx([2 / 252])


def test_depths_at_which_every_seed_solves_change_no_p_value() -> None:
    """The number of easy depths in the grid is the user's choice: it must decide nothing."""
    apart = [solved([1] * 5, [1, 0, 0, 0, 0]), solved([1, 1, 1, 0, 0], [0] * 5)]
    easy = [stratum(np.full((10, 1), steps)) for steps in (50.0, 60.0)]
    alone, among = p_values(apart, 5, 5), p_values([*easy, *apart], 5, 5)
    assert alone is not None
    assert among == [1.0, 1.0, *alone]


@settings(max_examples=30, deadline=None)
@given(data=st.data(), first=st.integers(1, 4), second=st.integers(1, 4))
def test_neither_the_order_of_the_arms_nor_that_of_seeds_nor_that_of_depths_matters(
    data: st.DataObject, first: int, second: int
) -> None:
    tables = [
        data.draw(hnp.arrays(np.float64, (first + second, 2), elements=STEPS)) for _ in range(3)
    ]
    p = p_values([stratum(table) for table in tables], first, second)
    swapped = [np.concatenate([table[first:], table[:first]]) for table in tables]
    assert p_values([stratum(table) for table in swapped], second, first) == p
    order = [
        *data.draw(st.permutations(range(first))),
        *data.draw(st.permutations(range(first, first + second))),
    ]
    assert p_values([stratum(table[order]) for table in tables], first, second) == p
    reversed_ = p_values([stratum(table) for table in tables[::-1]], first, second)
    assert reversed_ == (None if p is None else p[::-1])


def test_equal_arms_give_p_one_and_nothing_solved_gives_none() -> None:
    assert p_values([stratum(np.full((10, 1), 100.0))], 5, 5) == [1.0]
    assert p_values([solved([0] * 5, [0] * 5)], 5, 5) is None
    assert p_values([solved([1] * 5, [])], 5, 0) is None


@settings(max_examples=60, deadline=None)
@given(
    data=st.data(),
    first=st.integers(2, 3),
    second=st.integers(2, 3),
    rates=st.integers(1, 3),
)
def test_p_of_speed_is_that_of_the_definition(
    data: st.DataObject, first: int, second: int, rates: int
) -> None:
    """Rates are chosen anew in each division, and unsolved seeds count with the budget."""
    steps_UR = data.draw(hnp.arrays(np.float64, (first + second, rates), elements=STEPS))
    strata = [stratum(steps_UR), stratum(np.flip(steps_UR, axis=0).copy())]

    def apart(chosen: tuple[int, ...]) -> float:
        arm = np.isin(np.arange(first + second), chosen)
        means = []
        for side in (arm, ~arm):
            logs = []
            for table in strata:
                own = [values[side] for values in (table.steps_UR, table.loss_UR, table.ran_UR)]
                columns = rates_by_other_seeds(*own, table.budget)
                steps = own[0][np.arange(int(side.sum())), columns]
                logs += np.log(np.where(np.isnan(steps), BUDGET, steps)).tolist()
            means.append(float(np.mean(logs)))
        return abs(means[0] - means[1])

    observed = apart(tuple(range(first)))
    divisions = [apart(chosen) for chosen in itertools.combinations(range(first + second), first)]
    extreme = [division >= observed - 1e-9 for division in divisions]
    p = two_sample.exchange_test(
        lambda arm_KU: two_sample.speeds_apart(strata, arm_KU),
        first=first,
        second=second,
        max_permutations=1000,
    )
    assert p == pytest.approx([sum(extreme) / len(extreme)])


def test_units_that_never_ran_do_not_count() -> None:
    """A seed that ran at another depth only leaves the counts of this one as they are."""
    whole = solved([1, 1, 0], [0, 0])
    ran_UR = whole.ran_UR.copy()
    ran_UR[2] = False
    partly = Stratum(steps_UR=whole.steps_UR, loss_UR=whole.loss_UR, ran_UR=ran_UR, budget=BUDGET)
    observed = np.array([[True, True, True, False, False]])
    assert two_sample.shares_apart([whole], observed).tolist() == [[2 / 3]]
    assert two_sample.shares_apart([partly], observed).tolist() == [[1.0]]
    empty = np.array([[False, False, True, False, False]])
    assert two_sample.shares_apart([partly], empty).tolist() == [[0.0]]


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
    assert p_values([solved([1] * 12, [0] * 12)], 12, 12, 999) == [1 / 1000]


def test_sampled_p_is_near_the_exact_one() -> None:
    strata = [solved([1, 1, 1, 1, 0], [1, 0, 0, 0, 0])]
    exact, sampled = (p_values(strata, 5, 5, limit) for limit in (252, 251))
    assert exact is not None
    # A share of 251: within four standard errors.
    assert sampled == pytest.approx(exact, abs=4 * math.sqrt(exact[0] * (1 - exact[0]) / 251))


def test_sampling_stops_where_every_p_is_clear() -> None:
    """A p of a third is known after some hundred permutations, and is near that of all."""
    strata = [solved([1] * 5 + [0] * 3, [1] * 3 + [0] * 5)]
    stopped, whole = (p_values(strata, 8, 8, limit) for limit in (12_000, 13_000))
    assert whole is not None
    # At least fifty as extreme of one chunk of draws: relative error under 1/√50, four of them.
    assert stopped == pytest.approx(whole, rel=4 / math.sqrt(50))
