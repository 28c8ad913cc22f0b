"""The verdict that a report ends in: what it claims, and how it hedges."""

from typing import Any

import pytest
from support.studies import SEEDS, STALLED, WrittenStudy, shape

from resformer.model.shape import Member
from resformer.reporting.analysis.evidence import Contrast, Count, Lead, TooFewSeeds, evidence
from resformer.reporting.analysis.verdict import Cost, Verdict, cost, verdicts
from resformer.reporting.schema import Report
from resformer.reporting.text.verdict import cost_sentence, verdict_sentences
from resformer.residuals.add import Add
from resformer.residuals.deepnorm import DeepNorm
from resformer.residuals.dense import Dense
from resformer.residuals.gpt2 import Gpt2
from resformer.residuals.lns import Lns
from resformer.residuals.plain import Plain
from resformer.residuals.scaled import Scaled

FAST, SLOW, NEVER = [100, 120, 110, 90, 130], [300, 320, 310, 290, 330], [STALLED] * 5
FIVE, NONE = Count(solved=5, seeds=5), Count(solved=0, seeds=5)


def depths(
    made: WrittenStudy, residual: Any, outcomes: dict[int, list[Any]], norm: str = "post"
) -> None:
    for depth, of_seeds in outcomes.items():
        made.job(shape(depth, residual, norm), SEEDS[: len(of_seeds)], of_seeds)


def sentence(report: Report) -> str:
    (text,) = verdict_sentences(report)
    assert "None" not in text
    return text


def verdict(made: WrittenStudy) -> Verdict:
    """The verdict on a study of one task, which can be put into words."""
    report = made.report()
    assert sentence(report)
    (only,) = verdicts(report)
    return only


def contrast(made: WrittenStudy) -> Contrast:
    """The only contrast of a study."""
    given = verdict(made).evidence
    assert given is not None
    (only,) = given.contrasts
    return only


def limits(given: Verdict) -> dict[str, tuple[int | None, int | None]]:
    """The first and last depth of every scheme's run."""
    return {key.residual: (reach.floor, reach.limit) for key, reach in given.reach.items()}


def test_the_effect_of_residual_connections_and_its_evidence(made: WrittenStudy) -> None:
    depths(made, Add(), {1: FAST, 4: FAST, 8: FAST})
    depths(made, Plain(), {1: SLOW, 4: NEVER, 8: NEVER})
    given = verdict(made)
    assert (given.study, given.task, given.budget, given.rates) == ("made", "copy", 600, (3e-3,))
    assert given.schemes == ["add", "plain"]
    assert limits(given) == {"add": (1, 8), "plain": (1, 1)}
    assert {reach.tried for reach in given.reach.values()} == {(1, 4, 8)}
    only = contrast(made)
    assert only.lead == Lead(
        ahead="add", depths=(4, 8), to_deepest=True, scheme=FIVE, baseline=NONE
    )
    assert (only.exact, only.significant, only.opposed, only.opposed_depths) == (
        True,
        True,
        False,
        (),
    )


def test_one_sentence_says_how_deep_and_how_sure(made: WrittenStudy) -> None:
    depths(made, Add(), {1: FAST, 4: FAST, 8: FAST})
    depths(made, Plain(), {1: SLOW, 4: NEVER, 8: NEVER})
    assert sentence(made.report()) == (
        "Within 600 steps and learning rate 0.003, copy is solved with residual connections to "
        "depth 8, the deepest tried, without them to depth 1: 5 of 5 seeds with add against 0 of 5 "
        "with plain at every depth from 4, over all depths exact p = 0.0079."
    )


def test_the_sentence_where_as_many_solve_and_too_few_seeds_ran(made: WrittenStudy) -> None:
    depths(made, Add(), {1: FAST[:3], 4: FAST[:3]})
    depths(made, Plain(), {1: [120, 90, 130], 4: [110, 130, 90]})
    assert sentence(made.report()) == (
        "Within 600 steps and learning rate 0.003, copy is solved to depth 4, the deepest tried, "
        "with residual connections and without them alike: as many seeds solve it with add as with "
        "plain at every depth, in 0.98 times the steps, which may be chance (95 % interval "
        "0.74–1.31), over all depths exact p = 0.4, not significant; 3 seeds cannot reach "
        "significance here, 4 could."
    )


def test_the_sentence_names_many_schemes_together_by_how_deep_they_go(made: WrittenStudy) -> None:
    for residual in (Add(), Gpt2(), Lns()):
        depths(made, residual, {1: FAST, 8: FAST}, "pre")
    for residual in (Plain(), Scaled(exponent=0.5)):
        depths(made, residual, {1: FAST, 8: NEVER}, "pre")
    depths(made, Dense(), {1: NEVER, 8: NEVER}, "pre")
    assert sentence(made.report()) == (
        "Within 600 steps and learning rate 0.003, copy is solved to depth 8, the deepest tried, "
        "with residual connections, gpt2 and lns; to depth 1, with scaled and without them; at no "
        "depth, with dense: 1 of 5 comparisons are significant after correction, the smallest "
        "p = 0.04."
    )


def test_counts_that_differ_between_depths_are_bounded(made: WrittenStudy) -> None:
    depths(made, Add(), {1: FAST, 4: [*FAST[:4], 1.0], 8: FAST})
    depths(made, Plain(), {1: SLOW, 4: [100, *[1.0] * 4], 8: NEVER})
    lead = contrast(made).lead
    assert lead is not None
    assert lead.scheme == Count(solved=4, seeds=5, bound="at least")
    assert lead.baseline == Count(solved=1, seeds=5, bound="at most")


def test_a_difference_at_the_deepest_only_and_the_other_way_round(made: WrittenStudy) -> None:
    depths(made, Add(), {1: FAST, 4: NEVER})
    depths(made, Plain(), {1: FAST, 4: SLOW})
    assert contrast(made).lead == Lead(
        ahead="plain", depths=(4,), to_deepest=True, scheme=NONE, baseline=FIVE
    )


def test_a_difference_that_ends_before_the_deepest(made: WrittenStudy) -> None:
    depths(made, Add(), {1: FAST, 4: FAST, 8: FAST, 16: NEVER})
    depths(made, Plain(), {1: SLOW, 4: NEVER, 8: NEVER, 16: NEVER})
    assert contrast(made).lead == Lead(
        ahead="add", depths=(4, 8), to_deepest=False, scheme=FIVE, baseline=NONE
    )


def test_as_many_solve_and_the_intervals_overlap(made: WrittenStudy) -> None:
    depths(made, Add(), {1: FAST, 4: FAST})
    depths(made, Plain(), {1: [120, 90, 130, 100, 110], 4: [110, 130, 90, 120, 100]})
    only = contrast(made)
    assert (only.lead, only.significant) == (None, False)
    row = only.comparison
    assert row.low is not None
    assert row.high is not None
    assert row.low < 1 < row.high


def test_as_many_solve_but_faster(made: WrittenStudy) -> None:
    depths(made, Add(), {1: FAST})
    depths(made, Plain(), {1: SLOW})
    only = contrast(made)
    assert (only.lead, only.ahead, only.exact, only.significant) == (None, "add", True, True)
    assert only.comparison.ratio == pytest.approx(0.35, abs=0.005)
    assert only.comparison.p_adjusted == pytest.approx(2 / 252)


def test_depths_that_disagree_are_named(made: WrittenStudy) -> None:
    depths(made, Add(), {1: SLOW, 4: FAST, 8: FAST})
    depths(made, Plain(), {1: FAST, 4: NEVER, 8: NEVER})
    assert contrast(made).opposed_depths == (1,)


def test_a_test_that_favours_the_other_arm_says_so(made: WrittenStudy) -> None:
    """Slower wherever both solve, and alone in solving the deepest: the test sees the three depths,
    not the one.
    """
    depths(made, Add(), {depth: [60, 70, 80, 90, 100] for depth in (1, 2, 4)} | {8: FAST})
    depths(made, Plain(), {depth: [10, 20, 30, 40, 50] for depth in (1, 2, 4)} | {8: NEVER})
    only = contrast(made)
    assert only.lead == Lead(ahead="add", depths=(8,), to_deepest=True, scheme=FIVE, baseline=NONE)
    assert (only.opposed, only.comparison.favours) == (True, "plain")


def test_a_test_that_favours_the_slower_arm_says_so(made: WrittenStudy) -> None:
    """Equally many solve, and sooner at two depths of three, though by little: the test counts
    depths, the ratio steps.
    """
    depths(made, Add(), {depth: [60, 61, 62, 63, 64] for depth in (1, 2)} | {4: FAST})
    slow = {4: [500, 510, 520, 530, 540]}
    depths(made, Plain(), {depth: [50, 51, 52, 53, 54] for depth in (1, 2)} | slow)
    only = contrast(made)
    assert (only.lead, only.ahead) == (None, "add")
    assert (only.opposed, only.comparison.favours) == (True, "plain")


def test_a_test_that_favours_no_arm_names_none(made: WrittenStudy) -> None:
    depths(made, Add(), {1: FAST})
    depths(made, Plain(), {1: FAST})
    only = contrast(made)
    assert (only.opposed, only.significant, only.comparison.favours) == (False, False, None)
    assert (only.comparison.ratio, only.comparison.p) == (1, 1)


def test_counts_are_those_of_the_shared_budget(made: WrittenStudy) -> None:
    depths(made, Plain(), {4: NEVER})
    made.job(shape(4, Add(), "post", steps=2000), SEEDS, [700, 720, 740, 760, 780])
    only = contrast(made)
    assert (only.lead, only.comparison.scheme.solved, only.comparison.baseline.solved) == (
        None,
        0,
        0,
    )
    assert only.comparison.p is None
    assert verdict(made).budget is None


def test_seeds_that_no_arm_shares_have_no_ratio(made: WrittenStudy) -> None:
    made.job(shape(1, Add(), "post"), SEEDS, FAST)
    made.job(shape(1, Plain(), "post"), [Member(seed=seed, lr=3e-3) for seed in range(5, 10)], SLOW)
    only = contrast(made)
    assert (only.lead, only.ahead, only.comparison.ratio) == (None, None, None)


def test_a_ratio_of_censored_steps_is_called_a_bound(made: WrittenStudy) -> None:
    depths(made, Add(), {1: [*FAST[:4], 1.0]})
    depths(made, Plain(), {1: [*SLOW[:4], 1.0]})
    assert contrast(made).comparison.bound == "unknown"


@pytest.mark.parametrize(
    ("baseline", "few"),
    [
        ([STALLED], TooFewSeeds(scheme=5, baseline=1, needed=4)),
        ([STALLED] * 3, TooFewSeeds(scheme=3, baseline=3, needed=4)),
    ],
)
def test_few_seeds_can_show_nothing_and_how_many_could(
    made: WrittenStudy, baseline: list[str], few: TooFewSeeds
) -> None:
    depths(made, Add(), {1: FAST[: few.scheme]})
    depths(made, Plain(), {1: baseline})
    given = verdict(made).evidence
    assert given is not None
    assert given.too_few == few
    assert not given.contrasts[0].significant


def test_five_seeds_are_too_few_after_correction_for_many(made: WrittenStudy) -> None:
    for batch in range(1, 9):
        made.job(shape(1, Add(), "post", batch=batch), SEEDS, FAST)
        made.job(shape(1, Plain(), "post", batch=batch), SEEDS, NEVER)
    given = verdict(made).evidence
    assert given is not None
    assert (len(given.contrasts), given.tested) == (8, 8)
    assert not any(only.significant for only in given.contrasts)
    assert given.too_few == TooFewSeeds(scheme=5, baseline=5, needed=6)


def test_a_sampled_p_is_not_called_exact(made: WrittenStudy) -> None:
    seeds = [Member(seed=seed, lr=3e-3) for seed in range(12)]
    made.job(shape(1, Add(), "post"), seeds, [10 * number for number in range(10, 22)])
    made.job(shape(1, Plain(), "post"), seeds, [STALLED] * 12)
    only = contrast(made)
    assert (only.exact, only.significant) == (False, True)


def test_every_comparison_is_corrected_for_the_others(made: WrittenStudy) -> None:
    for norm in ("post", "pre"):
        depths(made, Add(), {1: FAST}, norm)
        depths(made, Plain(), {1: NEVER}, norm)
    depths(made, DeepNorm(), {1: FAST})
    given = verdict(made).evidence
    assert given is not None
    assert given.tested == 3
    keys = [only.comparison.key for only in given.contrasts]
    assert {(key.norm, key.residual) for key in keys} == {
        ("post", "add"),
        ("pre", "add"),
        ("post", "deepnorm"),
    }
    p = [only.comparison.p_adjusted for only in given.contrasts]
    assert p == pytest.approx([6 / 252] * 3)


def test_without_anything_to_compare_there_is_no_evidence(made: WrittenStudy) -> None:
    depths(made, Add(), {1: FAST})
    given = verdict(made)
    assert (given.evidence, limits(given)) == (None, {"add": (1, 1)})
    assert evidence([], tested=0, max_permutations=0) is None
    assert cost(made.report()) is None
    assert cost_sentence(made.report()) == ""


def test_a_study_in_which_no_seed_solves(made: WrittenStudy) -> None:
    depths(made, Add(), {1: NEVER})
    depths(made, Plain(), {1: ["diverged"] * 5})
    assert limits(verdict(made)) == {"add": (None, None), "plain": (None, None)}
    assert contrast(made).comparison.p is None


def test_where_the_run_of_depths_begins_and_what_was_tried(made: WrittenStudy) -> None:
    depths(made, Add(), {1: NEVER, 2: NEVER, 4: FAST, 8: FAST})
    depths(made, Plain(), dict.fromkeys((1, 2, 4, 8, 16), NEVER))
    given = verdict(made)
    assert limits(given) == {"add": (4, 8), "plain": (None, None)}
    assert sorted(reach.tried for reach in given.reach.values()) == [(1, 2, 4, 8), (1, 2, 4, 8, 16)]


def test_further_axes_have_a_reach_each(made: WrittenStudy) -> None:
    for batch in (16, 32):
        made.job(shape(1, Add(), "post", batch=batch), SEEDS, NEVER)
        made.job(shape(2, Add(), "post", batch=batch), SEEDS, NEVER if batch == 16 else [100] * 5)
    given = verdict(made)
    assert {key.value("train.batch"): reach.limit for key, reach in given.reach.items()} == {
        16: None,
        32: 2,
    }


def test_the_cost_of_residual_connections(made: WrittenStudy) -> None:
    depths(made, Add(), {1: FAST})
    depths(made, Plain(), {1: FAST})
    report = made.report()
    assert cost(report) == Cost(parameters=0, flops_per_step=0, time=1.0)
    assert cost_sentence(report) == (
        "Residual connections cost no parameters and no matrix products (FLOPs); a step took 1.00 "
        "times as long (median over cells)."
    )
