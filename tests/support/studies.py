"""A study that is written by hand instead of run, with outcomes that are known."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from resformer.keys import Json
from resformer.model.shape import RESULTS_ONLY, Member, Recording, Shape
from resformer.plan.jobs import Job
from resformer.reporting.analysis.summary import summarise
from resformer.reporting.schema import Report
from resformer.reporting.serial import to_json
from resformer.residuals.add import Add
from resformer.results.members import Findings, read
from resformer.stats import Floats
from resformer.store import claims
from resformer.store.claims import Claim, HeartbeatObserver
from resformer.store.study import Study
from resformer.tasks.copy import Copy
from resformer.training.outcome import Outcome, Record, curves, runs
from support import shapes

BUDGET = 100
"""Steps of the members of a cell, evaluated every 10."""
STALLED = "stalled"
SEEDS = [Member(seed=seed, lr=3e-3) for seed in range(5)]
_VERSIONS = {"resformer": "0.1.0", "torch": "2.13.0"}


def shape(depth: int, residual: Any, norm: str, **changes: Any) -> Shape:
    """The shape of a job: copy of 8 tokens of 16 symbols at width 32, within 600 steps."""
    small = shapes.shape(
        task=Copy(length=8, symbols=16),
        width=32,
        heads=4,
        hidden=128,
        steps=600,
        batch=32,
        warmup_steps=50,
        eval_every=10,
        eval_sequences=128,
    )
    return shapes.changed(small, depth=depth, residual=residual, norm=norm, **changes)


MODEL = shape(1, Add(), "post").model


@dataclass(frozen=True)
class Life:
    """A member's training: its held-out loss at steps 0, 10, … or `steps`, and when it solved or
    diverged.
    """

    losses: Sequence[float]
    solved: int | None = None
    diverged: int | None = None
    norm: float = 1.0
    """Its gradient norm at every step."""
    accuracy: float = 0.5
    """Its held-out accuracy at every evaluation."""
    steps: Sequence[int] | None = None

    @property
    def outcome(self) -> Outcome:
        if self.solved is not None:
            return "solved"
        return "unsolved" if self.diverged is None else "diverged"

    def record(self) -> Record:
        return Record(
            steps=list(self.steps or range(0, 10 * len(self.losses), 10)),
            losses=list(self.losses),
            accuracies=[self.accuracy] * len(self.losses),
            outcome=self.outcome,
            solved_step=self.solved,
            diverged_step=self.diverged,
        )


def solved(step: int, last: float = 0.1) -> Life:
    """A member that solves at this step, and leaves at the next evaluation with this loss."""
    return Life(
        [3.0 * (last / 3.0) ** (at / (step + 10)) for at in range(0, step + 11, 10)], solved=step
    )


def unsolved(last: float = 1.0) -> Life:
    """A member that trains to the end of its budget, down to this loss."""
    return Life([3.0 * (last / 3.0) ** (at / BUDGET) for at in range(0, BUDGET + 1, 10)])


BROKEN = Life([3.0, 5.0, math.nan], diverged=20, norm=math.nan)
AT_ONCE = Life([math.nan], diverged=0)


def _life(outcome: Any, budget: int) -> Life:
    """The life of which only the end is known: the step at which it solved, its last loss, stalled
    or diverged; evaluated at the start and the end.
    """
    if isinstance(outcome, int):
        return Life([3.0, 0.01], solved=outcome, accuracy=1.0, steps=[0, outcome + 10])
    if outcome == "diverged":
        return Life([3.0, math.nan], diverged=30, accuracy=0.2, steps=[0, 30])
    last = 2.77 if outcome == STALLED else outcome
    return Life([3.0, last], accuracy=0.2, steps=[0, budget])


class WrittenStudy:
    """A study that is written instead of run, member by member.

    The cells of `cell` are of the shape given, with a budget of 100 steps.
    """

    def __init__(self, results: Path, name: str = "made", shape: Shape | None = None) -> None:
        self.study = Study(results / name)
        self.shape = shapes.changed(
            shape or shapes.shape(), steps=BUDGET, eval_every=10, norm="post"
        )
        self.jobs: list[tuple[Job, list[Life]]] = []
        self.training_loss: dict[str, Floats] = {}
        """Training loss of every step and member, (G, P), by job; else 1."""
        self.layers: dict[str, Mapping[str, Any]] = {}
        """Columns of the layers of probed members, by job."""

    def job(
        self,
        shape: Shape,
        members: Sequence[Member],
        outcomes: Sequence[Any],
        recording: Recording = RESULTS_ONLY,
        continues: Job | None = None,
    ) -> Job:
        """Outcomes by member: a step (solved there), a loss (unsolved), "stalled", "diverged"."""
        lives = [_life(outcome, shape.train.steps) for outcome in outcomes]
        job = Job(
            shape=shape,
            members=tuple(members),
            recording=recording,
            continues=continues.id if continues else None,
        )
        self.jobs.append((job, lives))
        return job

    def cell(self, lives: Sequence[Life] | Mapping[float, Sequence[Life]], **changes: Any) -> None:
        """A seed per life, at one learning rate or by learning rate; of the study's shape with
        these changes.
        """
        by_rate = lives if isinstance(lives, Mapping) else {0.01: lives}
        members = [
            Member(seed=seed, lr=lr) for lr, seeds in by_rate.items() for seed in range(len(seeds))
        ]
        job = Job(shape=shapes.changed(self.shape, **changes), members=tuple(members))
        self.jobs.append((job, [life for seeds in by_rate.values() for life in seeds]))

    def write(
        self,
        finished: int | None = None,
        words: Sequence[str] = ("resformer", "sweep"),
        versions: Mapping[str, str] = _VERSIONS,
        fingerprint: Mapping[str, str] | None = None,
        in_plan: Callable[[Json], Json] = lambda job: job,
    ) -> Study:
        """Plan all jobs and commit the results of the first `finished`, or of all; `in_plan` makes
        a line of the plan of a job's JSON.
        """
        record = {
            "excluded": [{"settings": {"model.norm": "post"}, "reason": "does not go"}],
            "engine": {"retries": 0},
            "asked": list(words),
            "versions": dict(versions),
            "fingerprint": dict(fingerprint or {}),
        }
        launch = self.study.launch(record, [in_plan(job.to_json()) for job, _ in self.jobs])
        for job, lives in self.jobs[:finished]:
            claim = claims.take(self.study.job(job.id), launch, 0, HeartbeatObserver(60.0))
            assert isinstance(claim, Claim)
            records = [life.record() for life in lives]
            norm_GP = np.tile([life.norm for life in lives], (job.shape.train.steps, 1))
            loss_GP = self.training_loss.get(job.id, np.ones_like(norm_GP))
            tables = {
                "runs": runs(job.shape, job.members, records),
                "curves": curves(job.members, records, np.stack([loss_GP, norm_GP])),
            }
            if job.id in self.layers:
                tables["layers"] = {
                    name: np.asarray(values) for name, values in self.layers[job.id].items()
                }
            full = {"members": 5, "steps": 10, "seconds": 0.1}
            slow = {"members": 1, "steps": 10, "seconds": 9.0}
            self.study.results.commit(
                claim, tables, {"seconds": 3.0, "stretches": [full, full, slow]}
            )
        return self.study

    def findings(
        self, words: Sequence[str] = ("resformer", "sweep"), versions: Mapping[str, str] = _VERSIONS
    ) -> Findings:
        """Write it, and read what was written."""
        return read([self.write(words=words, versions=versions)])

    def report(self, finished: int | None = None) -> Report:
        """Write the study and report it."""
        return summarise(read([self.write(finished)]))

    def summary(self, finished: int | None = None) -> dict[str, Any]:
        """The JSON of its report."""
        return to_json(self.report(finished))


def cell(summary: dict[str, Any], **values: Any) -> dict[str, Any]:
    """The cell of a report that has these values."""
    (match,) = [
        cell
        for cell in summary["cells"]
        if all(cell[key] == value for key, value in values.items())
    ]
    return match
