"""Results folders written by hand, with known outcomes, and exactly the JSON that reports make of
them.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from support.studies import MODEL, SEEDS, STALLED, WrittenStudy, cell, shape

from resformer.errors import UserError
from resformer.model.shape import Member, Recording
from resformer.plan.jobs import Job
from resformer.reporting.analysis.summary import summarise
from resformer.reporting.serial import from_json, to_json
from resformer.reporting.text.words import notes, settings
from resformer.reporting.views.formats import as_json
from resformer.residuals.add import Add
from resformer.residuals.layerscale import LayerScale
from resformer.residuals.plain import Plain
from resformer.residuals.rezero import ReZero
from resformer.results.members import read
from resformer.results.problems import LeftBehind
from resformer.tasks.sort import Sort

EXCLUDED = [{"settings": {"model.norm": "post"}, "reason": "does not go"}]
SHARED = {
    "task": "copy",
    "task.length": 8,
    "task.symbols": 16,
    "model.width": 32,
    "model.heads": 4,
    "model.hidden": 128,
    "model": "classic",
    "model.norm_kind": "layer",
    "model.loops": 1,
    "model.qk_norm": False,
    "model.bias": True,
    "model.position": "learned",
    "model.activation": "relu",
    "model.module": None,
    "model.rope_base": None,
    "model.tied": False,
    "model.parametrisation": "standard",
    "model.base_depth": None,
    "model.base_width": None,
    "model.base_heads": None,
    "model.attention": "causal",
    "model.skip": "both",
    "train.steps": 600,
    "train.batch": 32,
    "train.warmup_steps": 50,
    "train.schedule": "constant",
    "train.final_lr": None,
    "train.decay_all": False,
    "train.dropout": 0.0,
    "optimizer": "adamw",
    "optimizer.beta1": 0.9,
    "optimizer.beta2": 0.98,
    "optimizer.eps": 1e-8,
    "optimizer.weight_decay": 0.0,
    "train.clip": 1.0,
    "train.eval_every": 10,
    "train.eval_sequences": 128,
    "train.target_accuracy": 0.99,
    "train.target_loss": None,
    "train.patience": 20,
    "train.stop_when_solved": True,
    "train.compile": False,
    "train.precision": "fp32",
    "train.keep_weights": False,
    "probe.every": None,
    "device": "cpu",
}
ADD, PLAIN = shape(1, Add(), "post"), shape(1, Plain(), "post")


def near(value: float) -> Any:
    return pytest.approx(value, abs=1e-6)


def expected_cell(**values: Any) -> dict[str, Any]:
    """A cell of one learning rate at which nobody solved, but for what is said."""
    facts = {
        "parameters": ADD.transformer().num_parameters,
        "flops_per_step": ADD.transformer().flops_per_step(32),
    }
    nothing = dict.fromkeys(
        ("median_steps", "median_low", "median_high", "mean_steps", "mean_low", "mean_high")
    )
    return {
        **{"study": "made", "task": "copy", "depth": 1, "residual": "add", "norm": "post"},
        **{"seeds": 5, "solved": 0, "unsolved": 0, "stalled": 0, "diverged": 0},
        **{"lr": 3e-3, "lr_by_seed": {str(seed): 3e-3 for seed in range(5)}, "lr_at_edge": None},
        **nothing,
        **{"final_loss": 0.01, "final_accuracy": 1.0, **facts, "ms_per_member_step": near(2.0)},
        **values,
    }


def expected(
    cells: list[Any], rates: list[Any], limits: list[Any], **values: Any
) -> dict[str, Any]:
    """The whole report."""
    return {
        **{
            "study": "made",
            "settings": SHARED,
            "cells": cells,
            "rates": rates,
            "limits": limits,
            "comparisons": [],
        },
        **{"excluded": EXCLUDED, "missing": [], "damaged": [], "failed": []},
        **{"best_rates": dict.fromkeys(("cells", "inside", "smallest", "largest"), 0), **values},
    }


def rate(**values: Any) -> dict[str, Any]:
    return {
        **{
            "study": "made",
            "task": "copy",
            "depth": 1,
            "residual": "add",
            "norm": "post",
            "lr": 3e-3,
        },
        **{"seeds": 5, "solved": 0, "mean_steps": None, "final_loss": 0.01, **values},
    }


def limit(**values: Any) -> dict[str, Any]:
    return {
        **{"study": "made", "task": "copy", "residual": "add", "norm": "post"},
        **{"depth_limit": None, "low": None, "high": None, "depth_floor": None, **values},
    }


# Of 90, 100, 110, 120, 130: mean 110, standard deviation 15.811388, half of the interval 2.776445 ·
# 15.811388 / √5.
ALL_SOLVED = {
    **{"solved": 5, "median_steps": 110.0, "median_low": 90.0, "median_high": 130.0},
    **{"mean_steps": near(110.0), "mean_low": near(90.367568), "mean_high": near(129.632432)},
}


def test_a_cell_where_all_solved_at_one_learning_rate(made: WrittenStudy) -> None:
    made.job(ADD, SEEDS, [100, 120, 110, 90, 130])
    assert made.summary() == expected(
        [expected_cell(**ALL_SOLVED)],
        [rate(solved=5, mean_steps=near(110.0))],
        [limit(depth_limit=1, low=1, depth_floor=1)],
    )


def test_a_cell_where_none_solved(made: WrittenStudy) -> None:
    made.job(ADD, SEEDS, [STALLED, STALLED, STALLED, 2.0, 1.0])
    assert made.summary() == expected(
        [expected_cell(unsolved=5, stalled=3, final_loss=2.77, final_accuracy=near(0.2))],
        [rate(final_loss=2.77)],
        [limit()],
    )


def test_a_cell_where_all_diverged(made: WrittenStudy) -> None:
    made.job(ADD, SEEDS, ["diverged"] * 5)
    assert made.summary() == expected(
        [expected_cell(diverged=5, final_loss=None, final_accuracy=near(0.2))],
        [rate(final_loss=None)],
        [limit()],
    )


def test_a_cell_of_one_seed(made: WrittenStudy) -> None:
    """No interval of anything; Wilson's for one of one reaches below one half, so neither bound of
    the limit.
    """
    made.job(ADD, [Member(seed=7, lr=3e-3)], [100])
    values = {
        "seeds": 1,
        "solved": 1,
        "median_steps": 100.0,
        "mean_steps": 100.0,
        "lr_by_seed": {"7": 3e-3},
    }
    assert made.summary() == expected(
        [expected_cell(**values)],
        [rate(seeds=1, solved=1, mean_steps=100.0)],
        [limit(depth_limit=1, depth_floor=1)],
    )


def test_a_best_rate_at_the_edge_of_the_grid_is_marked(made: WrittenStudy) -> None:
    """The larger rate is the best for every seed, and the last of the grid; at the smaller one
    nobody solves.
    """
    members = [Member(seed=seed, lr=lr) for lr in (3e-3, 1e-2) for seed in range(5)]
    made.job(ADD, members, [1.5] * 5 + [100, 120, 110, 90, 130])
    chosen = {"lr": 1e-2, "lr_by_seed": {str(seed): 1e-2 for seed in range(5)}, "lr_at_edge": True}
    assert made.summary() == expected(
        [expected_cell(**ALL_SOLVED, **chosen)],
        [rate(final_loss=1.5), rate(lr=1e-2, solved=5, mean_steps=near(110.0))],
        [limit(depth_limit=1, low=1, depth_floor=1)],
        best_rates={"cells": 1, "inside": 0, "smallest": 0, "largest": 1},
    )


def test_a_job_without_a_result_is_listed_as_missing(made: WrittenStudy) -> None:
    made.job(ADD, SEEDS, [100, 120, 110, 90, 130])
    made.job(shape(8, Add(), "post"), SEEDS, [100] * 5)
    missing = {
        "study": "made",
        "job": made.jobs[1][0].id,
        "members": 5,
        "settings": "copy depth 8 add post",
    }
    assert made.summary(finished=1) == expected(
        [expected_cell(**ALL_SOLVED)],
        [rate(solved=5, mean_steps=near(110.0))],
        [limit(depth_limit=1, low=1, depth_floor=1)],
        missing=[missing],
    )


def test_a_comparison_is_a_row_over_all_depths_and_one_per_depth(made: WrittenStudy) -> None:
    """Five of five against none at depth 1: 2 of 252 divisions."""
    made.job(ADD, SEEDS, [100, 120, 110, 90, 130])
    made.job(PLAIN, SEEDS, [STALLED] * 5)
    row = {
        **{"study": "made", "task": "copy", "depth": None, "residual": "add", "norm": "post"},
        **{"scheme": "add", "baseline": "plain"},
        **{"named_by": ["residual"], "against": {"residual": "plain"}},
    }
    no_speed = dict.fromkeys(("speed", "speed_low", "speed_high"))
    summary = made.summary()
    assert summary["comparisons"] == [
        {
            **row,
            **{"budget": None, "scheme_solved": None, "scheme_seeds": 5},
            **{"baseline_solved": None, "baseline_seeds": 5},
            **{"p": near(2 / 252), "p_adjusted": near(2 / 252), "adjusted_by": "holm"},
            **{"exact": True, "verdict": "better", "favours": "add"},
            **dict.fromkeys(("doublings", "doublings_low", "doublings_high")),
            **no_speed,
            "speed_depths": [],
        },
        {
            **{**row, "depth": 1},
            **{"budget": 600, "scheme_solved": 5, "scheme_seeds": 5},
            **{"baseline_solved": 0, "baseline_seeds": 5},
            **{"p": near(2 / 252), "p_adjusted": near(2 / 252), "adjusted_by": None},
            **{"exact": None, "verdict": None, "favours": "add"},
            **dict.fromkeys(("doublings", "doublings_low", "doublings_high")),
            **no_speed,
            "speed_depths": None,
        },
    ]
    assert [limit["depth_limit"] for limit in summary["limits"]] == [1, None]


def test_compared_cells_share_the_smaller_budget(made: WrittenStudy) -> None:
    """Within 600 steps only one of the baseline's seeds solves: its others count as 600, whatever
    they did later.
    """
    made.job(ADD, SEEDS, [100] * 5)
    made.job(shape(1, Plain(), "post", steps=900), SEEDS, [500, 700, 800, 700, 800])
    summary = made.summary()
    assert cell(summary, residual="plain")["median_steps"] == 700
    assert "train.steps" not in summary["cells"][0]
    assert "train.steps" not in summary["settings"]
    by_depth = summary["comparisons"][1]
    assert (by_depth["budget"], by_depth["baseline_solved"], by_depth["speed"]) == (600, 1, None)
    assert cell(summary, residual="plain")["solved"] == 5


def test_different_budgets_in_one_cell_give_kaplan_meier(made: WrittenStudy) -> None:
    """Censored at 300: 1, 2; solved at 100, 200, 400. S falls to 4/5, 3/5, then with one at risk to
    0 at 400.
    """
    made.job(shape(1, Add(), "post", steps=300), SEEDS[:2], [1.0, 1.0])
    made.job(ADD, SEEDS[2:], [100, 200, 400])
    row = cell(made.summary())
    assert (row["seeds"], row["median_steps"]) == (5, 400)
    # Within 300 steps: 100, 200 and three times 300.
    assert row["mean_steps"] == near(240.0)


def test_a_mean_is_never_the_budget(made: WrittenStudy) -> None:
    """Within the 600 steps that all had nobody solves, so there is no mean; later some do."""
    made.job(ADD, SEEDS[:2], [1.0, 1.0])
    made.job(shape(1, Add(), "post", steps=2000), SEEDS[2:], [700, 900, 1100])
    summary = made.summary()
    assert (
        cell(summary)["mean_steps"],
        cell(summary)["mean_low"],
        cell(summary)["median_steps"],
    ) == (
        None,
        None,
        900,
    )
    assert summary["rates"][0]["mean_steps"] is None


def test_settings_of_a_scheme_do_not_part_it_from_its_baseline(made: WrittenStudy) -> None:
    made.job(shape(1, Plain(), "pre"), SEEDS, [200] * 5)
    made.job(shape(1, Add(), "pre"), SEEDS, [100] * 5)
    for initial in (0.1, 0.5):
        made.job(
            shape(
                1,
                LayerScale(
                    initial_to_18_blocks=initial, initial_to_24_blocks=1e-5, initial_beyond=1e-6
                ),
                "pre",
            ),
            SEEDS,
            [100] * 5,
        )
    primary = [row for row in made.summary()["comparisons"] if row["depth"] is None]
    settings = {(row["scheme"], row["model.residual.initial_to_18_blocks"]) for row in primary}
    assert settings == {("add", None), ("layerscale", 0.1), ("layerscale", 0.5)}
    assert {row["baseline"] for row in primary} == {"plain"}


def test_kept_weights_do_not_part_a_scheme_from_its_baseline(made: WrittenStudy) -> None:
    made.job(ADD, SEEDS, [100] * 5, Recording(keep_weights=True))
    made.job(PLAIN, SEEDS, [200] * 5)
    summary = made.summary()
    assert len(summary["comparisons"]) == 2
    assert "train.keep_weights" not in summary["cells"][0]


def test_members_that_differ_in_the_budget_only_make_it_an_axis(made: WrittenStudy) -> None:
    made.job(ADD, SEEDS, [100] * 5)
    made.job(shape(1, Add(), "post", steps=300), SEEDS, [100] * 5)
    assert [row["train.steps"] for row in made.summary()["cells"]] == [300, 600]


def going_on(made: WrittenStudy, **changes: Any) -> None:
    """Five members within 600, then 1200 steps, and three of them within 2400."""
    first, second, third = (
        shape(1, Add(), "post", steps=steps, **changes) for steps in (600, 1200, 2400)
    )
    some, others = (
        made.job(first, SEEDS[:3], [100, 1.0, 1.0]),
        made.job(first, SEEDS[3:], [1.0] * 2),
    )
    longer = made.job(second, SEEDS[:3], [100, 700, 1.0], continues=some)
    made.job(second, SEEDS[3:], [900, 1100], continues=others)
    made.job(third, SEEDS[:3], [100, 700, 2000], continues=longer)


@pytest.mark.parametrize(
    ("finished", "budget", "outcomes"),
    [
        (2, 600, [100, 600, 600, 600, 600]),
        (3, 1200, [100, 700, 1200]),
        (4, 1200, [100, 700, 1200, 900, 1100]),
        (5, 2400, [100, 700, 2000]),
    ],
)
def test_members_that_went_on_count_once_with_the_longest_budget_that_is_finished(
    made: WrittenStudy, finished: int, budget: int, outcomes: list[int]
) -> None:
    """As in a study that had it from the start, and is finished so far."""
    going_on(made)
    summary = made.summary(finished)
    row = cell(summary)
    assert summary["settings"]["train.steps"] == budget
    assert row["mean_steps"] == near(sum(outcomes) / len(outcomes))
    assert row["solved"] == sum(step < budget for step in outcomes)
    assert [rate["seeds"] for rate in summary["rates"]] == [len(outcomes)]


def test_members_left_behind_do_not_shorten_the_budget_of_their_cell(made: WrittenStudy) -> None:
    """A learning rate that was tried within the smaller budget only; another cell has its own."""
    first = made.job(ADD, SEEDS, [100, 1.0, 1.0, 1.0, 1.0])
    made.job(ADD, [Member(seed=seed, lr=0.1) for seed in range(5)], [1.0] * 5)
    made.job(PLAIN, SEEDS, [1.0] * 5)
    longer = shape(1, Add(), "post", steps=1200)
    made.job(longer, SEEDS, [100, 700, 700, 700, 700], continues=first)
    made.job(longer, [Member(seed=5, lr=3e-3)], [800])  # new, so it went on from nothing
    summary = made.summary()
    row = cell(summary, residual="add")
    assert (row["seeds"], row["solved"]) == (6, 6)
    assert row["mean_steps"] == near((100 + 4 * 700 + 800) / 6)
    assert [rate["lr"] for rate in summary["rates"] if rate["residual"] == "add"] == [3e-3]
    assert cell(summary, residual="plain")["seeds"] == 5


def test_members_left_behind_are_counted_in_the_notes(made: WrittenStudy) -> None:
    """Those that went on are not; nor are any where all did."""
    first = made.job(ADD, SEEDS, [100] * 5)
    made.job(ADD, [Member(seed=seed, lr=0.1) for seed in range(3)], [100] * 3)
    made.job(shape(1, Add(), "post", steps=1200), SEEDS[:4], [700] * 4, continues=first)
    of_plain = made.job(PLAIN, SEEDS, [1.0] * 5)
    made.job(shape(1, Plain(), "post", steps=1200), SEEDS, [700] * 5, continues=of_plain)
    report = made.report()
    assert report.left_behind == (LeftBehind(study="made", steps=600, longer=1200, members=4),)
    assert from_json(json.loads(json.dumps(to_json(report)))) == report
    assert (
        "left out: 4 members of made that had 600 steps, as others of the same settings went on to "
        "1,200"
    ) in notes(report)


def test_a_budget_that_was_compared_before_others_went_on_is_compared_still(
    made: WrittenStudy,
) -> None:
    made.job(shape(1, Add(), "post", steps=300), SEEDS, [100] * 5)
    first = made.job(ADD, SEEDS, [100] * 5)
    made.job(shape(1, Add(), "post", steps=1200), SEEDS, [100] * 5, continues=first)
    assert [row["train.steps"] for row in made.summary()["cells"]] == [300, 1200]


def test_members_that_train_on_when_they_have_solved_have_each_budget(made: WrittenStudy) -> None:
    """Their last loss belongs to it."""
    going_on(made, stop_when_solved=False)
    cells = made.summary()["cells"]
    assert [(row["train.steps"], row["seeds"]) for row in cells] == [(600, 5), (1200, 5), (2400, 3)]


def test_members_go_on_in_their_own_study(made: WrittenStudy, tmp_path: Path) -> None:
    """Beside another study that has them within the smaller budget."""
    going_on(made)
    other = WrittenStudy(tmp_path / "results", "other")
    other.job(ADD, SEEDS, [100] * 5)
    cells = to_json(summarise(read([made.write(), other.write()])))["cells"]
    assert [(row["study"], row["seeds"]) for row in cells] == [("made", 3), ("other", 5)]


def test_plans_may_say_anything_of_what_goes_on(made: WrittenStudy) -> None:
    """Jobs that go on from each other, from none, or from one with other settings."""
    first = made.job(ADD, SEEDS, [100] * 5)
    made.job(PLAIN, SEEDS, [200] * 5, continues=first)
    made.jobs[0] = (dataclasses.replace(first, continues=made.jobs[1][0].id), made.jobs[0][1])
    made.job(
        shape(2, Add(), "post"), SEEDS, [300] * 5, continues=Job(shape=ADD, members=(SEEDS[0],))
    )
    assert [row["seeds"] for row in made.summary()["cells"]] == [5, 5, 5]


def test_a_report_has_its_keys_in_their_order(made: WrittenStudy) -> None:
    made.job(PLAIN, SEEDS, [100] * 5)
    summary = json.loads(as_json(made.report()))
    assert list(summary) == [
        *("study", "settings", "cells", "rates", "limits", "comparisons"),
        *("excluded", "missing", "damaged", "failed", "best_rates"),
    ]
    statistics = (
        "seeds solved unsolved stalled diverged lr lr_by_seed lr_at_edge median_steps "
        "median_low median_high"
    )
    statistics += (
        " mean_steps mean_low mean_high final_loss final_accuracy parameters flops_per_step"
    )
    assert list(summary["cells"][0]) == [
        *("study", "task", "depth", "residual", "norm"),
        *statistics.split(),
        "ms_per_member_step",
    ]
    assert list(summary["limits"][0]) == [
        *("study", "task", "residual", "norm"),
        *("depth_limit", "low", "high", "depth_floor"),
    ]


def test_depth_limits_of_several_depths(made: WrittenStudy) -> None:
    for depth, add, plain in (
        (1, [100] * 5, [100] * 5),
        (4, [200] * 4 + [1.0], [1.0] * 5),
        (8, [1.0] * 5, [1.0] * 5),
    ):
        made.job(shape(depth, Add(), "post"), SEEDS, add)
        made.job(shape(depth, Plain(), "post"), SEEDS, plain)
    names = ("depth_floor", "depth_limit", "low", "high")
    limits = {
        row["residual"]: tuple(row[name] for name in names) for row in made.summary()["limits"]
    }
    assert limits == {"add": (1, 4, 1, 4), "plain": (1, 1, 1, 1)}


def test_a_seed_is_scored_at_the_rate_of_the_others(made: WrittenStudy) -> None:
    members = [Member(seed=seed, lr=lr) for lr in (1e-3, 1e-2) for seed in range(3)]
    made.job(shape(2, Add(), "post"), members, [10, 1.0, 1.0, 2.0, 50, 60])
    summary = made.summary()
    best = summary["cells"][0]
    assert best["lr_by_seed"] == {"0": 1e-2, "1": 1e-3, "2": 1e-3}
    assert (best["solved"], best["lr"], best["lr_at_edge"]) == (0, 1e-3, True)
    assert [(row["lr"], row["solved"]) for row in summary["rates"]] == [(1e-3, 1), (1e-2, 2)]


def test_seeds_that_ran_at_different_rates_are_all_counted(made: WrittenStudy) -> None:
    """No seed ran at what the others chose: each is scored where it ran."""
    made.job(shape(2, Add(), "post"), [Member(seed=0, lr=1e-3)], [100])
    made.job(shape(2, Add(), "post"), [Member(seed=1, lr=3e-3)], [200])
    made.job(shape(2, Add(), "post"), [Member(seed=2, lr=1e-2)], [1.5])
    best = made.summary()["cells"][0]
    assert (best["seeds"], best["solved"], best["median_steps"]) == (3, 2, 200)
    assert best["lr_by_seed"] == {"0": 1e-3, "1": 3e-3, "2": 1e-2}


def test_a_setting_that_differs_between_schemes_is_an_axis(made: WrittenStudy) -> None:
    wide = dataclasses.replace(ADD, model=dataclasses.replace(MODEL, depth=1, width=64, hidden=256))
    made.job(PLAIN, SEEDS, [100] * 5)
    made.job(wide, SEEDS, [50] * 5)
    summary = made.summary()
    assert [row["model.width"] for row in summary["cells"]] == [64, 32]
    assert "model.hidden" not in summary["cells"][0]
    assert len(summary["limits"]) == 2
    assert summary["comparisons"] == []


def test_a_width_that_comes_with_the_depth_makes_one_curve(made: WrittenStudy) -> None:
    """Also where schemes have other widths at the same depth, as at equal parameters."""
    for depth, width in ((1, 64), (2, 48), (4, 32)):
        for residual, own in ((Add(), width), (Plain(), width - 4 * (depth == 2))):
            model = dataclasses.replace(
                shape(depth, residual, "post").model, width=own, hidden=4 * own
            )
            planned = dataclasses.replace(shape(depth, residual, "post"), model=model)
            made.job(planned, SEEDS, [100] * 5)
    report = made.report()
    assert report.axes == ["study", "task", "depth", "residual", "norm"]
    assert {limit.depth_limit for limit in report.limits} == {4}
    cells = {(row["depth"], row["residual"]): row["width"] for row in made.summary()["cells"]}
    assert cells == {
        **{(1, scheme): 64 for scheme in ("add", "plain")},
        **{(4, scheme): 32 for scheme in ("add", "plain")},
        (2, "add"): 48,
        (2, "plain"): 44,
    }
    assert "width 64, 44–48 and 32 at depth 1, 2 and 4" in settings(report)
    assert from_json(to_json(report)) == report


def test_a_width_that_varies_at_a_depth_is_an_axis(made: WrittenStudy) -> None:
    for depth, width in ((1, 64), (1, 32), (2, 32)):
        model = dataclasses.replace(MODEL, depth=depth, width=width, hidden=4 * width)
        made.job(dataclasses.replace(ADD, model=model), SEEDS, [100] * 5)
    assert "model.width" in made.report().axes
    assert "width" not in made.summary()["cells"][0]


def test_settings_that_a_task_or_a_scheme_brings_are_no_axis(made: WrittenStudy) -> None:
    sort = dataclasses.replace(
        shape(
            1,
            Add(),
            "post",
            eval_every=20,
            target_accuracy=0.95,
            batch=64,
            weight_decay=1.0,
            stop_when_solved=False,
        ),
        task=Sort(length=8, symbols=16),
    )
    made.job(
        dataclasses.replace(sort, model=dataclasses.replace(MODEL, attention="bidirectional")),
        SEEDS,
        [100] * 5,
    )
    made.job(shape(2, Add(), "post"), SEEDS, [100] * 5)
    made.job(shape(2, ReZero(initial=0.0), "none"), SEEDS, [100] * 5)
    assert made.report().axes == [
        "study",
        "task",
        "depth",
        "residual",
        "norm",
    ]


def test_kept_weights_make_no_axis_and_no_second_member(made: WrittenStudy) -> None:
    made.job(ADD, SEEDS, [100] * 5)
    made.job(ADD, SEEDS[:3], [100] * 3, Recording(keep_weights=True))
    (best,) = made.summary()["cells"]
    assert best["seeds"] == 5


def test_any_key_that_varies_is_an_axis(made: WrittenStudy) -> None:
    made.job(ADD, SEEDS, [100] * 5)
    made.job(shape(1, Add(), "post", batch=16), SEEDS, [200] * 5)
    summary = made.summary()
    assert [(entry["train.batch"], entry["median_steps"]) for entry in summary["cells"]] == [
        (16, 200),
        (32, 100),
    ]
    assert [row["train.batch"] for row in summary["limits"]] == [16, 32]
    assert "train.batch" not in summary["settings"]


def test_members_in_two_plans_are_counted_once(made: WrittenStudy) -> None:
    made.job(ADD, SEEDS, [100] * 5)
    made.job(ADD, SEEDS[:2], [100] * 2)
    assert made.summary()["cells"][0]["seeds"] == 5


def test_a_study_without_results_is_refused(made: WrittenStudy) -> None:
    made.job(ADD, SEEDS, [100] * 5)
    with pytest.raises(
        UserError, match=r"study made: nothing to report in .*, no job has finished"
    ):
        made.summary(finished=0)


def test_several_studies_say_what_they_differ_in(tmp_path: Path) -> None:
    first, second = WrittenStudy(tmp_path, "first"), WrittenStudy(tmp_path, "second")
    first.job(ADD, SEEDS, [100] * 5)
    second.job(shape(1, Add(), "post", batch=64, steps=900), SEEDS, [200] * 5)
    summary = to_json(summarise(read([first.write(), second.write()])))
    assert summary["study"] == "first, second"
    assert summary["differing"] == {
        "train.steps": {"first": 600, "second": 900},
        "train.batch": {"first": 32, "second": 64},
    }
    assert [(row["study"], row["median_steps"]) for row in summary["cells"]] == [
        ("first", 100),
        ("second", 200),
    ]
    assert not {"train.steps", "train.batch"} & {*summary["settings"], *summary["cells"][0]}


def test_a_study_says_the_same_alone_and_beside_another(tmp_path: Path) -> None:
    first, second = WrittenStudy(tmp_path, "first"), WrittenStudy(tmp_path, "second")
    for one in (first, second):
        one.job(ADD, SEEDS, [100, 120, 110, 90, 130])
        one.job(PLAIN, SEEDS, [STALLED] * 5)
    studies = [first.write(), second.write()]
    alone, together = to_json(summarise(read(studies[:1]))), to_json(summarise(read(studies)))
    for name in ("cells", "rates", "limits", "comparisons"):
        assert [row for row in together[name] if row["study"] == "first"] == alone[name]


def test_order_of_jobs_and_members_does_not_matter(tmp_path: Path) -> None:
    there, back = WrittenStudy(tmp_path / "there"), WrittenStudy(tmp_path / "back")
    members = [Member(seed=seed, lr=lr) for lr in (1e-3, 1e-2) for seed in range(5)]
    outcomes = {
        (depth, scheme): [100 + 10 * (7 * n * depth) % 400 for n in range(10)]
        for depth in (1, 2)
        for scheme in "ap"
    }
    for (depth, scheme), outcome in outcomes.items():
        there.job(shape(depth, Add() if scheme == "a" else Plain(), "post"), members, outcome)
    for (depth, scheme), outcome in reversed(outcomes.items()):
        where = shape(depth, Add() if scheme == "a" else Plain(), "post")
        back.job(where, members[:3:-1], outcome[:3:-1])
        back.job(where, members[3::-1], outcome[3::-1])
    assert there.summary() == back.summary()
