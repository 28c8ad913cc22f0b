"""The sentences that answer the question: a few whole ones, and what they hedge."""

from typing import Any

import pytest
from support.studies import SEEDS, STALLED, WrittenStudy, shape

from resformer.reporting.analysis.cost import Cost, cost
from resformer.reporting.text.answer import answer, power_words, reach
from resformer.residuals.add import Add
from resformer.residuals.deepnorm import DeepNorm
from resformer.residuals.dense import Dense
from resformer.residuals.gpt2 import Gpt2
from resformer.residuals.lns import Lns
from resformer.residuals.plain import Plain
from resformer.residuals.scaled import Scaled
from resformer.tasks.sort import Sort

FAST, SLOW, NEVER = [100, 120, 110, 90, 130], [300, 320, 310, 290, 330], [STALLED] * 5


def depths(
    made: WrittenStudy, residual: Any, outcomes: dict[int, list[Any]], norm: str = "post"
) -> None:
    for depth, of_seeds in outcomes.items():
        made.job(shape(depth, residual, norm), SEEDS[: len(of_seeds)], of_seeds)


def test_deeper_then_speed_then_cost(made: WrittenStudy) -> None:
    depths(made, Add(), {1: SLOW, 4: FAST, 8: FAST})
    depths(made, Plain(), {1: FAST, 4: NEVER, 8: NEVER})
    assert answer(made.report()) == [
        "How deep: with residual connections stacks train at least 3.0 doublings deeper than "
        "without (95 % interval among the depths tried 1.6 to 3.4), to depth 8 or more against 1: "
        "5 of 5 seeds against 0 of 5 at depths 4 and 8, exact p = 0.0079.",
        "How fast where both train: with residual connections they take 2.84 times the steps (95 % "
        "interval 2.53 to 3.19) at depth 1, the only one that all seeds of both solve.",
        "Cost: residual connections add no parameters and no FLOPs of matrix products.",
    ]


def test_an_interval_that_holds_one_says_that_speed_does_not_surely_differ(
    made: WrittenStudy,
) -> None:
    depths(made, Add(), {1: FAST, 2: [120, 90, 130, 100, 110]})
    depths(made, Plain(), {1: [110, 100, 120, 100, 125], 2: FAST})
    fast = answer(made.report())[1]
    assert "so not surely different) at depths 1 and 2, which all seeds of both solve (" in fast


def test_what_is_not_shown_says_how_many_seeds_would(made: WrittenStudy) -> None:
    depths(made, Add(), {1: FAST[:3], 4: FAST[:3]})
    depths(made, Plain(), {1: [120, 90, 130], 4: [110, STALLED, STALLED]})
    assert answer(made.report())[0::2] == [
        "How deep: with residual connections stacks are not shown to train deeper or less deep "
        "than without: 3 of 3 seeds against 1 of 3 at depth 4, exact p = 0.4.",
        "3 seeds find a limit one grid depth apart (95 % of seeds against 5 % solve) with "
        "probability 0.00; 7 would find it with 0.90.",
    ]


def test_many_comparisons_are_counted(made: WrittenStudy) -> None:
    for residual in (Add(), Gpt2(), Lns()):
        depths(made, residual, {1: FAST, 8: FAST}, "pre")
    for residual in (Plain(), Scaled(exponent=0.5)):
        depths(made, residual, {1: FAST, 8: NEVER}, "pre")
    depths(made, Dense(), {1: NEVER, 8: NEVER}, "pre")
    deep, fast, seeds, pairs, _ = answer(made.report())
    assert deep == (
        "How deep: of 5 columns against plain, 3 deeper (add, gpt2 and lns), 1 less deep "
        "(dense), 1 not shown to differ (scaled) (Holm: any false one at most in 5 % of "
        "studies, the largest p = 0.04)."
    )
    assert fast == (
        "How fast where both train: 0 faster, 0 slower, 4 not surely either, 1 at no depth that "
        "all seeds of both solve."
    )
    assert seeds.startswith("5 seeds find a limit one grid depth apart")
    assert pairs.startswith("Of all 15 pairs of columns 11 are distinguished by how deep")


def test_one_seed_says_that_there_is_no_test(made: WrittenStudy) -> None:
    depths(made, Add(), {1: [100], 4: [100]})
    depths(made, Plain(), {1: [100], 4: [STALLED]})
    assert answer(made.report())[0] == (
        "How deep: one seed: no test; 1 of 1 seeds against 1 of 1 at depth 1, 1 of 1 seeds against "
        "0 of 1 at depth 4."
    )


def test_what_neither_solves_within_a_shared_budget_does_not_contradict_the_table(
    made: WrittenStudy,
) -> None:
    depths(made, Plain(), {4: NEVER})
    made.job(shape(4, Add(), "post", steps=2000), SEEDS, [700, 720, 740, 760, 780])
    assert answer(made.report())[0] == (
        "How deep: no seed of either solves any depth within the 600 steps that both had."
    )


def test_deeper_though_shallow_depths_are_solved_by_fewer(made: WrittenStudy) -> None:
    depths(made, Add(), {1: NEVER, 2: NEVER, 4: NEVER, 8: FAST})
    depths(made, Plain(), {1: FAST, 2: FAST, 4: FAST, 8: NEVER})
    assert answer(made.report())[0] == (
        "How deep: with residual connections stacks train deeper than without, though fewer seeds "
        "solve shallow depths, depth 8 or more against 4: 0 of 5 seeds against 5 of 5 at depths 1, "
        "2 and 4, 5 of 5 seeds against 0 of 5 at depth 8, exact p = 0.0079."
    )


def test_several_tasks_have_an_answer_each(made: WrittenStudy) -> None:
    depths(made, Add(), {1: FAST})
    sort = Sort(length=8, symbols=16)
    made.job(shape(1, Add(), "post", task=sort, attention="bidirectional"), SEEDS, NEVER)
    assert answer(made.report()) == [
        "copy. How deep: depth 1, the only one tried.",
        "sort. How deep: no depth.",
    ]


def test_arms_without_a_baseline_are_named_with_their_depths(made: WrittenStudy) -> None:
    depths(made, DeepNorm(), {1: FAST, 2: NEVER})
    depths(made, Lns(), {1: FAST, 2: FAST}, "pre")
    assert answer(made.report()) == [
        "How deep: to depth 2 or more with lns pre-norm; to depth 1 with deepnorm post-norm."
    ]


@pytest.mark.parametrize(
    ("run", "words"),
    [
        ((None, None), "no depth"),
        ((1, 2), "to depth 2"),
        ((1, 8), "to depth 8 or more"),
        ((2, 4), "depths 2 to 4"),
        ((4, 8), "depths 4 to 8 or more"),
    ],
)
def test_a_run_of_depths_in_words(run: tuple[int | None, int | None], words: str) -> None:
    assert reach(*run, [1, 2, 4, 8]) == words


def test_power_in_words() -> None:
    assert power_words(1, 5) == (
        "5 seeds find a limit one grid depth apart (95 % of seeds against 5 % solve) with "
        "probability 0.91."
    )
    assert power_words(2, 5).endswith("with probability 0.60; 7 would find it with 0.90.")


def test_the_cost_of_residual_connections(made: WrittenStudy) -> None:
    depths(made, Add(), {1: FAST})
    assert cost(made.report()) is None
    depths(made, Plain(), {1: FAST})
    assert cost(made.report()) == Cost(parameters=0, flops_per_step=0)
