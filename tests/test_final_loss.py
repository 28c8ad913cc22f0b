"""Reports of fixed budgets: final losses and stability."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import ttest_rel
from support.commands import Resformer, check_refused
from support.studies import SEEDS, Life, WrittenStudy, shape

from resformer.errors import UserError
from resformer.model.shape import Member
from resformer.reporting.analysis.summary import summarise
from resformer.reporting.schema import LossComparison, Report
from resformer.reporting.serial import from_json, to_json
from resformer.reporting.text.answer import answer
from resformer.reporting.text.headline import headline
from resformer.reporting.text.words import best_rates, final_loss
from resformer.residuals.add import Add
from resformer.residuals.plain import Plain

LOW = {1: [0.1, 0.12, 0.11, 0.09, 0.13], 4: [0.2, 0.25, 0.3, 0.22, 0.28]}
HIGH = {1: [0.11, 0.1, 0.12, 0.13, 0.09], 4: [1.0, 1.2, 0.9, 1.1, 1.3]}


def arm(made: WrittenStudy, residual: Any, losses: dict[int, list[float]], **changes: Any) -> None:
    for depth, of_seeds in losses.items():
        settings = {"stop_when_solved": False, **changes}
        made.job(shape(depth, residual, "post", **settings), SEEDS[: len(of_seeds)], of_seeds)


def report(made: WrittenStudy) -> Report:
    return summarise(made.findings(), score="final_loss")


def only(made: WrittenStudy) -> LossComparison:
    (row,) = report(made).losses
    return row


def test_lower_at_the_depth_at_which_it_is(made: WrittenStudy) -> None:
    arm(made, Add(), LOW)
    arm(made, Plain(), HIGH)
    row = only(made)
    assert (row.labels, row.verdict, row.exact) == (("add", "plain"), "better", True)
    assert [depth.p_adjusted for depth in row.depths] == [1.0, 2 / 252]
    assert [depth.scheme for depth in row.depths] == pytest.approx([0.11, 0.25])
    for depth in row.depths:
        paired = ttest_rel(LOW[depth.depth], HIGH[depth.depth]).confidence_interval()
        bounds = (depth.difference.low, depth.difference.high)
        assert bounds == pytest.approx((paired.low, paired.high))
    pooled = [np.mean(values, axis=0) for values in ([*LOW.values()], [*HIGH.values()])]
    expected = ttest_rel(*pooled).confidence_interval()
    assert (row.difference.low, row.difference.high) == pytest.approx((expected.low, expected.high))
    assert row.difference.value == pytest.approx(0.18 - 0.605)
    (sentence,) = [line for line in answer(report(made)) if "final loss" in line]
    assert "with residual connections stacks end lower at depth 4 than without: -0.42" in sentence
    assert sentence.endswith("exact p = 0.0079.")


def test_exchanged_arms_mirror_the_comparison(made: WrittenStudy, tmp_path: Path) -> None:
    arm(made, Add(), LOW)
    arm(made, Plain(), HIGH)
    other = WrittenStudy(tmp_path / "other")
    arm(other, Add(), HIGH)
    arm(other, Plain(), LOW)
    row, mirrored = only(made), only(other)
    assert (row.verdict, mirrored.verdict) == ("better", "worse")
    assert row.p == mirrored.p
    assert mirrored.difference.value == pytest.approx(-row.difference.value)


def test_rates_are_chosen_by_final_loss_alone(made: WrittenStudy) -> None:
    """At rate 0.003 seeds solve, and end higher than at 0.01, where none does."""
    members = [Member(seed=seed, lr=lr) for lr in (3e-3, 1e-2) for seed in range(5)]
    fixed = shape(1, Add(), "post", stop_when_solved=False)
    made.job(fixed, members, [*[100] * 5, *[0.005] * 5])
    (cell,) = report(made).cells
    assert (cell.lr, cell.solved, cell.final_loss) == (1e-2, 0, 0.005)
    (by_steps,) = summarise(made.findings()).cells
    assert (by_steps.lr, by_steps.solved) == (3e-3, 5)


def test_where_there_is_nothing_to_solve_final_losses_are_compared_unasked(
    made: WrittenStudy,
) -> None:
    arm(made, Add(), LOW, target_accuracy=None)
    arm(made, Plain(), HIGH, target_accuracy=None)
    assert summarise(made.findings()) == report(made)
    assert report(made).losses
    with_costs = summarise(made.findings(), per="flops")
    assert with_costs.score == "steps"


def test_a_target_loss_is_something_to_solve(made: WrittenStudy) -> None:
    arm(made, Add(), LOW, target_accuracy=None, target_loss=0.15)
    assert summarise(made.findings()).score == "steps"


def test_a_member_that_diverged_counts_as_one_that_was_not_trained(made: WrittenStudy) -> None:
    """Its loss at initialisation is 3; also at the rates that nobody is scored at."""
    members = [Member(seed=seed, lr=lr) for lr in (3e-3, 1e-2) for seed in range(2)]
    fixed = shape(1, Add(), "post", stop_when_solved=False)
    made.job(fixed, members, [1.0, "diverged", "diverged", "diverged"])
    (row,) = report(made).stability
    assert row.mean_loss.value == (1.0 + 3.0) / 2
    assert row.learning == (1 / 2 + 0) / 2
    assert row.lr_sensitivity is not None
    assert row.lr_sensitivity.value == ((1 + 3) / 2 - 1 + 0) / 2


def test_one_rate_has_no_sensitivity_and_short_trainings_have_no_spikes(made: WrittenStudy) -> None:
    made.cell([Life([3.0] * 11)] * 2, stop_when_solved=False)
    (row,) = report(made).stability
    assert (row.lr_sensitivity, row.spikes, row.learning) == (None, None, 0.0)


def test_members_that_stopped_are_refused(made: WrittenStudy, resformer: Resformer) -> None:
    arm(made, Add(), LOW, stop_when_solved=True)
    made.write()
    results = ["--results", str(made.study.path.parent)]
    check_refused(
        resformer("report", "made", *results, "--score", "final_loss"),
        "--score final_loss: members stopped when they solved",
    )
    check_refused(
        resformer("report", "made", *results, "--score", "final_loss", "--per", "flops"),
        "--per flops --score final_loss: final losses are of a fixed budget",
    )


def test_unequal_budgets_are_refused(made: WrittenStudy) -> None:
    arm(made, Add(), LOW)
    arm(made, Plain(), HIGH, steps=1200)
    with pytest.raises(UserError, match="depth 1 had different budgets, 600, 1200 steps"):
        report(made)


def test_the_report_reads_back_from_json_and_differs_from_that_of_steps(
    made: WrittenStudy,
) -> None:
    arm(made, Add(), LOW)
    arm(made, Plain(), HIGH)
    by_loss = report(made)
    tree = json.loads(json.dumps(to_json(by_loss), allow_nan=False))
    assert from_json(tree) == by_loss
    assert (tree["score"], tree["comparisons"]) == ("final_loss", [])
    assert [row["depth"] for row in tree["losses"]] == [None, 1, 4]
    assert not {"score", "losses", "stability"} & to_json(summarise(made.findings())).keys()


def test_every_view_shows_the_same_values(
    made: WrittenStudy, resformer: Resformer, tmp_path: Path
) -> None:
    arm(made, Add(), LOW)
    arm(made, Plain(), HIGH)
    made.write()
    words = ["report", "made", "--results", str(made.study.path.parent), "--score", "final_loss"]
    shown = [resformer(*words, "--format", form).stdout for form in ("table", "markdown", "latex")]
    drawn = resformer(*words, "--html", "page.html", "--figures", "drawn")
    assert drawn.exit_code == 0, drawn.stderr
    shown.append((tmp_path / "page.html").read_text())
    for text in shown:
        flat = " ".join(text.split())
        for value in ("0.25 : 1.1", "-0.85", "0.0079", "sensitivity", "-0.42"):
            assert value in flat, value
        assert "median steps to solve" not in flat
    tree = json.loads(resformer(*words, "--format", "json").stdout)
    assert tree["losses"][2]["difference"] == pytest.approx(-0.85)
    assert "Depth limits" not in shown[-1]
    assert not any("limit" in line.split()[:1] for line in shown[0].splitlines())


@pytest.mark.parametrize(
    ("plain", "words"),
    [
        (HIGH, "With residual connections stacks end lower than without, after 600 steps"),
        (LOW, "are not shown to end lower or higher than without, after 600 steps"),
        ({1: [0.1]}, "One seed: no test of final losses"),
        ({}, "Nothing is compared, as no column has a baseline here"),
    ],
)
def test_the_headline_is_of_final_losses(
    made: WrittenStudy, plain: dict[int, list[float]], words: str
) -> None:
    arm(made, Add(), {1: [0.2]} if plain == {1: [0.1]} else LOW)
    arm(made, Plain(), plain)
    by_loss = report(made)
    assert headline(by_loss).endswith(words)
    assert answer(by_loss)[0].startswith("How low the final loss: ")


def test_a_star_stands_where_the_lowest_loss_is_at_the_edge_of_the_rates(
    made: WrittenStudy,
) -> None:
    """Whether or not a seed solves; a cell that diverges has no best rate."""
    rates = (1e-3, 3e-3, 1e-2)
    members = [Member(seed=seed, lr=lr) for lr in rates for seed in range(2)]
    losses = ([0.5, 0.5, 0.4, 0.4, 0.3, 0.3], [0.5, 0.5, 0.1, 0.1, 0.3, 0.3], ["diverged"] * 6)
    for depth, of_depth in zip((1, 2, 4), losses, strict=True):
        made.job(shape(depth, Add(), "post", stop_when_solved=False), members, of_depth)
    by_loss = report(made)
    assert [final_loss(cell) for cell in by_loss.cells] == [
        "0.3 0/2*",
        "0.1 0/2 ",
        "diverged – 0/2 ",
    ]
    assert best_rates(by_loss) == (
        "best learning rate inside the grid in 1 of 2 cells, at its edge where a star stands"
    )
