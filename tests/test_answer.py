"""The sentences that answer the question: a few whole ones, and what they hedge."""

from typing import Any

import pytest
from support.studies import SEEDS, STALLED, WrittenStudy, shape

from resformer.model.shape import Member
from resformer.reporting.analysis.cost import Cost, cost
from resformer.reporting.analysis.summary import summarise
from resformer.reporting.text.answer import answer, reach
from resformer.reporting.text.headline import headline
from resformer.reporting.text.power import power_words
from resformer.reporting.text.words import comparisons
from resformer.residuals.add import Add
from resformer.residuals.deepnorm import DeepNorm
from resformer.residuals.dense import Dense
from resformer.residuals.gpt2 import Gpt2
from resformer.residuals.lns import Lns
from resformer.residuals.plain import Plain
from resformer.residuals.scaled import Scaled
from resformer.results.members import read
from resformer.stats.multiplicity import level
from resformer.stats.power import SECOND_LOOK
from resformer.tasks.sort import Sort

FAST, SLOW, NEVER = [100, 120, 110, 90, 130], [300, 320, 310, 290, 330], [STALLED] * 5


def at_rate(lr: float) -> list[Member]:
    return [Member(seed=seed, lr=lr) for seed in range(5)]


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
        "probability 0.00; 7 in each arm would find it with 0.97.",
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
    assert pairs.startswith("Of the 15 pairs of columns that differ only in scheme or norm, 11 are")


def test_one_seed_says_that_there_is_no_test(made: WrittenStudy) -> None:
    depths(made, Add(), {1: [100], 4: [100]})
    depths(made, Plain(), {1: [100], 4: [STALLED]})
    assert answer(made.report())[0] == (
        "How deep: with residual connections against without 1 of 1 seeds against 1 of 1 at depth "
        "1, 1 of 1 seeds against 0 of 1 at depth 4; one seed: no test."
    )
    assert headline(made.report()) == "One seed: no test of how deep"


def test_what_neither_solves_within_a_shared_budget_does_not_contradict_the_table(
    made: WrittenStudy,
) -> None:
    depths(made, Plain(), {4: NEVER})
    made.job(shape(4, Add(), "post", steps=2000), SEEDS, [700, 720, 740, 760, 780])
    assert answer(made.report())[0] == (
        "How deep: neither with residual connections nor without does any seed solve any depth "
        "within the 600 steps that both had."
    )
    assert not any("How fast" in line for line in answer(made.report()))
    assert headline(made.report()) == "No seed solves any depth within the 600 steps that both had"


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
    assert headline(made.report()) == "Nothing is compared, as no column has a baseline here"


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
    """The chance of the seeds that would do is theirs, not the one that is asked for."""
    assert power_words(5, 5, level(1)) == (
        "5 seeds find a limit one grid depth apart (95 % of seeds against 5 % solve) with "
        "probability 0.91."
    )
    words = power_words(5, 5, level(2))
    assert words.endswith("with probability 0.60; 7 in each arm would find it with 0.90.")
    assert power_words(8, 3, level(1)).startswith("8 against 3 seeds find a limit")


def test_power_at_one_depth_speaks_of_shares(made: WrittenStudy) -> None:
    depths(made, Add(), {8: FAST})
    depths(made, Plain(), {8: [*FAST[:3], *NEVER[:2]]})
    words = power_words(5, 5, level(1), one_depth=True)
    assert words in answer(made.report())
    assert words.startswith("5 seeds find 95 % of seeds that solve against 5 % with probability")


def test_unequal_arms_have_the_power_of_both(made: WrittenStudy) -> None:
    eight = [Member(seed=seed, lr=3e-3) for seed in range(8)]
    for depth in (1, 8):
        made.job(shape(depth, Add(), "pre"), eight, [100] * 8)
    depths(made, Plain(), {1: [100] * 3, 8: [STALLED, 90, STALLED]}, "pre")
    assert power_words(8, 3, level(1)) in answer(made.report())


def test_the_power_of_a_settled_study_is_that_of_its_second_look(made: WrittenStudy) -> None:
    depths(made, Add(), {1: FAST, 8: FAST})
    depths(made, Plain(), {1: FAST, 8: [*FAST[:3], *NEVER[:2]]})
    findings = made.findings(["resformer", "sweep", "--settle"])
    assert power_words(5, 5, SECOND_LOOK) in answer(summarise(findings))


def test_a_study_that_is_not_finished_says_so_first(made: WrittenStudy) -> None:
    depths(made, Add(), {1: FAST, 4: FAST})
    depths(made, Plain(), {1: FAST, 4: NEVER})
    assert headline(made.report(finished=3)).startswith("Incomplete: ")
    assert not headline(made.report()).startswith("Incomplete")


def test_one_seed_against_several_is_no_test(made: WrittenStudy) -> None:
    depths(made, Add(), {1: FAST, 8: FAST})
    depths(made, Plain(), {1: [100], 8: [STALLED]})
    lines = answer(made.report())
    assert lines[0].endswith("5 of 5 seeds against 0 of 1 at depth 8; one seed: no test.")
    assert not any("seeds find" in line for line in lines)


def test_only_deeper_depths_tell_arms_apart_that_solve_the_deepest(made: WrittenStudy) -> None:
    depths(made, Add(), {1: FAST, 8: FAST})
    depths(made, Plain(), {1: FAST, 8: SLOW})
    lines = answer(made.report())
    assert (
        "All seeds of both solve the deepest depth tried: only deeper ones could tell them apart."
        in lines
    )
    assert not any("seeds find" in line for line in lines)


def test_tests_of_all_tasks_are_counted(made: WrittenStudy) -> None:
    """p is corrected for the four of the study, and so the words and the power are for four."""
    for task in (made.shape.task, Sort(length=8, symbols=16)):
        for norm in ("pre", "post"):
            for depth in (1, 8):
                made.job(shape(depth, Add(), norm, task=task), SEEDS, FAST)
                deep = FAST if depth == 1 or norm == "post" else NEVER
                made.job(shape(depth, Plain(), norm, task=task), SEEDS, deep[:4] + NEVER[:1])
    report = made.report()
    lines = answer(report)
    deep = [line for line in lines if "How deep" in line]
    assert len(deep) == 4
    assert all(line.endswith("corrected for 4 comparisons.") for line in deep)
    assert {report.tests(row) for row in report.comparisons} == {4}
    assert f"copy. {power_words(5, 5, level(4))}" in lines


def test_seeds_that_no_arm_shares_are_not_paired(made: WrittenStudy) -> None:
    depths(made, Add(), {1: FAST, 8: FAST})
    for depth, of_seeds in ((1, FAST), (8, NEVER)):
        others = [Member(seed=seed, lr=3e-3) for seed in range(10, 15)]
        made.job(shape(depth, Plain(), "post"), others, of_seeds)
    assert answer(made.report())[1] == (
        "How fast where both train: all seeds solve depth 1 both with residual connections and "
        "without, but no seed ran in both, so no steps are paired."
    )


def test_seeds_that_no_depth_shares_with_another_are_paired_by_depth(made: WrittenStudy) -> None:
    for depth, seeds in ((1, range(5)), (4, range(5, 10))):
        for residual, steps in ((Add(), FAST), (Plain(), SLOW)):
            members = [Member(seed=seed, lr=1e-3) for seed in seeds]
            made.job(shape(depth, residual, "post"), members, steps)
    assert (
        "without, but no seed ran in both at all of them (paired by depth: 0.35 at 1, 0.35 at 4), "
        "so no steps are paired."
    ) in answer(made.report())[1]


def test_depths_without_a_seed_in_common_are_not_among_those_of_the_speed(
    made: WrittenStudy,
) -> None:
    depths(made, Add(), {1: FAST, 4: FAST})
    depths(made, Plain(), {1: FAST})
    others = [Member(seed=seed, lr=3e-3) for seed in range(10, 15)]
    made.job(shape(4, Plain(), "post"), others, FAST)
    assert answer(made.report())[-3].endswith(
        "1.00 times the steps at depth 1, the only one that all seeds of both solve with seeds in "
        "common."
    )


def test_comparisons_in_which_nobody_solves_are_named_once(made: WrittenStudy) -> None:
    for residual in (Plain(), Add(), Gpt2()):
        depths(made, residual, {1: NEVER, 4: NEVER}, "pre")
    assert answer(made.report())[0] == (
        "How deep: in all 2 comparisons no seed solves any depth within 600 steps: add / plain; "
        "gpt2 / plain."
    )
    assert "How fast" not in answer(made.report())[1]


@pytest.mark.parametrize(
    ("plain", "words", "top"),
    [
        (
            NEVER,
            "stacks solve depth 8, the only one tried, more often than without: 5 of 5 seeds "
            "against 0 of 5, exact p = 0.0079.",
            "stacks solve depth 8, the only one tried, more often than without, within 600 steps",
        ),
        (
            [*FAST[:3], *NEVER[:2]],
            "stacks are not shown to solve depth 8, the only one tried, more or less often than "
            "without: 5 of 5 seeds against 3 of 5, exact p = 0.44.",
            "stacks are not shown to solve depth 8, the only one tried, more or less often than "
            "without",
        ),
    ],
)
def test_a_single_depth_has_no_doublings(
    made: WrittenStudy, plain: list[Any], words: str, top: str
) -> None:
    depths(made, Add(), {8: FAST})
    depths(made, Plain(), {8: plain})
    report = made.report()
    assert answer(report)[0] == f"How deep: with residual connections {words}"
    assert headline(report) == f"With residual connections {top}"
    assert comparisons(report)[0][3:5] == ("–", "")


def test_many_comparisons_at_a_single_depth_are_counted_by_how_often(made: WrittenStudy) -> None:
    for residual in (Add(), Gpt2(), Lns(), Dense(), DeepNorm()):
        depths(made, residual, {8: FAST}, "pre" if residual != DeepNorm() else "post")
    for norm in ("pre", "post"):
        depths(made, Plain(), {8: NEVER}, norm)
    assert answer(made.report())[0].startswith(
        "How deep: of 5 columns against plain, 5 solve depth 8, the only one tried, more often "
        "(add, deepnorm, dense, gpt2 and lns), 0 less often"
    )


def test_the_cost_of_residual_connections(made: WrittenStudy) -> None:
    depths(made, Add(), {1: FAST})
    assert cost(made.report()) is None
    depths(made, Plain(), {1: FAST})
    assert cost(made.report()) == Cost(parameters=0, flops_per_step=0)


def test_arms_without_a_learning_rate_in_common_say_so_with_their_rates(
    made: WrittenStudy,
) -> None:
    for depth in (1, 2):
        for rate in (3e-3, 1e-2):
            made.job(shape(depth, Add(), "post"), at_rate(rate), FAST)
        made.job(shape(depth, Plain(), "post"), at_rate(1e-4), NEVER)
    report = made.report()
    reason = (
        "othing is compared, as no learning rate ran in both: to depth 2 or more "
        "with add at learning rates 0.003 and 0.01; no depth with plain at learning rate 0.0001"
    )
    assert headline(report) == f"N{reason}"
    assert answer(report)[0] == f"How deep: n{reason}."


def test_arms_of_several_tasks_without_a_rate_in_common_say_so(made: WrittenStudy) -> None:
    for task in (Sort(length=8, symbols=16), shape(1, Add(), "post").task):
        made.job(shape(1, Add(), "post", task=task), at_rate(1e-2), FAST)
        made.job(shape(1, Plain(), "post", task=task), at_rate(1e-4), NEVER)
    report = made.report()
    assert headline(report) == ("Nothing is compared, as no learning rate ran in both")
    assert "with add at learning rate 0.01; no depth with plain at" in answer(report)[0]


def test_final_losses_without_a_rate_in_common_say_so(made: WrittenStudy) -> None:
    budget = {"stop_when_solved": False}
    made.job(shape(1, Add(), "post", **budget), at_rate(1e-2), [0.5] * 5)
    made.job(shape(1, Plain(), "post", **budget), at_rate(1e-4), [0.6] * 5)
    report = summarise(read([made.write()]), score="final_loss")
    assert answer(report)[0] == (
        "How low the final loss: nothing is compared, as no learning rate ran in both: add at "
        "learning rate 0.01; plain at learning rate 0.0001."
    )


def test_one_arm_whose_seeds_lack_rates_has_no_baseline_for_all_that(made: WrittenStudy) -> None:
    made.job(shape(1, Add(), "post"), at_rate(1e-3)[:2], FAST[:2])
    made.job(shape(1, Add(), "post"), at_rate(1e-2)[2:], FAST[2:])
    assert headline(made.report()) == "Depth 1, the only one tried"
