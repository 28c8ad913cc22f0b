"""A study whose members go on within a longer budget is the study that had it from the start."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import shapes
from support.launches import local, planned, run
from support.sweeps import TINY_SETTINGS
from typer.testing import Result

from resformer.model.shape import Shape
from resformer.results.members import read
from resformer.store.study import Study

pytestmark = pytest.mark.sweep

Resformer = Callable[..., Result]

STUDY = [
    "--study",
    "some",
    "model.depth=1,2",
    "model.width=16",
    "model.heads=2",
    "task.length=5",
    "task.symbols=8",
    "member.seed=0,1",
    "member.lr=1e-3,1e-2,1e30",
    "train.warmup_steps=5",
    "train.eval_sequences=16",
    "train.target_accuracy=0.7",
    "train.stop_when_solved=true",
    "engine.workers=1",
    "engine.stack=2",
]
"""Twelve members in six jobs: of those at the second rate, one has none but members that leave."""
SHORT, LONG = "train.steps=113", "train.steps=220"
"""The short one ends between two evaluations of the long one."""


def files_of(study: Path, job: str) -> dict[str, bytes]:
    """The tables of a job's results."""
    return {
        path.name: path.read_bytes() for path in study.glob(f"jobs/*/{job}/attempt-1/*.parquet")
    }


def jobs_of(study: Path, steps: int) -> set[str]:
    return {
        job
        for job, planned in Study(study).planned().items()
        if planned["shape"]["train"]["steps"] == steps
    }


def report(resformer: Resformer, *words: str) -> dict[str, Any]:
    return json.loads(resformer("report", "some", "--format", "json", *words).stdout)


def cells(report: dict[str, Any]) -> list[dict[str, Any]]:
    """The cells without their times."""
    return [{**cell, "ms_per_member_step": None} for cell in report["cells"]]


@pytest.fixture
def direct(resformer: Resformer) -> Path:
    """The study that had the long budget from the start; some members solve before the short one
    ends, some after.
    """
    result = resformer("sweep", *STUDY, LONG, "--results", "direct")
    assert result.exit_code == 0, result.stderr
    study = Path("direct/some")
    solved = read([Study(study)]).members["solved_step"].dropna()
    assert (solved < 100).any()
    assert (solved > 120).any()
    assert len(solved) < 8  # of the twelve, four diverge
    return study


def test_a_longer_budget_gives_the_study_that_had_it_from_the_start(
    resformer: Resformer, direct: Path
) -> None:
    """The same jobs with the same bytes, and the same report."""
    assert resformer("sweep", *STUDY, SHORT).exit_code == 0
    short = report(resformer)
    assert short["settings"]["train.steps"] == 113
    result = resformer("sweep", *STUDY, LONG)
    assert result.exit_code == 0, result.stderr
    assert (
        "12 members trained before with fewer train.steps: they go on from there" in result.stderr
    )
    assert "goes on from step 113 of train.steps=113" in result.stderr
    assert "starts again" not in result.stderr
    study = Path("results/some")
    assert jobs_of(study, 220) == jobs_of(direct, 220)
    for job in jobs_of(study, 220):
        assert files_of(study, job) == files_of(direct, job)
    long = report(resformer)
    assert resformer("gather", "some").exit_code == 0
    assert report(resformer) == long
    direct_report = json.loads(
        resformer("report", "some", "--results", "direct", "--format", "json").stdout
    )
    assert cells(long) == cells(direct_report)
    assert {
        key: long[key] for key in ("settings", "rates", "limits", "comparisons", "missing")
    } == {
        key: direct_report[key] for key in ("settings", "rates", "limits", "comparisons", "missing")
    }
    assert "12 " in resformer("status", "some").stdout  # and not 24 members
    again = resformer("sweep", *STUDY, LONG)
    assert "all finished" in again.stderr
    assert "go on from there" not in again.stderr
    assert "all finished" in resformer("sweep", *STUDY, SHORT).stderr
    members = read([Study(study)]).members
    assert len(members) == 12
    assert set(members["job"]) == jobs_of(study, 220)
    assert resformer("export", "some", "tables", "--to", "csv").exit_code == 0
    assert len(Path("tables/runs.csv").read_text().splitlines()) == 13


def test_a_gathered_study_says_that_it_starts_again(resformer: Resformer, direct: Path) -> None:
    """What no longer budget changes is taken from the packed file all the same."""
    assert resformer("sweep", *STUDY, SHORT).exit_code == 0
    gathered = resformer("gather", "some")
    assert "with more train.steps these train again from the start" in gathered.stderr
    assert "are removed" not in resformer("gather", "some").stderr
    result = resformer("sweep", *STUDY, LONG)
    assert result.exit_code == 0
    assert "starts again: job" in result.stderr
    assert "has no checkpoint that is whole" in result.stderr
    study = Path("results/some")
    for job in jobs_of(direct, 220):
        assert files_of(study, job) == files_of(direct, job)


def test_checkpoints_need_not_be_kept(resformer: Resformer) -> None:
    words = [*STUDY, "train.keep_checkpoint=false"]
    assert resformer("sweep", *words, SHORT).exit_code == 0
    assert not list(Path("results").rglob("checkpoint-*"))
    assert "all finished" in resformer("sweep", *STUDY, SHORT).stderr  # no setting of a job
    result = resformer("sweep", *words, LONG)
    assert result.exit_code == 0
    assert "starts again: job" in result.stderr
    refused = resformer("sweep", *STUDY, SHORT, "train.keep_checkpoint=perhaps")
    assert refused.exit_code == 2
    assert "train.keep_checkpoint=perhaps: must be true or false" in refused.stderr


def test_both_budgets_in_one_command_are_compared(resformer: Resformer) -> None:
    words = [word for word in STUDY if not word.startswith("model.depth")]
    assert resformer("sweep", *words, SHORT).exit_code == 0
    result = resformer("sweep", *words, "train.steps=113,220")
    assert result.exit_code == 0
    assert "go on from there" not in result.stderr
    assert {cell["train.steps"] for cell in report(resformer)["cells"]} == {113, 220}


def test_members_that_train_on_when_they_have_solved_keep_both_budgets(
    resformer: Resformer,
) -> None:
    """Their last loss is one of its budget."""
    words = [
        *(word for word in STUDY if not word.startswith("train.stop_when_solved")),
        "train.stop_when_solved=false",
    ]
    for budget in (SHORT, LONG):
        assert resformer("sweep", *words, budget).exit_code == 0
    assert resformer("sweep", *words, LONG, "--results", "direct").exit_code == 0
    for job in jobs_of(Path("direct/some"), 220):
        assert files_of(Path("results/some"), job) == files_of(Path("direct/some"), job)
    assert {cell["train.steps"] for cell in report(resformer)["cells"]} == {113, 220}
    assert "24 " in resformer("status", "some").stdout


def test_train_goes_on(resformer: Resformer) -> None:
    words = ["train", *TINY_SETTINGS, "member.seed=0", "member.lr=0"]
    assert resformer(*words, "train.steps=20").exit_code == 0
    result = resformer(*words, "train.steps=40")
    assert result.exit_code == 0
    assert "goes on from step 20 of train.steps=20" in result.stderr
    assert "unsolved within 40 steps" in result.stdout


# --- planning


def test_each_job_goes_on_from_the_largest_smaller_budget_that_is_finished(
    study: Study, shape: Shape
) -> None:
    engine = local(stack=2)
    budgets = {steps: shapes.changed(shape, steps=steps) for steps in (20, 30, 40, 60)}
    first, second = (planned(study, [budgets[steps]], engine=engine) for steps in (20, 40))
    assert second.continued == 0  # nothing is finished yet
    run(first)
    second = planned(study, [budgets[40]], engine=engine)
    assert second.continued == 4
    assert {job.continues for job in second.new} == {job.id for job in first.new}
    second.start(["sweep"])  # planned, and not run
    third = planned(study, [budgets[60]], engine=engine)
    assert {job.continues for job in third.new} == {job.id for job in first.new}
    run(second)
    third = planned(study, [budgets[60]], engine=engine)
    assert {job.continues for job in third.new} == {job.id for job in second.new}
    assert [job.to_json()["continues"] for job in third.new] == [job.continues for job in third.new]
    fresh = planned(study, [budgets[30]], engine=engine)
    assert {job.continues for job in fresh.new} == {job.id for job in first.new}


def test_members_that_are_new_begin_beside_those_that_go_on(study: Study, shape: Shape) -> None:
    """More seeds and a longer budget at once, of which the jobs were stacked otherwise."""
    run(planned(study, [shape], seeds=2, engine=local(stack=3)))
    longer = planned(study, [shapes.changed(shape, steps=40)], seeds=3, engine=local(stack=2))
    assert longer.continued == 4
    assert sorted(
        (job.continues is not None, sorted({member.seed for member in job.members}))
        for job in longer.new
    ) == [(False, [2]), (True, [0]), (True, [1])]
    run(longer)
    members = read([study]).members
    assert len(members) == 6
    assert set(members["train.steps"]) == {40}


def test_members_that_did_not_go_on_are_left_behind(study: Study, shape: Shape) -> None:
    run(planned(study, [shape], seeds=2, engine=local(stack=4)))
    run(planned(study, [shapes.changed(shape, steps=40)], seeds=1, engine=local(stack=4)))
    members = read([study]).members
    assert set(members["seed"]) == {0}
    assert set(members["train.steps"]) == {40}


def test_rates_that_a_longer_budget_does_not_call_for_are_left_behind(
    resformer: Resformer,
) -> None:
    """The rounds are those of the study that had it from the start. The short budget suffices at
    the largest rate only, for two of three seeds; the long one at the rate below, for all.
    """
    words = [
        *("--study", "some", "model.depth=2", "model.residual=false", "model.width=16"),
        *("task.length=8", "task.symbols=8", "train.batch=16", "train.eval_sequences=32"),
        *("member.seed=2,13,36", "member.lr=auto", "engine.workers=1"),
        "train.compile=false",  # kernels round otherwise on other processors
    ]
    for budget in ("train.steps=160", "train.steps=320"):
        assert resformer("sweep", *words, budget).exit_code == 0
    assert resformer("sweep", *words, "train.steps=320", "--results", "direct").exit_code == 0
    study, direct = Path("results/some"), Path("direct/some")
    assert jobs_of(study, 320) == jobs_of(direct, 320)
    assert len(jobs_of(study, 160)) > len(jobs_of(study, 320))
    direct_report = json.loads(
        resformer("report", "some", "--results", "direct", "--format", "json").stdout
    )
    assert cells(report(resformer)) == cells(direct_report)
