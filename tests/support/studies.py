"""A study that is written by hand instead of run, with outcomes that are known."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from resformer.model.settings import ModelSettings
from resformer.model.shape import NO_PROBE, Member, Shape, TrainSettings
from resformer.plan.jobs import Job
from resformer.reporting.analysis.summary import summarise
from resformer.residuals.add import Add
from resformer.results.members import read
from resformer.store import claims
from resformer.store.claims import Claim, HeartbeatObserver
from resformer.store.study import Study
from resformer.tasks.copy import Copy

STALLED = "stalled"


def shape(depth: int, residual: Any, norm: str, **train: Any) -> Shape:
    settings = TrainSettings(
        600, 32, 50, 0.9, 0.98, 1e-8, 0.0, 1.0, 10, 128, 0.99, 5, True, False, "fp32", False
    )
    model = ModelSettings(depth, 32, 4, 128, "relu", "causal", norm, "both")
    return Shape(
        Copy(8, 16), model, residual, dataclasses.replace(settings, **train), NO_PROBE, "cpu"
    )


class Made:
    """A study that is written instead of run."""

    def __init__(self, results: Path, name: str = "made") -> None:
        self.study = Study(results / name)
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
            claim = claims.take(self.study.job(job.id), launch, 0, HeartbeatObserver(60.0))
            assert isinstance(claim, Claim)
            full = {"members": 5, "steps": 10, "seconds": 0.1}
            timing = {
                "seconds": 3.0,
                "stretches": [full, full, {"members": 1, "steps": 10, "seconds": 9.0}],
            }
            self.study.commit(
                claim, {"runs": runs(job, outcomes), "curves": curves(job, outcomes)}, timing
            )
        return self.study

    def summary(self, finished: int | None = None) -> dict[str, Any]:
        """Write it, and the report of it."""
        return summarise(read([self.write(finished)]))


def runs(job: Job, outcomes: list[Any]) -> dict[str, list[Any]]:
    solved = [outcome if isinstance(outcome, int) else None for outcome in outcomes]
    losses = [
        {"stalled": 2.77, "diverged": float("nan")}.get(outcome, 0.01)
        if not isinstance(outcome, float)
        else outcome
        for outcome in outcomes
    ]
    named = [
        "solved" if isinstance(o, int) else "diverged" if o == "diverged" else "unsolved"
        for o in outcomes
    ]
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
        "loss": np.tile([np.nan, 1.0], count),
        "gradient_norm": np.tile([np.nan, 0.5], count),
        "held_out_loss": np.tile([3.0, 1.0], count),
        "held_out_accuracy": np.tile([0.1, 0.9], count),
    }


MODEL = shape(1, Add(), "post").model
SEEDS = [Member(seed, 3e-3) for seed in range(5)]


def cell(summary: dict[str, Any], **wanted: Any) -> dict[str, Any]:
    (found,) = [
        cell
        for cell in summary["cells"]
        if all(cell[key] == value for key, value in wanted.items())
    ]
    return found
