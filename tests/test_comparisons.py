"""Comparisons of a report: how deep, how fast where both train, how sure."""

from pathlib import Path
from typing import Any

import pytest
from support.studies import SEEDS, STALLED, WrittenStudy, shape

from resformer.model.shape import Member
from resformer.reporting.analysis.summary import summarise
from resformer.reporting.schema import Comparison, Count, Estimate
from resformer.reporting.serial import from_json, to_json
from resformer.reporting.text.answer import answer
from resformer.reporting.text.headline import headline
from resformer.reporting.text.words import correction, notes
from resformer.residuals.add import Add
from resformer.residuals.deepnorm import DeepNorm
from resformer.residuals.plain import Plain
from resformer.results.members import read

FAST, SLOW, NEVER = [100, 120, 110, 90, 130], [300, 320, 310, 290, 330], [STALLED] * 5
FIVE, NONE = Count(solved=5, seeds=5), Count(solved=0, seeds=5)


def depths(
    made: WrittenStudy, residual: Any, outcomes: dict[int, list[Any]], norm: str = "post"
) -> None:
    for depth, of_seeds in outcomes.items():
        made.job(shape(depth, residual, norm), SEEDS[: len(of_seeds)], of_seeds)


def only(made: WrittenStudy) -> Comparison:
    """The only comparison of a study."""
    (row,) = made.report().comparisons
    return row


def test_deeper_by_all_seeds_at_two_depths(made: WrittenStudy) -> None:
    depths(made, Add(), {1: SLOW, 4: FAST, 8: FAST})
    depths(made, Plain(), {1: FAST, 4: NEVER, 8: NEVER})
    row = only(made)
    assert (row.labels, row.verdict, row.exact) == (("add", "plain"), "better", True)
    assert (row.p, row.p_adjusted, row.adjusted_by) == (2 / 252, 2 / 252, "holm")
    assert [depth.p for depth in row.depths] == [1.0, 2 / 252, 2 / 252]
    assert [(depth.scheme, depth.baseline) for depth in row.depths] == [
        (FIVE, FIVE),
        (FIVE, NONE),
        (FIVE, NONE),
    ]
    assert row.runs == ((1, 8), (1, 1))
    assert row.doublings is not None
    assert row.doublings.value == 3.0  # from 1 to 4 and from 4 to 8
    assert (row.at_least, row.at_most) == (True, False)
    assert row.speed_depths == (1,)
    assert row.speed is not None
    assert row.speed.value == pytest.approx(2.84, abs=0.01)


def test_slower_where_both_train_is_no_evidence_against_deeper(made: WrittenStudy) -> None:
    """A log-rank test over all depths, which adds up speeds, favours the baseline here."""
    depths(made, Add(), {depth: [60, 70, 80, 90, 100] for depth in (1, 2, 4)} | {8: FAST})
    depths(made, Plain(), {depth: [10, 20, 30, 40, 50] for depth in (1, 2, 4)} | {8: NEVER})
    row = only(made)
    assert (row.verdict, row.p) == ("better", 2 / 252)
    assert row.speed is not None
    assert row.speed.low is not None
    assert row.speed.low > 1


def test_speed_alone_decides_nothing_about_depth(made: WrittenStudy) -> None:
    depths(made, Add(), {1: FAST})
    depths(made, Plain(), {1: SLOW})
    row = only(made)
    assert (row.verdict, row.p) == ("undecided", 1.0)
    assert row.speed is not None
    assert row.speed.value == pytest.approx(0.35, abs=0.005)


def test_the_arm_ahead_at_the_deepest_significant_depth_goes_deeper(made: WrittenStudy) -> None:
    """Fewer of its seeds solve shallow depths, all of them deep ones."""
    depths(made, Add(), {1: NEVER, 8: FAST, 16: FAST})
    depths(made, Plain(), {1: FAST, 8: NEVER, 16: [*NEVER[:4], 500]})
    row = only(made)
    assert [depth.lead for depth in row.depths] == [-1.0, 1.0, 0.8]
    assert row.verdict == "better"
    depths(made, DeepNorm(), {1: FAST, 8: NEVER, 16: NEVER})
    (_, deepnorm) = made.report().comparisons
    assert deepnorm.verdict == "undecided"


def test_the_baseline_can_be_deeper(made: WrittenStudy) -> None:
    depths(made, Add(), {1: FAST, 4: NEVER})
    depths(made, Plain(), {1: FAST, 4: SLOW})
    row = only(made)
    assert row.doublings is not None
    assert (row.verdict, row.doublings.value) == ("worse", -2.0)
    assert (row.at_least, row.at_most) == (False, True)


def test_speed_is_the_geometric_mean_over_depths_that_all_seeds_of_both_solve(
    made: WrittenStudy,
) -> None:
    depths(made, Add(), {1: [50] * 5, 2: [400] * 5, 4: [100] * 5})
    depths(made, Plain(), {1: [100] * 5, 2: [200] * 5, 4: [100, 100, 100, 100, STALLED]})
    row = only(made)
    values = [depth.speed and round(depth.speed.value, 9) for depth in row.depths]
    assert values == [0.5, 2.0, None]  # the mean of logarithms rounds
    assert row.speed_depths == (1, 2)
    assert row.speed is not None
    assert row.speed.value == pytest.approx(1.0)


def test_both_arms_are_taken_within_the_smaller_budget(made: WrittenStudy) -> None:
    depths(made, Plain(), {4: NEVER})
    made.job(shape(4, Add(), "post", steps=2000), SEEDS, [700, 720, 740, 760, 780])
    row = only(made)
    assert (row.depths[0].scheme, row.depths[0].baseline) == (NONE, NONE)
    assert (row.p, row.p_adjusted, row.verdict) == (None, None, "undecided")


def test_seeds_that_no_arm_shares_have_no_speed_but_a_test(made: WrittenStudy) -> None:
    made.job(shape(1, Add(), "post"), SEEDS, FAST)
    others = [Member(seed=seed, lr=3e-3) for seed in range(5, 10)]
    made.job(shape(1, Plain(), "post"), others, NEVER)
    row = only(made)
    assert (row.speed, row.p) == (None, 2 / 252)


def test_one_seed_against_one_is_not_tested(made: WrittenStudy) -> None:
    depths(made, Add(), {1: [100], 2: [100]})
    depths(made, Plain(), {1: [100], 2: [STALLED]})
    row = only(made)
    assert (row.p, row.adjusted_by) == (None, None)
    assert row.doublings is not None
    assert row.doublings.value == 1.0
    assert row.speed == Estimate(value=1.0, low=None, high=None)


def test_six_comparisons_are_corrected_by_holm_and_more_by_benjamini_hochberg(
    made: WrittenStudy,
) -> None:
    for batch in range(1, 9):
        made.job(shape(1, Add(), "post", batch=batch), SEEDS, FAST)
        made.job(shape(1, Plain(), "post", batch=batch), SEEDS, NEVER)
    rows = made.report().comparisons
    assert len(rows) == 8
    assert {row.adjusted_by for row in rows} == {"benjamini-hochberg"}
    assert [row.p_adjusted for row in rows] == pytest.approx([2 / 252] * 8)
    assert {row.depths[0].p_adjusted for row in rows} == {row.p_adjusted for row in rows}


def test_both_corrections_of_two_studies_are_named(tmp_path: Path) -> None:
    few, many = WrittenStudy(tmp_path, "few"), WrittenStudy(tmp_path, "many")
    for made, number in ((few, 1), (many, 7)):
        for batch in range(1, number + 1):
            made.job(shape(1, Add(), "post", batch=batch), SEEDS, FAST)
            made.job(shape(1, Plain(), "post", batch=batch), SEEDS, NEVER)
    rows = summarise(read([few.write(), many.write()])).comparisons
    holm, benjamini_hochberg = correction(rows).split("; ")
    assert holm.startswith("Holm up to 6 comparisons: any false one")
    assert benjamini_hochberg.startswith("Benjamini–Hochberg beyond: at most 5 %")
    assert correction(rows[:1]) == "Holm: any false one at most in 5 % of studies"


def test_every_comparison_of_a_study_is_corrected_for_the_others(made: WrittenStudy) -> None:
    for norm in ("post", "pre"):
        depths(made, Add(), {1: FAST, 2: FAST}, norm)
        depths(made, Plain(), {1: NEVER, 2: FAST}, norm)
    depths(made, DeepNorm(), {1: FAST})
    rows = made.report().comparisons
    assert {(row.scheme.norm, row.scheme.residual) for row in rows} == {
        ("post", "add"),
        ("pre", "add"),
        ("post", "deepnorm"),
    }
    assert [row.p_adjusted for row in rows] == pytest.approx([6 / 252] * 3)
    assert rows[0].depths[0].p_adjusted == pytest.approx(6 / 252)
    assert rows[0].depths[1].p_adjusted == 1.0


def test_a_sampled_p_is_not_called_exact(made: WrittenStudy) -> None:
    seeds = [Member(seed=seed, lr=3e-3) for seed in range(12)]
    made.job(shape(1, Add(), "post"), seeds, [10 * number for number in range(10, 22)])
    made.job(shape(1, Plain(), "post"), seeds, [STALLED] * 12)
    row = only(made)
    assert (row.exact, row.verdict) == (False, "better")


def test_comparisons_read_back_from_json_are_equal(made: WrittenStudy) -> None:
    depths(made, Add(), {1: FAST, 4: FAST})
    depths(made, Plain(), {1: SLOW, 4: NEVER})
    made.job(shape(2, DeepNorm(), "post"), SEEDS[:1], [100])
    report = made.report()
    assert from_json(to_json(report)).comparisons == report.comparisons


def at_rates(made: WrittenStudy, residual: Any, depth: int, rates: dict[float, list[Any]]) -> None:
    for lr, of_seeds in rates.items():
        members = [Member(seed=seed, lr=lr) for seed in range(len(of_seeds))]
        made.job(shape(depth, residual, "post"), members, of_seeds)


def test_only_the_learning_rates_that_both_arms_have_are_compared(made: WrittenStudy) -> None:
    """At the rate of both neither solves; the others say nothing about the scheme."""
    for depth in (1, 2):
        at_rates(made, Add(), depth, {1e-3: NEVER, 3e-3: FAST, 1e-2: FAST})
        at_rates(made, Plain(), depth, {1e-4: FAST, 1e-3: NEVER})
    report = made.report()
    (row,) = report.comparisons
    assert (row.verdict, row.p) == ("undecided", None)
    assert [(depth.scheme, depth.baseline) for depth in row.depths] == [(NONE, NONE)] * 2
    assert all(cell.solved == 5 for cell in report.cells)  # of all of their own rates
    assert [(of.key.arm.residual, of.key.depth, [*of.rates]) for of in report.incomplete_rates] == [
        ("add", 1, [1e-4]),
        ("plain", 1, [3e-3, 1e-2]),
        ("add", 2, [1e-4]),
        ("plain", 2, [3e-3, 1e-2]),
    ]
    assert (
        "learning rates differ: add at depths 1 and 2: 0.0001 ran for 0 of 5 seeds; plain at "
        "depths 1 and 2: 0.003 ran for 0 of 5 seeds and 0.01 ran for 0 of 5 seeds; comparisons use "
        "seeds that ran at the same ones in both columns"
    ) in notes(report)
    assert from_json(to_json(report)) == report


def test_arms_that_share_no_learning_rate_are_not_compared(made: WrittenStudy) -> None:
    for depth in (1, 2):
        at_rates(made, Add(), depth, {1e-2: FAST})
        at_rates(made, Plain(), depth, {1e-4: NEVER})
    report = made.report()
    assert report.comparisons == ()
    assert any(line.startswith("learning rates differ: add at depths") for line in notes(report))
    assert "p = " not in "".join([headline(report), *answer(report)])


def test_depths_at_which_no_learning_rate_is_shared_are_left_out(made: WrittenStudy) -> None:
    at_rates(made, Add(), 1, {1e-3: FAST})
    at_rates(made, Plain(), 1, {1e-3: NEVER})
    at_rates(made, Add(), 2, {1e-2: FAST})
    at_rates(made, Plain(), 2, {1e-3: NEVER})
    report = made.report()
    (row,) = report.comparisons
    assert [depth.depth for depth in row.depths] == [1]
    assert {of.key.depth for of in report.incomplete_rates} == {2}


def test_a_rate_of_a_few_seeds_is_left_out_of_the_comparison(made: WrittenStudy) -> None:
    at_rates(made, Add(), 1, {1e-3: FAST, 1e-2: NEVER[:2]})
    at_rates(made, Plain(), 1, {1e-3: NEVER, 1e-2: FAST[:3]})
    report = made.report()
    (row,) = report.comparisons
    (depth,) = row.depths
    assert (depth.scheme, depth.baseline) == (FIVE, NONE)
    assert row.p == 2 / 252
    (line,) = (line for line in notes(report) if line.startswith("learning rates differ"))
    assert (
        "add at depth 1: 0.01 ran for 2 of 5 seeds; plain at depth 1: 0.01 ran for 3 of 5" in line
    )
    assert from_json(to_json(report)) == report


def test_a_straggling_seed_takes_no_part(made: WrittenStudy) -> None:
    """It ran at one rate of three: leaving it out compares most members."""
    at_rates(made, Add(), 1, {1e-3: [*NEVER, 50], 3e-3: FAST, 1e-2: FAST})
    at_rates(made, Plain(), 1, {1e-3: NEVER, 3e-3: NEVER, 1e-2: NEVER})
    (depth,) = only(made).depths
    assert (depth.scheme, depth.baseline) == (FIVE, NONE)


@pytest.mark.parametrize("scheme", [Add(), Plain()])
def test_seeds_that_ran_at_other_rates_than_each_other(made: WrittenStudy, scheme: Any) -> None:
    """One cell in two parts, each at a rate of its own: the larger one is compared."""
    parts = [Member(seed=seed, lr=1e-3 if seed < 2 else 1e-2) for seed in range(5)]
    made.job(shape(1, scheme, "post"), parts, FAST)
    at_rates(made, Plain() if scheme == Add() else Add(), 1, {1e-3: NEVER, 1e-2: NEVER})
    (depth,) = only(made).depths
    assert {depth.scheme, depth.baseline} == {Count(solved=3, seeds=3), NONE}


def test_a_single_arm_says_which_rates_not_all_seeds_ran_at(made: WrittenStudy) -> None:
    at_rates(made, Add(), 1, {1e-3: FAST, 1e-2: FAST[:2]})
    assert any("0.01 ran for 2 of 5 seeds" in line for line in notes(made.report()))


def test_equal_learning_rates_leave_no_line(made: WrittenStudy) -> None:
    depths(made, Add(), {1: SLOW})
    depths(made, Plain(), {1: FAST})
    report = made.report()
    assert report.incomplete_rates == ()
    assert "incomplete_rates" not in to_json(report)
    assert not any("learning rates differ" in line for line in notes(report))
