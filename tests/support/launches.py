"""Launches of small studies, and what the claims and attempts in their folders say."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from resformer.engines.base import Engine
from resformer.engines.local import Local
from resformer.model.shape import RESULTS_ONLY, Member, Recording, Shape
from resformer.store import files
from resformer.store.study import Study
from resformer.sweep import launch
from resformer.sweep.launch import Launch
from resformer.sweep.request import Request
from resformer.workers.assignment import Assignment
from resformer.workers.events import Emit, Event
from resformer.workers.signals import Stop
from resformer.workers.worker import work


def local(**changes: Any) -> Local:
    """The local engine: one worker, a member per job, no retries."""
    values = {"workers": 1, "stack": 1, "retries": 0, "lease_seconds": 60.0, "memory_gib": None}
    return Local(**{**values, **changes})


def requested(
    shapes: Sequence[Shape],
    *,
    seeds: int = 2,
    rates: Sequence[float] = (1e-3, 1e-2),
    engine: Engine | None = None,
    overrides: Sequence[str] = (),
    checkpoint_seconds: float = 60.0,
    keep_checkpoint: bool = True,
    recording: Recording = RESULTS_ONLY,
) -> Request:
    """A request for every seed at every learning rate of each shape."""
    members = [Member(seed=seed, lr=lr) for seed in range(seeds) for lr in rates]
    return Request(
        study="some",
        overrides=[list(overrides)],
        shapes=[(shape, members) for shape in shapes],
        engine=engine or local(),
        checkpoint_seconds=checkpoint_seconds,
        keep_checkpoint=keep_checkpoint,
        recordings=dict.fromkeys(shapes, recording),
    )


def planned(study: Study, shapes: Sequence[Shape], **changes: Any) -> Launch:
    """The launch of a request for these shapes in the study."""
    return launch.plan(requested(shapes, **changes), study)


def run(plan: Launch, emit: Emit = lambda event: None, workers: int = 2) -> None:
    """Start the launch and run its jobs by its engine."""
    assignment = plan.start(["sweep"])
    plan.request.engine.run(assignment, workers=workers, emit=emit, stop=Stop(lambda: False))


def work_alone(assignment: Assignment) -> list[Event]:
    """Run the jobs in this process; returns the events."""
    events: list[Event] = []
    stop = Stop(lambda: False)
    work(assignment, worker=0, workers=1, emit=events.append, stop=stop)
    return events


def record_of(path: Path) -> dict[str, Any]:
    """The record in a file that carries a checksum."""
    record = files.verify_checksum(path.read_bytes())
    assert record is not None
    return record


def pid(study: Study, job_id: str, attempt: int = 1) -> int:
    """The process that claimed an attempt."""
    claim = study.job(job_id) / f"claim-{attempt}"
    return int(json.loads(claim.read_text().split("\n")[0])["pid"])


def pids(study: Study) -> set[int]:
    """Every process that claimed a job."""
    return {
        pid(study, path.parent.name, int(path.name.removeprefix("claim-")))
        for path in study.path.glob("jobs/*/*/claim-*")
    }


def committed_attempt(study: Study, job_id: str) -> int:
    return int(json.loads((study.job(job_id) / "result.json").read_bytes())["attempt"])


def errors(study: Study) -> list[Path]:
    """The tracebacks of all attempts."""
    return sorted(study.path.glob("jobs/*/*/attempt-*/error.txt"))
