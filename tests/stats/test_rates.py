"""The learning rate that a seed is scored at."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from resformer.stats.rates import rates_by_other_seeds, rates_in_arms

NAN = math.nan


def naive_best(steps: np.ndarray, loss: np.ndarray, ran: np.ndarray, budget: int) -> int | None:
    """The definition, word by word."""

    def badness(column: int) -> tuple[float, float, float, int]:
        ran_S = ran[:, column]
        steps_S, losses = steps[ran_S, column], loss[ran_S, column]
        spent = np.where(np.isnan(steps_S), budget, steps_S)
        return (
            -float(np.mean(~np.isnan(steps_S))),
            float(spent.sum()) / len(spent),
            float(losses.sum()) / len(losses) if np.isfinite(losses).all() else math.inf,
            column,
        )

    return min(
        (column for column in range(ran.shape[1]) if ran[:, column].any()),
        key=badness,
        default=None,
    )


def naive_by_others(steps: np.ndarray, loss: np.ndarray, ran: np.ndarray, budget: int) -> list[int]:
    chosen = []
    for seed in range(len(ran)):
        others = np.arange(len(ran)) != seed
        column = naive_best(steps[others], loss[others], ran[others] & ran[seed], budget)
        if column is None:
            column = naive_best(steps[[seed]], loss[[seed]], ran[[seed]], budget)
        chosen.append(-1 if column is None else column)
    return chosen


def best(steps: list[list[float]], loss: list[list[float]] | None = None) -> int:
    """Index of the best rate of two seeds that did the same, each of which chooses it."""
    table = np.array([*steps, *steps], dtype=float)
    losses = np.zeros_like(table) if loss is None else np.array([*loss, *loss], dtype=float)
    lone = np.array([*steps, [NAN] * len(steps[0])], dtype=float)
    last = np.vstack([losses[: len(steps)], np.zeros(len(steps[0]))])
    return int(rates_by_other_seeds(lone, last, np.ones_like(lone, dtype=bool), 600)[-1])


def test_best_rate_most_solved_then_fastest_then_lowest_loss_then_smallest() -> None:
    assert best([[10, 300], [NAN, 400]]) == 1
    assert best([[10, 20], [40, 20]]) == 1
    assert best([[NAN, NAN], [NAN, NAN]], [[2.0, 1.0], [2.0, 1.5]]) == 1
    assert best([[NAN, NAN], [NAN, NAN]], [[2.0, NAN], [2.0, 0.1]]) == 0
    assert best([[10, 10], [20, 20]]) == 0


def test_a_rate_is_chosen_by_the_other_seeds() -> None:
    """Seed 0 alone does well at the first rate; it is scored at the second, which the others
    prefer.
    """
    table = np.array([[10.0, NAN], [NAN, 50.0], [NAN, 60.0]])
    ran = np.ones_like(table, dtype=bool)
    assert rates_by_other_seeds(table, np.zeros_like(table), ran, 600).tolist() == [1, 0, 0]
    ran[0, 1] = False
    assert rates_by_other_seeds(table, np.zeros_like(table), ran, 600).tolist() == [0, 1, 1]
    disjoint = np.array([[10.0, NAN], [NAN, 50.0]])
    assert rates_by_other_seeds(
        disjoint, np.zeros_like(disjoint), ~np.isnan(disjoint), 600
    ).tolist() == [0, 1]
    one = np.array([[NAN, 50.0]])
    assert rates_by_other_seeds(
        one, np.zeros_like(one), np.ones_like(one, dtype=bool), 600
    ).tolist() == [1]


@st.composite
def tables(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Steps, losses (small integers, so that sums in any order are exact), who ran, and arms."""
    units, rates = draw(st.integers(1, 7)), draw(st.integers(1, 4))
    shape = (units, rates)
    steps = draw(
        hnp.arrays(np.float64, shape, elements=st.sampled_from([NAN, 10.0, 20.0, 20.0, 300.0]))
    )
    loss = draw(
        hnp.arrays(np.float64, shape, elements=st.sampled_from([0.0, 1.0, 2.0, NAN, math.inf]))
    )
    ran = draw(hnp.arrays(np.bool_, shape, elements=st.sampled_from([True, True, True, False])))
    arms = draw(hnp.arrays(np.bool_, (draw(st.integers(1, 3)), units)))
    return np.where(ran, steps, NAN), loss, ran, arms


@given(tables())
def test_in_every_arm_the_choice_is_that_of_the_definition(
    table: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
) -> None:
    steps, loss, ran, arms = table
    chosen = rates_in_arms(steps, loss, ran, arms, 600)
    for arm, columns in zip(arms, chosen, strict=True):
        for side in (arm, ~arm):
            assert columns[side].tolist() == naive_by_others(
                steps[side], loss[side], ran[side], 600
            )
