"""The loop of whoever runs jobs: claim the next one that nobody holds, train it from where it was
left, commit it.
"""

import contextlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NoReturn, final

from safetensors import SafetensorError
from safetensors.numpy import load, save

from resformer.errors import DiskError
from resformer.numerics import process
from resformer.plan import jobs, provenance
from resformer.plan.jobs import Job, Json
from resformer.store import checkpoints
from resformer.store.checkpoints import Checkpoint
from resformer.store.checks import Damaged
from resformer.store.claims import Claim, HeartbeatObserver, Lost
from resformer.store.queue import Queue
from resformer.store.study import Study
from resformer.store.tables import Columns
from resformer.text import exception_line
from resformer.training.loop import Snapshot, Trained, Training
from resformer.training.progress import Progress
from resformer.workers.assignment import Assignment
from resformer.workers.events import Event, Kind

_POLL_SECONDS, _LONGEST_POLL_SECONDS = 0.2, 5.0
"""Between two looks at what others hold: for each such job, and at most."""
_MOST_OF_THE_TIME = 20
"""Between two checkpoints lies at least so many times what writing one took, up to ten times what
was asked for.
"""

Tell = Callable[[Event], None]
Stop = Callable[[float], bool]
"""Whether to stop; waits up to so many seconds for the word."""


class _Elsewhere(Exception):
    """A checkpoint was made where the bits may be others: what differs."""


class _Stopped(Exception):
    """The word to stop came while a job was training; where it stood is on disk."""


def work(assignment: Assignment, worker: int, workers: int, tell: Tell, stop: Stop) -> None:
    """Run jobs of the assignment until each is finished or failed, by this worker or another, or
    `stop` says so.

    It is one of so many workers that were started together. Raises DiskError when the disk takes no
    more.
    """
    study = Study(assignment.study)
    planned, observer = study.index(), HeartbeatObserver(assignment.lease_seconds)
    if unplanned := [job_id for job_id in assignment.jobs if job_id not in planned]:
        raise DiskError(
            f"{study.path}: job {unplanned[0]} can no longer be read from the plan; it is planned "
            "anew"
        )
    queue = Queue(
        study,
        assignment.jobs,
        assignment.launch,
        assignment.retries,
        observer,
        worker % workers,
        workers,
    )
    seconds = 0.0
    while queue.left and not stop(seconds):
        claim = queue.take()
        if claim is None:
            if queue.left and not seconds:
                tell(Event("waiting", worker, next(iter(queue.left))))
            seconds = min(_POLL_SECONDS * len(queue.left), _LONGEST_POLL_SECONDS)
            continue
        seconds = 0.0
        if isinstance(claim, str):
            tell(Event("elsewhere", worker, claim))
            continue
        job_id = claim.job.name
        try:
            attempt = _Attempt(
                study, planned[job_id], claim, assignment.checkpoint_seconds, worker, tell, stop
            )
            if attempt.run():
                queue.settle(job_id)
        except Lost:
            tell(Event("left", worker, job_id))
        except _Stopped:
            return


@final
@dataclass
class _Attempt:
    """One attempt at a job, by this worker."""

    study: Study
    planned: Json
    claim: Claim
    checkpoint_seconds: float
    worker: int
    tell: Tell
    stop: Stop
    bits: dict[str, str] = field(default_factory=dict)
    """What its bits depend on besides its settings."""
    latest: Progress | None = None
    saved_at: float = field(default_factory=time.monotonic)
    saving_took: float = 0.0

    def run(self) -> bool:
        """Train the job and commit it; whether it has a result now. An error ends the attempt, not
        the worker.
        """
        self._say("started")
        try:
            self.claim.begin(self.planned)
            job = jobs.from_json(self.planned)
            if job.id != self.planned["id"]:
                raise ValueError(f"the job that was planned is {job.id}")
            trained = self._trained(job)
            tables: dict[str, Columns] = {"runs": trained.runs, "curves": trained.curves}
            tables |= {"layers": trained.layers} if trained.layers else {}
            first = self.study.commit(
                self.claim, tables, trained.timing, _weights(trained, self.planned["members"])
            )
        except (_Stopped, Lost):
            raise
        except DiskError:
            if self.claim.lost() or self._finished_by_another():
                raise Lost from None
            with contextlib.suppress(DiskError):
                self.claim.leave()
            raise
        except Exception as error:
            if self.stop(0.0):  # what stops a worker may first have stopped its compiler
                self._leave()
            self.claim.fail(error)
            reason = self.study.failure(self.planned["id"])
            self._say("failed" if reason else "retried", reason or exception_line(error))
            return False
        self.tell(
            Event(
                "finished" if first else "elsewhere",
                self.worker,
                self.planned["id"],
                progress=self.latest,
            )
        )
        return True

    def _trained(self, job: Job) -> Trained:
        """What became of its members: all at once, or as many as there is memory for."""
        chunk_size = len(job.members)
        while True:
            self.bits = provenance.bits(job.shape, job.recording, chunk_size)
            try:
                return self._taken_up(job, chunk_size).run(self._progress, self._beat)
            except (MemoryError, RuntimeError) as error:
                if chunk_size == 1 or not process.out_of_memory(error):
                    raise
            process.release_memory()
            chunk_size = -(-chunk_size // 2)
            self._say("halved", f"out of memory; members at once: {chunk_size}")

    def _finished_by_another(self) -> bool:
        """Whether there is a result of another attempt: what the disk did with this one no longer
        matters.
        """
        try:
            return self.study.verified(self.planned["id"], [])[0] != self.claim.attempt
        except Damaged:
            return False

    def _taken_up(self, job: Job, chunk_size: int) -> Training:
        """The training from where this attempt, short of memory, or earlier ones left it, or from
        its start.
        """
        refused = ""
        for found in checkpoints.best_first(self.claim):
            try:
                training = self._resumed(job, found, chunk_size)
            except (
                KeyError,
                ValueError,
                TypeError,
                IndexError,
                RuntimeError,
                SafetensorError,
            ) as error:
                reason = exception_line(error)
                refused = refused or f"the checkpoint of step {found.step} cannot be used: {reason}"
            except _Elsewhere as difference:
                refused = (
                    refused or f"the checkpoint of step {found.step} was made with {difference}"
                )
            else:
                self._say("resumed", f"from step {found.step}")
                return training
        if refused:
            self._say("restarted", refused)
        return Training(job.shape, job.members, chunk_size=chunk_size, recording=job.recording)

    def _resumed(self, job: Job, found: Checkpoint, chunk_size: int) -> Training:
        """The training that was put away here; _Elsewhere if it was under other circumstances."""
        facts, here = dict(found.facts), self.bits
        made = dict(facts.pop("bits"))
        for name in {**made, **here}:
            if made.get(name) != here.get(name):
                raise _Elsewhere(f"{name} {made.get(name)}, this is {here.get(name)}")
        return Training.resumed(
            job.shape,
            job.members,
            Snapshot(found.step, load(found.arrays), facts),
            chunk_size=chunk_size,
            recording=job.recording,
        )

    def _progress(self, now: Progress) -> None:
        self.latest = now
        self.tell(Event("progress", self.worker, self.planned["id"], progress=now))

    def _beat(self, training: Training) -> None:
        """Between two steps: say that this worker lives, and put the training away where it is time
        to.
        """
        self.claim.beat()
        leaving = self.stop(0.0)
        pause = sorted(
            (
                self.checkpoint_seconds,
                _MOST_OF_THE_TIME * self.saving_took,
                10 * self.checkpoint_seconds,
            )
        )[1]
        if leaving or time.monotonic() - self.saved_at >= pause:
            self._save(training)
        if leaving:
            self._leave()

    def _leave(self) -> NoReturn:
        self.claim.leave()
        self._say("left")
        raise _Stopped

    def _save(self, training: Training) -> None:
        began, snapshot = time.monotonic(), training.snapshot()
        facts = {**snapshot.facts, "bits": self.bits}
        checkpoints.save(self.claim, Checkpoint(snapshot.step, save(snapshot.arrays), facts))
        self.saved_at = time.monotonic()
        self.saving_took = self.saved_at - began

    def _say(self, kind: Kind, detail: str = "") -> None:
        self.tell(Event(kind, self.worker, self.planned["id"], detail=detail))


def _weights(trained: Trained, members: list[Json]) -> dict[str, bytes]:
    """The file of the weights that were kept, whose metadata say whose they are, row by row; none
    if none were.
    """
    if not trained.weights:
        return {}
    return {"weights.safetensors": save(trained.weights, {"members": json.dumps(members)})}
