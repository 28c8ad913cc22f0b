"""The sentence that a report ends in: what it claims, and how it hedges."""

from pathlib import Path
from typing import Any

import pytest
from support.studies import SEEDS, STALLED, Made, shape

from resformer.model.shape import Member
from resformer.reporting.schema import Report
from resformer.reporting.text.evidence import evidence
from resformer.reporting.text.verdict import cost, verdicts
from resformer.residuals.add import Add
from resformer.residuals.deepnorm import DeepNorm
from resformer.residuals.dense import Dense
from resformer.residuals.gpt2 import Gpt2
from resformer.residuals.lns import Lns
from resformer.residuals.plain import Plain
from resformer.residuals.scaled import Scaled


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return Made(tmp_path / "results")


def the_verdict(report: Report) -> str:
    (sentence,) = verdicts(report)
    return sentence


def depths(made: Made, residual: Any, outcomes: dict[int, list[Any]], norm: str = "post") -> None:
    for depth, found in outcomes.items():
        made.job(shape(depth, residual, norm), SEEDS[: len(found)], found)


FAST, SLOW = [100, 120, 110, 90, 130], [300, 320, 310, 290, 330]


def test_what_residuals_did_and_how_sure_that_is(made: Made) -> None:
    depths(made, Add(), {1: FAST, 4: FAST, 8: FAST})
    depths(made, Plain(), {1: SLOW, 4: [STALLED] * 5, 8: [STALLED] * 5})
    assert the_verdict(made.report()) == (
        "Within 600 steps and learning rate 0.003, copy is solved with residual connections to "
        "depth 8, the deepest "
        "tried, without them to depth 1: 5 of 5 seeds with add against 0 of 5 with plain at every "
        "depth from 4, over "
        "all depths exact p = 0.0079."
    )


def test_many_schemes_are_named_together_by_how_deep_they_go(made: Made) -> None:
    for residual in (Add(), Gpt2(), Lns()):
        depths(made, residual, {1: FAST, 8: FAST}, "pre")
    for residual in (Plain(), Scaled(0.5)):
        depths(made, residual, {1: FAST, 8: [STALLED] * 5}, "pre")
    depths(made, Dense(), {1: [STALLED] * 5, 8: [STALLED] * 5}, "pre")
    assert the_verdict(made.report()).startswith(
        "Within 600 steps and learning rate 0.003, copy is solved to depth 8, the deepest tried, "
        "with residual "
        "connections, gpt2 and lns; to depth 1, with scaled and without them; at no depth, with "
        "dense: "
    )


def test_counts_that_differ_between_depths_are_bounded(made: Made) -> None:
    depths(made, Add(), {1: FAST, 4: [*FAST[:4], 1.0], 8: FAST})
    depths(made, Plain(), {1: SLOW, 4: [100, *[1.0] * 4], 8: [STALLED] * 5})
    assert (
        "at least 4 of 5 seeds with add against at most 1 of 5 with plain at every depth from 4"
        in the_verdict(made.report())
    )


def test_a_difference_at_the_deepest_only_and_the_other_way_round(made: Made) -> None:
    depths(made, Add(), {1: FAST, 4: [STALLED] * 5})
    depths(made, Plain(), {1: FAST, 4: SLOW})
    assert "0 of 5 seeds with add against 5 of 5 with plain at depth 4" in the_verdict(
        made.report()
    )


def test_a_difference_that_ends_before_the_deepest(made: Made) -> None:
    depths(made, Add(), {1: FAST, 4: FAST, 8: FAST, 16: [STALLED] * 5})
    depths(made, Plain(), {1: SLOW, 4: [STALLED] * 5, 8: [STALLED] * 5, 16: [STALLED] * 5})
    assert (
        "5 of 5 seeds with add against 0 of 5 with plain at every depth from 4 to 8, over all"
        in the_verdict(made.report())
    )


def test_as_many_solve_and_the_intervals_overlap(made: Made) -> None:
    depths(made, Add(), {1: FAST, 4: FAST})
    depths(made, Plain(), {1: [120, 90, 130, 100, 110], 4: [110, 130, 90, 120, 100]})
    text = the_verdict(made.report())
    assert (
        "to depth 4, the deepest tried, with residual connections and without them alike: " in text
    )
    assert "which may be chance (95 % interval 0." in text
    assert "not significant" in text


def test_as_many_solve_but_faster(made: Made) -> None:
    depths(made, Add(), {1: FAST})
    depths(made, Plain(), {1: SLOW})
    text = the_verdict(made.report())
    assert (
        "as many seeds solve it with add as with plain at every depth, in 0.35 times the steps (95 "
        "% interval 0.3" in text
    )
    assert "exact p = 0.0079." in text


def test_depths_that_disagree_are_named(made: Made) -> None:
    depths(made, Add(), {1: SLOW, 4: FAST, 8: FAST})
    depths(made, Plain(), {1: FAST, 4: [STALLED] * 5, 8: [STALLED] * 5})
    assert the_verdict(made.report()).endswith("(at depth 1 add is slower).")


def test_a_test_that_favours_the_other_arm_says_so(made: Made) -> None:
    """Slower wherever both solve, and alone in solving the deepest: the test sees the three depths,
    not the one.
    """
    depths(made, Add(), {depth: [60, 70, 80, 90, 100] for depth in (1, 2, 4)} | {8: FAST})
    depths(made, Plain(), {depth: [10, 20, 30, 40, 50] for depth in (1, 2, 4)} | {8: [STALLED] * 5})
    text = the_verdict(made.report())
    assert (
        "5 of 5 seeds with add against 0 of 5 with plain at depth 8, over all depths the test "
        "favours plain" in text
    )


def test_a_test_that_favours_who_takes_more_steps_says_so(made: Made) -> None:
    """As many solve. Sooner at two depths of three, though by little: the test counts depths, the
    ratio steps.
    """
    depths(made, Add(), {depth: [60, 61, 62, 63, 64] for depth in (1, 2)} | {4: FAST})
    depths(
        made,
        Plain(),
        {depth: [50, 51, 52, 53, 54] for depth in (1, 2)} | {4: [500, 510, 520, 530, 540]},
    )
    text = the_verdict(made.report())
    assert "in 0.3" in text
    assert "over all depths the test favours plain" in text


def test_a_test_that_favours_nobody_names_nobody(made: Made) -> None:
    depths(made, Add(), {1: FAST})
    depths(made, Plain(), {1: FAST})
    text = the_verdict(made.report())
    assert "in 1.00 times the steps, over all depths exact p = 1, not significant" in text
    assert "favours" not in text


def test_counts_are_those_of_the_shared_budget(made: Made) -> None:
    depths(made, Plain(), {4: [STALLED] * 5})
    made.job(shape(4, Add(), "post", steps=2000), SEEDS, [700, 720, 740, 760, 780])
    assert the_verdict(made.report()).endswith("no seed solves it, and there is nothing to test.")


def test_seeds_that_no_arm_shares_have_no_ratio(made: Made) -> None:
    made.job(shape(1, Add(), "post"), SEEDS, FAST)
    made.job(shape(1, Plain(), "post"), [Member(seed, 3e-3) for seed in range(5, 10)], SLOW)
    text = the_verdict(made.report())
    assert (
        "as many seeds solve it, but none ran in both, so that there is no ratio of steps" in text
    )


def test_a_ratio_of_censored_steps_is_called_a_bound(made: Made) -> None:
    depths(made, Add(), {1: [*FAST[:4], 1.0]})
    depths(made, Plain(), {1: [*SLOW[:4], 1.0]})
    assert "times the steps spent within the budget" in the_verdict(made.report())


def test_unequal_arms_that_can_show_nothing(made: Made) -> None:
    depths(made, Add(), {1: FAST})
    depths(made, Plain(), {1: [STALLED]})
    assert the_verdict(made.report()).endswith(
        "5 against 1 seeds cannot reach significance here, 4 could."
    )


def test_three_seeds_can_show_nothing_and_how_many_could(made: Made) -> None:
    depths(made, Add(), {1: FAST[:3]})
    depths(made, Plain(), {1: [STALLED] * 3})
    assert the_verdict(made.report()).endswith(
        "exact p = 0.1, not significant; 3 seeds cannot reach significance here, 4 could."
    )


def test_five_seeds_are_too_few_after_correction_for_many(made: Made) -> None:
    for batch in range(1, 9):
        made.job(shape(1, Add(), "post", batch=batch), SEEDS, FAST)
        made.job(shape(1, Plain(), "post", batch=batch), SEEDS, [STALLED] * 5)
    assert the_verdict(made.report()).endswith(
        "0 of 8 comparisons are significant after correction, the smallest p = 0.063; "
        "5 seeds cannot reach significance after correction here, 6 could."
    )


def test_a_sampled_p_is_not_called_exact(made: Made) -> None:
    seeds = [Member(seed, 3e-3) for seed in range(12)]
    made.job(shape(1, Add(), "post"), seeds, [10 * number for number in range(10, 22)])
    made.job(shape(1, Plain(), "post"), seeds, [STALLED] * 12)
    assert "over all depths permutation p < 0.0001." in the_verdict(made.report())


def test_every_comparison_is_named_by_what_tells_it_apart(made: Made) -> None:
    for norm in ("post", "pre"):
        depths(made, Add(), {1: FAST}, norm)
        depths(made, Plain(), {1: [STALLED] * 5}, norm)
    depths(made, DeepNorm(), {1: FAST})
    text = the_verdict(made.report())
    assert "pre-norm: 5 of 5 seeds with add against 0 of 5 with plain at depth 1" in text
    assert "post-norm: 5 of 5 seeds with deepnorm against 0 of 5 with plain at depth 1" in text
    assert "p = 0.024 corrected for 3 comparisons" in text


def test_without_anything_to_compare_there_is_no_evidence(made: Made) -> None:
    depths(made, Add(), {1: FAST})
    report = made.report()
    assert the_verdict(report) == (
        "Within 600 steps and learning rate 0.003, copy is solved with residual connections at "
        "depth 1, the only one "
        "tried."
    )
    assert evidence([], 0, 0) == ""
    assert cost(report) == ""


def test_nobody_solves(made: Made) -> None:
    depths(made, Add(), {1: [STALLED] * 5})
    depths(made, Plain(), {1: ["diverged"] * 5})
    assert the_verdict(made.report()).endswith(
        "is solved at no depth, with residual connections and without them alike: "
        "no seed solves it, and there is nothing to test."
    )


def test_where_the_run_of_depths_begins_and_what_was_tried(made: Made) -> None:
    depths(made, Add(), {1: [STALLED] * 5, 2: [STALLED] * 5, 4: FAST, 8: FAST})
    depths(made, Plain(), {depth: [STALLED] * 5 for depth in (1, 2, 4, 8, 16)})
    text = the_verdict(made.report())
    assert (
        "with residual connections from depth 4 to 8, the deepest tried, without them at no depth"
        in text
    )


def test_further_axes_name_real_depths(made: Made) -> None:
    for batch in (16, 32):
        made.job(shape(1, Add(), "post", batch=batch), SEEDS, [STALLED] * 5)
        made.job(shape(2, Add(), "post", batch=batch), SEEDS, [STALLED if batch == 16 else 100] * 5)
    assert "at no depth at the least and to depth 2 at the most" in the_verdict(made.report())


def test_what_residual_connections_cost(made: Made) -> None:
    depths(made, Add(), {1: FAST})
    depths(made, Plain(), {1: FAST})
    assert cost(made.report()) == (
        "Residual connections cost no parameters and no matrix products (FLOPs); a step took 1.00 "
        "times as long "
        "(median over cells)."
    )
