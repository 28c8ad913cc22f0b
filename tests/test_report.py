"""A results folder made by hand, with known outcomes, and what the report says of it."""

import csv
import dataclasses
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from resformer.errors import UserError
from resformer.jobs import Job
from resformer.model import ModelSettings
from resformer.reporting import table
from resformer.reporting.figures import draw
from resformer.reporting.summary import key_of, summarise
from resformer.reporting.verdict import verdict
from resformer.residuals.add import Add
from resformer.residuals.layerscale import LayerScale
from resformer.residuals.plain import Plain
from resformer.residuals.rezero import ReZero
from resformer.shape import Member, Shape, TrainSettings
from resformer.store import claims
from resformer.store.claims import Claim, Watch
from resformer.store.study import Study
from resformer.tasks.copy import Copy
from resformer.tasks.sort import Sort

STALLED = "stalled"


def shape(depth: int, residual: Any, norm: str, **train: Any) -> Shape:
    settings = TrainSettings(600, 32, 50, 0.9, 0.98, 1e-8, 0.0, 1.0, 10, 128, 0.99, 5, True, False, "fp32", False)
    model = ModelSettings(depth, 32, 4, 128, "relu", "causal", norm)
    return Shape(Copy(8, 16), model, residual, dataclasses.replace(settings, **train), "cpu")


class Made:
    """A study that is written instead of run."""

    def __init__(self, results: Path) -> None:
        self.study = Study(results / "made")
        self.jobs: list[tuple[Job, list[Any]]] = []

    def job(self, where: Shape, members: Sequence[Member], outcomes: list[Any]) -> None:
        """Outcomes by member: a step (solved there), a loss (unsolved), "stalled", "diverged"."""
        self.jobs.append((Job(where, tuple(members)), outcomes))

    def write(self, finished: int | None = None) -> Study:
        record = {
            "excluded": [{"settings": {"model.norm": "post"}, "reason": "does not go"}],
            "engine": {"retries": 0},
        }
        launch = self.study.launch(record, [job.to_json() for job, _ in self.jobs])
        for job, outcomes in self.jobs[:finished]:
            claim = claims.take(self.study.job(job.id), launch, 0, Watch(60.0))
            assert isinstance(claim, Claim)
            full = {"members": 5, "steps": 10, "seconds": 0.1}
            timing = {"seconds": 3.0, "stretches": [full, full, {"members": 1, "steps": 10, "seconds": 9.0}]}
            self.study.commit(claim, {"runs": runs(job, outcomes), "curves": curves(job, outcomes)}, timing)
        return self.study


def runs(job: Job, outcomes: list[Any]) -> dict[str, list[Any]]:
    solved = [outcome if isinstance(outcome, int) else None for outcome in outcomes]
    losses = [
        {"stalled": 2.77, "diverged": float("nan")}.get(outcome, 0.01) if not isinstance(outcome, float) else outcome
        for outcome in outcomes
    ]
    named = ["solved" if isinstance(o, int) else "diverged" if o == "diverged" else "unsolved" for o in outcomes]
    return {
        "seed": [member.seed for member in job.members],
        "lr": [member.lr for member in job.members],
        "outcome": named,
        "stalled": [outcome == STALLED for outcome in outcomes],
        "solved_step": solved,
        "diverged_step": [30 if outcome == "diverged" else None for outcome in outcomes],
        "last_step": [step + 10 if step else 600 for step in solved],
        "final_loss": losses,
        "final_accuracy": [1.0 if step else 0.2 for step in solved],
    }


def curves(job: Job, outcomes: list[Any]) -> dict[str, Any]:
    rows = runs(job, outcomes)
    count = len(job.members)
    return {
        "seed": np.repeat(rows["seed"], 2),
        "lr": np.repeat(rows["lr"], 2),
        "step": np.tile([0, 10], count),
        "held_out_loss": np.tile([3.0, 1.0], count),
    }


MODEL = shape(1, Add(), "post").model
SEEDS = [Member(seed, 3e-3) for seed in range(5)]


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return Made(tmp_path / "results")


def cell(summary: dict[str, Any], **wanted: Any) -> dict[str, Any]:
    (found,) = [cell for cell in summary["cells"] if all(cell[key] == value for key, value in wanted.items())]
    return found


def test_cells_and_limits_of_known_outcomes(made: Made) -> None:
    made.job(shape(1, Plain(), "post"), SEEDS, [100, 120, 110, 90, 130])
    made.job(shape(4, Plain(), "post"), SEEDS, [STALLED, STALLED, STALLED, 2.0, 300])
    made.job(shape(8, Plain(), "post"), SEEDS, ["diverged"] * 5)
    made.job(shape(1, Add(), "post"), SEEDS, [100] * 5)
    made.job(shape(4, Add(), "post"), SEEDS, [200, 210, 220, 1.5, 1.5])
    made.job(shape(8, Add(), "post"), SEEDS, [1.0, 1.2, 1.1, 1.3, 1.4])
    summary = summarise(made.write())
    first = cell(summary, residual="plain", depth=1)
    assert first["median_steps"] == 110
    assert first["mean_steps"] == 110
    assert (first["seeds"], first["solved"], first["unsolved"], first["diverged"]) == (5, 5, 0, 0)
    assert first["lr"] == 3e-3
    assert first["lr_at_edge"] is None
    assert first["ms_per_member_step"] == 2.0
    second = cell(summary, residual="plain", depth=4)
    assert second["median_steps"] is None
    assert (second["solved"], second["unsolved"], second["stalled"]) == (1, 4, 3)
    assert second["mean_steps"] == (4 * 600 + 300) / 5
    assert second["final_loss"] == 2.77
    third = cell(summary, residual="plain", depth=8)
    assert (third["diverged"], third["median_steps"], third["final_loss"]) == (5, None, None)
    assert cell(summary, residual="add", depth=4)["median_steps"] == 220
    limits = {row["residual"]: (row["depth_floor"], row["depth_limit"]) for row in summary["limits"]}
    assert limits == {"plain": (1, 1), "add": (1, 4)}
    (comparison,) = summary["comparisons"]
    assert (comparison["baseline"], comparison["scheme"], comparison["depth"]) == ("plain", "add", None)
    later = ["ratio", "low", "high", "bound", "p", "p_adjusted"]
    assert [comparison[name] for name in later] == [None] * 6
    assert all(found["median_low"] is None and found["mean_low"] is None for found in summary["cells"])
    assert summary["settings"]["train.steps"] == 600
    assert summary["excluded"] == [{"settings": {"model.norm": "post"}, "reason": "does not go"}]
    assert summary["missing"] == summary["damaged"] == summary["failed"] == []


def test_schema(made: Made) -> None:
    made.job(shape(1, Plain(), "post"), SEEDS, [100] * 5)
    summary = json.loads(table.as_json(summarise(made.write())))
    assert list(summary) == [
        *("study", "settings", "cells", "rates", "limits", "comparisons"),
        *("excluded", "missing", "damaged", "failed"),
    ]
    statistics = "seeds solved unsolved stalled diverged lr lr_by_seed lr_at_edge median_steps median_low median_high"
    statistics += " mean_steps mean_low mean_high final_loss final_accuracy parameters flops_per_step"
    assert list(summary["cells"][0]) == [
        *("study", "task", "depth", "residual", "norm"),
        *statistics.split(),
        "ms_per_member_step",
    ]
    assert {"study", "task", "residual", "norm", "depth_limit", "low", "high", "depth_floor"} == set(
        summary["limits"][0]
    )


def test_a_seed_is_scored_at_the_rate_of_the_others(made: Made) -> None:
    members = [Member(seed, lr) for lr in (1e-3, 1e-2) for seed in range(3)]
    made.job(shape(2, Add(), "post"), members, [10, 1.0, 1.0, 2.0, 50, 60])
    summary = summarise(made.write())
    found = summary["cells"][0]
    assert found["lr_by_seed"] == {"0": 1e-2, "1": 1e-3, "2": 1e-3}
    assert (found["solved"], found["lr"], found["lr_at_edge"]) == (0, 1e-3, True)
    assert [(row["lr"], row["solved"]) for row in summary["rates"]] == [(1e-3, 1), (1e-2, 2)]


def test_seeds_that_ran_at_different_rates_are_all_counted(made: Made) -> None:
    """No seed ran at what the others chose: each is scored where it ran."""
    made.job(shape(2, Add(), "post"), [Member(0, 1e-3)], [100])
    made.job(shape(2, Add(), "post"), [Member(1, 3e-3)], [200])
    made.job(shape(2, Add(), "post"), [Member(2, 1e-2)], [1.5])
    found = summarise(made.write())["cells"][0]
    assert (found["seeds"], found["solved"], found["median_steps"]) == (3, 2, 200)
    assert found["lr_by_seed"] == {"0": 1e-3, "1": 3e-3, "2": 1e-2}


def test_a_setting_that_differs_between_schemes_or_depths_is_an_axis(made: Made) -> None:
    wide = dataclasses.replace(shape(1, Add(), "post"), model=dataclasses.replace(MODEL, depth=1, width=64, hidden=256))
    made.job(shape(1, Plain(), "post"), SEEDS, [100] * 5)
    made.job(wide, SEEDS, [50] * 5)
    made.job(shape(4, Plain(), "post", steps=900), SEEDS, [700] * 5)
    summary = summarise(made.write())
    assert [(found["model.width"], found["train.steps"], found["depth"]) for found in summary["cells"]] == [
        (64, 600, 1),
        (32, 600, 1),
        (32, 900, 4),
    ]
    assert "model.hidden" not in summary["cells"][0]
    assert len(summary["limits"]) == 3
    assert summary["comparisons"] == []
    assert "cost" not in verdict(summary)


def test_what_comes_with_a_task_or_a_scheme_is_no_axis(made: Made) -> None:
    sort = dataclasses.replace(shape(1, Add(), "post", eval_every=20, target_accuracy=0.95), task=Sort(8, 16))
    made.job(dataclasses.replace(sort, model=dataclasses.replace(MODEL, attention="bidirectional")), SEEDS, [100] * 5)
    made.job(shape(2, Add(), "post"), SEEDS, [100] * 5)
    made.job(shape(2, ReZero(0.0), "none"), SEEDS, [100] * 5)
    assert list(key_of(summarise(made.write())["cells"][0])) == ["task", "depth", "residual", "norm"]


def test_verdict_says_where_the_run_of_depths_begins_and_what_was_tried(made: Made) -> None:
    for depth, steps in ((1, STALLED), (2, STALLED), (4, 100), (8, 100)):
        made.job(shape(depth, Add(), "post"), SEEDS, [steps] * 5)
    for depth in (1, 2, 4, 8, 16):
        made.job(shape(depth, Plain(), "post"), SEEDS, [STALLED] * 5)
    summary = summarise(made.write())
    text = verdict(summary)
    assert "with residual connections from depth 4 to 8, the deepest tried, without them at no depth" in text
    assert table.grids(summary)[0].limits == ["none", "≥ 8"]


def test_verdict_with_further_axes_names_real_depths(made: Made) -> None:
    for batch in (16, 32):
        made.job(shape(1, Add(), "post", batch=batch), SEEDS, [STALLED] * 5)
        made.job(shape(2, Add(), "post", batch=batch), SEEDS, [STALLED if batch == 16 else 100] * 5)
    text = verdict(summarise(made.write()))
    assert "at no depth at the least and to depth 2 at the most" in text


def test_members_in_two_plans_are_counted_once(made: Made) -> None:
    made.job(shape(1, Add(), "post"), SEEDS, [100] * 5)
    made.job(shape(1, Add(), "post"), SEEDS[:2], [100] * 2)
    assert summarise(made.write())["cells"][0]["seeds"] == 5


def test_any_key_that_varies_is_an_axis(made: Made) -> None:
    made.job(shape(1, Add(), "post"), SEEDS, [100] * 5)
    made.job(shape(1, Add(), "post", batch=16), SEEDS, [200] * 5)
    summary = summarise(made.write())
    assert [(found["train.batch"], found["median_steps"]) for found in summary["cells"]] == [(16, 200), (32, 100)]
    assert [row["train.batch"] for row in summary["limits"]] == [16, 32]
    assert "train.batch" not in summary["settings"]
    assert [column for grid in table.grids(summary) for column in grid.columns] == [
        ("add", "post", "batch 16"),
        ("add", "post", "batch 32"),
    ]


def test_an_unfinished_study_says_what_is_missing(made: Made) -> None:
    made.job(shape(1, Add(), "post"), SEEDS, [100] * 5)
    made.job(shape(8, Add(), "post"), SEEDS, [100] * 5)
    summary = summarise(made.write(finished=1))
    assert [(row["members"], row["settings"]) for row in summary["missing"]] == [(5, "copy depth 8 add post")]
    assert "not finished: 1 job(s), 5 members" in "\n".join(table.notes(summary))


def test_nothing_to_report_is_said(made: Made) -> None:
    made.job(shape(1, Add(), "post"), SEEDS, [100] * 5)
    with pytest.raises(UserError, match="study made: nothing to report"):
        summarise(made.write(finished=0))


def test_a_damaged_result_is_named_and_left_out(made: Made) -> None:
    made.job(shape(1, Add(), "post"), SEEDS, [100] * 5)
    made.job(shape(8, Add(), "post"), SEEDS, [100] * 5)
    study = made.write()
    job = made.jobs[1][0].id
    path = study.job(job) / "attempt-1" / "runs.parquet"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    summary = summarise(study)
    assert [found["depth"] for found in summary["cells"]] == [1]
    assert summary["damaged"] == [{"job": job, "reason": f"{path}: not the bytes that were committed"}]


def test_a_failed_job_is_named_with_its_reason(made: Made) -> None:
    made.job(shape(1, Add(), "post"), SEEDS, [100] * 5)
    made.job(shape(8, Add(), "post"), SEEDS, [100] * 5)
    study = made.write(finished=1)
    job = made.jobs[1][0].id
    claim = claims.take(study.job(job), 1, 0, Watch(60.0))
    assert isinstance(claim, Claim)
    study.fail(claim, RuntimeError("boom\n  on a second line"))
    summary = summarise(study)
    assert [(row["job"], row["reason"]) for row in summary["failed"]] == [(job, "RuntimeError: boom on a second line")]
    assert summary["missing"] == []


def full(made: Made) -> dict[str, Any]:
    for depth in (1, 8):
        for norm in ("post", "pre"):
            made.job(shape(depth, Plain(), norm), SEEDS, [100] * 5 if depth == 1 else [STALLED] * 5)
            made.job(shape(depth, Add(), norm), SEEDS, [100] * 5)
    return summarise(made.write())


def test_verdict_says_what_residuals_did_and_cost(made: Made) -> None:
    text = verdict(full(made))
    assert text.startswith("Within 600 steps and learning rate 0.003, copy is solved with residual connections to")
    assert "with residual connections to depth 8, the deepest tried" in text
    assert "without them to depth 1;" in text
    assert "cost no parameters and no matrix products (FLOPs); a step took 1.00 times as long" in text


def test_terminal_fits_80_columns_and_reads_without_colour(made: Made) -> None:
    for depth in (1, 2):
        for norm in ("none", "pre", "post", "sandwich", "pre_post", "branch"):
            made.job(shape(depth, Plain(), norm), SEEDS, [STALLED] * 5)
            made.job(shape(depth, Add(), norm), SEEDS, [100] * 5)
    console = Console(file=io.StringIO(), width=80, color_system=None)
    table.render_terminal(summarise(made.write()), console)
    text = console.file.getvalue()
    assert max(map(len, text.splitlines())) <= 80
    assert text.count("stalled 2.77 0/5") == 12
    assert text.count("100 5/5") == 12
    assert "…" not in text


def test_other_forms_hold_the_same_cells(made: Made) -> None:
    summary = full(made)
    rows = list(csv.DictReader(io.StringIO(table.as_csv(summary))))
    assert [int(row["depth"]) for row in rows] == [found["depth"] for found in summary["cells"]]
    assert json.loads(rows[0]["lr_by_seed"]) == summary["cells"][0]["lr_by_seed"]
    markdown = table.as_markdown(summary)
    assert "| depth | plain post | plain pre | add post | add pre |" in markdown
    assert "| 8 | stalled 2.77 0/5 | stalled 2.77 0/5 | 100 5/5 | 100 5/5 |" in markdown
    latex = table.as_latex(summary)
    assert r"8 & stalled 2.77 0/5 & stalled 2.77 0/5 & 100 5/5 & 100 5/5 \\" in latex


def test_long_axis_names_are_not_cut(made: Made) -> None:
    for initial in (0.1, 0.2, 0.3, 0.4, 0.5):
        made.job(shape(1, LayerScale(initial, 1e-5, 1e-6), "pre"), SEEDS, [100] * 5)
    console = Console(file=io.StringIO(), width=80, color_system=None)
    table.render_terminal(summarise(made.write()), console)
    text = console.file.getvalue()
    assert [text.count(f"initial_to_18_blocks {initial}") for initial in (0.1, 0.2, 0.3, 0.4, 0.5)] == [1] * 5
    assert text.count("depth") >= 2
    assert max(map(len, text.splitlines())) <= 80


def test_markup_in_a_reason_is_shown_not_obeyed(made: Made) -> None:
    made.job(shape(1, Add(), "post"), SEEDS, [100] * 5)
    summary = summarise(made.write())
    summary["excluded"] = [{"settings": {"a": "[bold]x[/bold]"}, "reason": "[red]no"}]
    console = Console(file=io.StringIO(), width=80)
    table.render_terminal(summary, console)
    assert "left out: a=[bold]x[/bold] ([red]no)" in console.file.getvalue()


def test_a_figure_for_each_value_of_a_further_axis(made: Made, tmp_path: Path) -> None:
    made.job(shape(1, Add(), "post", batch=16), SEEDS, [100] * 5)
    made.job(shape(1, Add(), "post"), SEEDS, [100] * 5)
    made.write()
    names = {path.name for path in draw(made.study, tmp_path / "figures") if path.suffix == ".svg"}
    assert names == {f"{name}-copy-batch-{batch}.svg" for name in ("curves", "steps") for batch in (16, 32)}


def test_figures_do_without_a_damaged_curve_and_refuse_a_file(made: Made, tmp_path: Path) -> None:
    full(made)
    path = made.study.job(made.jobs[0][0].id) / "attempt-1" / "curves.parquet"
    path.write_bytes(path.read_bytes()[:-1])
    assert len(draw(made.study, tmp_path / "figures")) == 4
    assert [row["job"] for row in summarise(made.study)["damaged"]] == [made.jobs[0][0].id]
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"--figures .*file/below: cannot be made a folder"):
        draw(made.study, tmp_path / "file" / "below")


def test_figures_are_drawn_twice_alike(made: Made, tmp_path: Path) -> None:
    full(made)
    paths = draw(made.study, tmp_path / "figures")
    assert [path.name for path in paths] == [
        *("curves-copy.svg", "curves-copy.png", "steps-copy.svg", "steps-copy.png"),
    ]
    assert all(path.stat().st_size > 1000 for path in paths)
    again = draw(made.study, tmp_path / "again")
    assert [path.read_bytes() for path in paths if path.suffix == ".svg"] == [
        path.read_bytes() for path in again if path.suffix == ".svg"
    ]
