"""The loop of whoever runs jobs: claim the next one that nobody holds, train it, commit it."""

import json
from collections.abc import Callable

from safetensors.numpy import save

from resformer import jobs
from resformer.engines.base import Assignment
from resformer.events import Event, Progress
from resformer.jobs import Json
from resformer.store import claims, files
from resformer.store.claims import Claim, Watch
from resformer.store.study import Study, summary
from resformer.train import Trained, train

_POLL_SECONDS = 0.2

Tell = Callable[[Event], None]
Stop = Callable[[float], bool]
"""Whether to stop; waits up to so many seconds for the word."""


class _Stopped(Exception):
    """The word to stop came while a job was training."""


def work(assignment: Assignment, worker: int, tell: Tell, stop: Stop) -> None:
    """Run jobs of the assignment until each is finished or failed, by this worker or another, or `stop` says so."""
    study = Study(assignment.study)
    planned = study.planned()
    watch = Watch(assignment.lease_seconds)
    left = list(assignment.jobs)
    seconds, idle = 0.0, False
    while left:
        waiting, acted = [], False
        for job_id in left:
            if stop(seconds):
                return
            seconds = 0.0
            if study.has_result(job_id):
                continue
            claim = claims.take(study.job(job_id), assignment.launch, assignment.retries, watch)
            if claim == "exhausted":
                continue
            if isinstance(claim, Claim) and not study.has_result(job_id):
                acted = True
                try:
                    _attempt(study, planned[job_id], claim, worker, tell, stop)
                except _Stopped:
                    return
            waiting.append(job_id)
        if waiting and not acted and not idle:
            tell(Event("waiting", worker, waiting[0]))
        idle = not acted
        seconds = _POLL_SECONDS if idle else 0.0
        left = waiting


def _attempt(study: Study, planned: Json, claim: Claim, worker: int, tell: Tell, stop: Stop) -> None:
    """Train one job and commit it; an error ends the attempt, not the worker."""
    latest: Progress | None = None

    def progress(now: Progress) -> None:
        nonlocal latest
        latest = now
        tell(Event("progress", worker, planned["id"], progress=now))

    def beat() -> None:
        claim.beat()
        if stop(0.0):
            raise _Stopped

    tell(Event("started", worker, planned["id"]))
    try:
        files.create(claim.job / "job.json", json.dumps(planned, indent=1).encode())
        job = jobs.from_json(planned)
        trained = train(job.shape, job.members, progress, beat)
        others = _weights(trained, planned["members"])
        first = study.commit(claim, {"runs": trained.runs, "curves": trained.curves}, trained.timing, others)
    except (_Stopped, BrokenPipeError, ConnectionResetError):
        raise _Stopped from None
    except Exception as error:
        study.fail(claim, error)
        reason = study.failure(planned["id"])
        tell(Event("failed" if reason else "retried", worker, planned["id"], detail=reason or summary(error)))
    else:
        if first:
            tell(Event("finished", worker, planned["id"], progress=latest))


def _weights(trained: Trained, members: list[Json]) -> dict[str, bytes]:
    """The file of the weights that were kept, whose metadata say whose they are, row by row; none if none were."""
    if not trained.weights:
        return {}
    return {"weights.safetensors": save(trained.weights, {"members": json.dumps(members)})}
