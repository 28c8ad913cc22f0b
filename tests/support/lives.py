"""A study that is written by hand instead of run, with the curves of every member."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from resformer.model.shape import NO_PROBE, Member, Shape
from resformer.plan.jobs import Job
from resformer.residuals.add import Add
from resformer.results.members import Findings, read
from resformer.store import claims
from resformer.store.claims import Claim, HeartbeatObserver
from resformer.store.study import Study
from resformer.training.outcome import Record, curves, runs

BUDGET = 100
_VERSIONS = {"resformer": "0.1.0", "torch": "2.13.0"}


@dataclass(frozen=True)
class Life:
    """How a member trained: its held-out loss at steps 0, 10, …, and when it solved or diverged."""

    losses: Sequence[float]
    solved: int | None = None
    diverged: int | None = None
    norm: float = 1.0


def solved(step: int, last: float = 0.1) -> Life:
    """It solves at this step, and leaves at the next evaluation with this loss."""
    return Life(
        [3.0 * (last / 3.0) ** (at / (step + 10)) for at in range(0, step + 11, 10)], solved=step
    )


def unsolved(last: float = 1.0) -> Life:
    return Life([3.0 * (last / 3.0) ** (at / BUDGET) for at in range(0, BUDGET + 1, 10)])


BROKEN = Life([3.0, 5.0, math.nan], diverged=20, norm=math.nan)
AT_ONCE = Life([math.nan], diverged=0)


class Lives:
    """A study that is written instead of run, each member with its whole curve."""

    def __init__(self, results: Path, shape: Shape, name: str = "lived") -> None:
        self.study = Study(results / name)
        train = dataclasses.replace(shape.train, steps=BUDGET, eval_every=10)
        self.shape = dataclasses.replace(
            shape, train=train, model=dataclasses.replace(shape.model, norm="post")
        )
        self.jobs: list[tuple[Job, list[Life]]] = []

    def cell(
        self,
        lives: Sequence[Life] | Mapping[float, Sequence[Life]],
        *,
        residual: Any = None,
        task: Any = None,
        **model: Any,
    ) -> None:
        """A seed per life, at one learning rate or by learning rate; `batch` and `steps` are
        settings of training.
        """
        train = {name: model.pop(name) for name in ("batch", "steps") if name in model}
        where = Shape(
            task or self.shape.task,
            dataclasses.replace(self.shape.model, **model),
            residual or Add(),
            dataclasses.replace(self.shape.train, **train),
            NO_PROBE,
            "cpu",
        )
        by_rate = lives if isinstance(lives, Mapping) else {0.01: lives}
        members = [Member(seed, lr) for lr, found in by_rate.items() for seed in range(len(found))]
        self.jobs.append(
            (Job(where, tuple(members)), [life for found in by_rate.values() for life in found])
        )

    def findings(
        self, asked: Sequence[str] = ("resformer", "sweep"), versions: Mapping[str, str] = _VERSIONS
    ) -> Findings:
        record = {
            "excluded": [],
            "engine": {"retries": 0},
            "asked": list(asked),
            "versions": dict(versions),
        }
        launch = self.study.launch(record, [job.to_json() for job, _ in self.jobs])
        for job, lives in self.jobs:
            claim = claims.take(self.study.job(job.id), launch, 0, HeartbeatObserver(60.0))
            assert isinstance(claim, Claim)
            records = [_recorded(life) for life in lives]
            norm_SP = np.tile([life.norm for life in lives], (BUDGET, 1))
            tables = {
                "runs": runs(job.shape, job.members, records),
                "curves": curves(job.members, records, np.ones(norm_SP.shape), norm_SP),
            }
            self.study.commit(claim, tables, {"seconds": 1.0, "stretches": []})
        return read([self.study])


def _recorded(life: Life) -> Record:
    steps = list(range(0, 10 * len(life.losses), 10))
    outcome: Any = (
        "solved"
        if life.solved is not None
        else "diverged"
        if life.diverged is not None
        else "unsolved"
    )
    return Record(steps, list(life.losses), [0.5] * len(steps), outcome, life.solved, life.diverged)
