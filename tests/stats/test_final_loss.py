"""Exact test of final losses."""

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import permutation_test

from resformer.stats import Floats
from resformer.stats.final_loss import loss_test, losses_apart, rates_by_loss
from resformer.stats.two_sample import Stratum

LOSS = st.integers(0, 40).map(lambda number: number / 8)


def stratum(loss_UR: Floats) -> Stratum:
    steps_UR = np.full(loss_UR.shape, np.nan)
    ran_UR = np.ones(loss_UR.shape, dtype=bool)
    return Stratum(steps_UR=steps_UR, loss_UR=loss_UR, ran_UR=ran_UR, budget=100)


def p_values(tables: Sequence[Floats], first: int, second: int) -> list[float]:
    strata = [stratum(table) for table in tables]
    p_D = loss_test(strata, first=first, second=second, max_permutations=100_000)
    assert p_D is not None
    return p_D.tolist()


def naive_score(table: Floats, arm: Sequence[int]) -> float:
    """Mean loss of an arm, each seed at the rate at which the others of it ended lowest."""
    scores = []
    for unit in arm:
        others = [other for other in arm if other != unit] or [unit]
        means = [table[others, rate].mean() for rate in range(table.shape[1])]
        scores.append(table[unit, means.index(min(means))])
    return float(np.mean(scores))


def naive_p(tables: Sequence[Floats], first: int, second: int) -> list[float]:
    """Step-down from the definition, over all divisions."""
    units = range(first + second)

    def apart(chosen: Sequence[int]) -> list[float]:
        rest = [unit for unit in units if unit not in chosen]
        return [abs(naive_score(table, chosen) - naive_score(table, rest)) for table in tables]

    observed = apart(range(first))
    divisions = [apart(chosen) for chosen in itertools.combinations(units, first)]
    order = sorted(range(len(tables)), key=lambda depth: -observed[depth])
    p, least = [0.0] * len(tables), 0.0
    for place, depth in enumerate(order):
        largest = [max(division[other] for other in order[place:]) for division in divisions]
        share = np.mean([value >= observed[depth] - 1e-9 for value in largest])
        least = max(least, float(share))
        p[depth] = least
    return p


@settings(max_examples=40, deadline=None)
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
    shape = (first + second, rates)
    tables = [data.draw(hnp.arrays(np.float64, shape, elements=LOSS)) for _ in range(depths)]
    assert p_values(tables, first, second) == pytest.approx(naive_p(tables, first, second))


def test_p_at_one_depth_and_rate_is_that_of_scipy() -> None:
    generator = np.random.default_rng(3)
    first, second = generator.random(5), generator.random(4) + 0.3
    expected = permutation_test(
        (first, second),
        lambda one, other: abs(np.mean(one) - np.mean(other)),
        alternative="greater",
        n_resamples=np.inf,
    )
    table = np.concatenate([first, second])[:, None]
    assert p_values([table], 5, 4) == pytest.approx([expected.pvalue])


@settings(max_examples=30, deadline=None)
@given(data=st.data(), first=st.integers(1, 4), second=st.integers(1, 4))
def test_relabelled_arms_mirror_the_differences_and_keep_p(
    data: st.DataObject, first: int, second: int
) -> None:
    table = data.draw(hnp.arrays(np.float64, (first + second, 2), elements=LOSS))
    swapped = np.concatenate([table[first:], table[:first]])
    assert p_values([swapped], second, first) == pytest.approx(p_values([table], first, second))
    arm = np.arange(first + second)[None] < first
    other = np.arange(first + second)[None] < second
    assert losses_apart([stratum(swapped)], other) == pytest.approx(
        -losses_apart([stratum(table)], arm)
    )


def test_a_rate_is_chosen_by_the_others_and_ties_go_to_the_smaller() -> None:
    loss_UR = np.array([[9.0, 0.0], [1.0, 2.0], [1.0, 2.0]])
    ran_UR = np.ones((3, 2), dtype=bool)
    assert rates_by_loss(loss_UR, ran_UR, np.ones((1, 3), dtype=bool)).tolist() == [[0, 1, 1]]
    same = np.ones((3, 2))
    assert rates_by_loss(same, ran_UR, np.ones((1, 3), dtype=bool)).tolist() == [[0, 0, 0]]


def test_an_empty_arm_is_not_tested() -> None:
    assert loss_test([stratum(np.ones((3, 1)))], first=3, second=0, max_permutations=9) is None
