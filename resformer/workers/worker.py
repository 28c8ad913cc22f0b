"""The loop of a worker: claim the next free job, train it from its last checkpoint, commit it."""

import contextlib
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NoReturn, final

from safetensors import SafetensorError
from safetensors.numpy import load, save

from resformer.errors import DiskError
from resformer.keys import Json
from resformer.numerics import process
from resformer.plan import jobs, provenance
from resformer.plan.jobs import Job
from resformer.store import checkpoints
from resformer.store.checkpoints import Checkpoint
from resformer.store.checks import Damaged
from resformer.store.claims import Claim, HeartbeatObserver, Lost
from resformer.store.queue import Queue
from resformer.store.study import Study
from resformer.store.tables import TableData
from resformer.text import exception_line, failure_line
from resformer.training.continuing import continued
from resformer.training.loop import Snapshot, Trained, Training
from resformer.training.progress import Progress
from resformer.workers import continuing
from resformer.workers.assignment import Assignment
from resformer.workers.continuing import Shorter, Unlike
from resformer.workers.events import Emit, Event, Kind
from resformer.workers.signals import Stop

_POLL_SECONDS, _LONGEST_POLL_SECONDS = 0.2, 5.0
"""Time between two polls of jobs that others hold: for each such job, and at most."""
_CHECKPOINT_SHARE = 20
"""Least time between two checkpoints, in times of writing one; it lengthens the interval asked for
by a factor of ten at most.
"""
_UNUSABLE = (KeyError, ValueError, TypeError, IndexError, RuntimeError, SafetensorError)
"""Errors of a checkpoint whose content is not that of a training."""


class _OtherEnvironment(Exception):
    """A checkpoint was made where bits may differ: the first difference."""


class _Released(Exception):
    """A stop was requested while a job was training; its checkpoint is on disk."""


def work(assignment: Assignment, *, worker: int, workers: int, emit: Emit, stop: Stop) -> None:
    """Run jobs of the assignment until each is finished or failed, by this worker or another, or a
    stop is requested.

    `worker` is the number of this one among `workers` that were started together. Raises DiskError
    when the disk takes no more.
    """
    study = Study(assignment.study)
    planned, observer = study.index(), HeartbeatObserver(assignment.lease_seconds)
    longest_poll = min(_LONGEST_POLL_SECONDS, observer.longest_pause / 2)
    if unplanned := [job_id for job_id in assignment.jobs if job_id not in planned]:
        raise DiskError(
            f"{study.path}: job {unplanned[0]} can no longer be read from the plan; "
            "it is planned anew"
        )
    queue = Queue(
        study,
        jobs=assignment.jobs,
        launch=assignment.launch,
        retries=assignment.retries,
        observer=observer,
        lane=worker % workers,
        lanes=workers,
    )
    seconds = 0.0
    while queue.left and not stop.wait(seconds):
        claim = queue.take()
        if claim is None:
            if queue.left and not seconds:
                emit(Event("waiting", worker, next(iter(queue.left))))
            seconds = min(_POLL_SECONDS * len(queue.left), longest_poll)
            continue
        seconds = 0.0
        if isinstance(claim, str):
            emit(Event("elsewhere", worker, claim))
            continue
        job_id = claim.job.name
        try:
            attempt = _Attempt(
                study=study,
                planned=planned[job_id],
                plan=planned,
                claim=claim,
                checkpoint_seconds=assignment.checkpoint_seconds,
                keep_checkpoint=assignment.keep_checkpoint,
                recompute=assignment.recompute,
                worker=worker,
                emit=emit,
                stop=stop,
            )
            if attempt.run():
                queue.settle(job_id)
        except Lost:
            emit(Event("left", worker, job_id))
        except _Released:
            return


@final
@dataclass(kw_only=True)
class _Attempt:
    """An attempt at a job by this worker."""

    study: Study
    planned: Json
    plan: Mapping[str, Json]
    """Every planned job by its id."""
    claim: Claim
    checkpoint_seconds: float
    keep_checkpoint: bool
    recompute: bool
    worker: int
    emit: Emit
    stop: Stop
    environment: dict[str, str] = field(default_factory=dict)
    """Facts that the job's bits depend on besides its settings."""
    latest: Progress | None = None
    shorter: Shorter | None = None
    """The job of a smaller budget from whose checkpoint this one can go on."""
    without_checkpoint: str = ""
    """The reason for a start if there is no checkpoint; "" if there is none to tell."""
    saved_at: float = field(default_factory=time.monotonic)
    saving_took: float = 0.0

    def run(self) -> bool:
        """Train the job and commit it; returns whether it has a result. An error ends the attempt,
        not the worker.
        """
        self._say("started")
        own_files: list[str] = []
        try:
            self.claim.begin(self.planned)
            job = jobs.from_json(self.planned)
            if job.id != self.planned["id"]:
                raise ValueError(f"the job that was planned is {job.id}")
            self.keep_checkpoint &= job.shape.train.begins_longer_ones
            own_files = provenance.own_files(job.shape)
            trained = self._settled_before(job) or self._trained(job)
            tables: dict[str, TableData] = {"runs": trained.runs, "curves": trained.curves}
            tables |= {"layers": trained.layers} if trained.layers else {}
            kept = self.keep_checkpoint and not trained.settled
            first = self.study.results.commit(
                self.claim,
                tables,
                trained.timing,
                _weights(trained, self.planned["members"]),
                checkpoint=job.shape.train.steps if kept else None,
            )
        except (_Released, Lost):
            raise
        except DiskError:
            if self.claim.lost() or self._finished_by_another():
                raise Lost from None
            with contextlib.suppress(DiskError):
                self.claim.leave()
            raise
        except Exception as error:
            if self.stop.requested():  # what stops a worker may first have stopped its compiler
                self._release()
            self.claim.fail(error, own_files)
            reason = self.study.failure(self.planned["id"])
            self._say("failed" if reason else "retried", reason or failure_line(error, own_files))
            return False
        kind: Kind = "finished" if first else "elsewhere"
        self.emit(Event(kind, self.worker, self.planned["id"], progress=self.latest))
        return True

    def _settled_before(self, job: Job) -> Trained | None:
        """The results that the members had within a smaller budget, if no longer one changes them;
        else None, and `shorter` is set if the job can go on from there.
        """
        if job.continues is None:
            return None
        try:
            shorter = continuing.shorter(self.study, self.plan.get(job.continues), job)
            results = shorter.results()
        except (Damaged, Unlike) as reason:
            self.without_checkpoint = str(reason)
            return None
        self.shorter = shorter
        self.without_checkpoint = (
            f"job {job.continues} of train.steps={shorter.steps} has no checkpoint that is whole"
        )
        return results

    def _trained(self, job: Job) -> Trained:
        """Train the members, all at once or as many as there is memory for."""
        chunk_size = len(job.members)
        while True:
            self.environment = provenance.environment(job.shape, job.recording, chunk_size)
            try:
                training = self._training(job, chunk_size)
                return training.run(self._progress, self._beat, self._spent)
            except (MemoryError, RuntimeError) as error:
                if chunk_size == 1 or not process.out_of_memory(error):
                    raise
            process.release_memory()
            chunk_size = -(-chunk_size // 2)
            self._say("halved", f"out of memory; members at once: {chunk_size}")

    def _finished_by_another(self) -> bool:
        """Return whether another attempt has a result, so that a disk error of this one no longer
        matters.
        """
        try:
            return self.study.results.read(self.planned["id"], []).attempt != self.claim.attempt
        except Damaged:
            return False

    def _training(self, job: Job, chunk_size: int) -> Training:
        """The training from the best checkpoint of this attempt (if it ran out of memory) or of
        earlier ones, or of a job with a smaller budget, else from its start.
        """
        refused = []
        for checkpoint, shorter in self._checkpoints():
            try:
                training = self._resumed(job, checkpoint, shorter, chunk_size)
            except _OtherEnvironment as difference:
                reason = f"was made with {difference}"
            except _UNUSABLE as error:
                reason = f"cannot be used: {exception_line(error)}"
            else:
                budget = f" of train.steps={shorter.steps}" if shorter is not None else ""
                self._say("resumed", f"from step {checkpoint.step}{budget}")
                return training
            refused.append(f"the checkpoint of step {checkpoint.step} {reason}")
        if reason := next(iter(refused), self.without_checkpoint):
            self._say("restarted", reason)
        return Training(
            job.shape,
            job.members,
            chunk_size=chunk_size,
            recording=job.recording,
            recompute=self.recompute,
        )

    def _checkpoints(self) -> Iterator[tuple[Checkpoint, Shorter | None]]:
        """Checkpoints of this job, then those of the one with a smaller budget, the furthest
        first.
        """
        for checkpoint in checkpoints.best_first(self.claim.job):
            yield checkpoint, None
        if self.shorter is not None:
            for checkpoint in self.shorter.checkpoints():
                yield checkpoint, self.shorter

    def _resumed(
        self, job: Job, checkpoint: Checkpoint, shorter: Shorter | None, chunk_size: int
    ) -> Training:
        """The training of a checkpoint; _OtherEnvironment if it was made in another one."""
        facts, here = dict(checkpoint.facts), self.environment
        then = dict(facts.pop("bits"))
        for name in {**then, **here}:
            if then.get(name) != here.get(name):
                raise _OtherEnvironment(f"{name} {then.get(name)}, this is {here.get(name)}")
        snapshot = Snapshot(step=checkpoint.step, arrays=load(checkpoint.arrays), facts=facts)
        if shorter is not None:
            snapshot = continued(snapshot, shorter.indices, job.shape.train)
        return Training.resumed(
            job.shape,
            job.members,
            snapshot,
            chunk_size=chunk_size,
            recording=job.recording,
            recompute=self.recompute,
        )

    def _progress(self, now: Progress) -> None:
        self.latest = now
        self.emit(Event("progress", self.worker, self.planned["id"], progress=now))

    def _beat(self, training: Training) -> None:
        """Between two steps, advance the heartbeat and write a checkpoint where one is due."""
        self.claim.beat()
        stopping, interval = self.stop.requested(), self.checkpoint_seconds
        pause = min(max(interval, _CHECKPOINT_SHARE * self.saving_took), 10 * interval)
        if stopping or time.monotonic() - self.saved_at >= pause:
            self._save(training)
        if stopping:
            self._release()

    def _spent(self, training: Training) -> None:
        """Once the budget is used up, write the checkpoint from which a longer one goes on."""
        if self.keep_checkpoint:
            self._save(training)

    def _release(self) -> NoReturn:
        self.claim.leave()
        self._say("left")
        raise _Released

    def _save(self, training: Training) -> None:
        began, snapshot = time.monotonic(), training.snapshot()
        checkpoint = Checkpoint(
            step=snapshot.step,
            arrays=save(snapshot.arrays),
            facts={**snapshot.facts, "bits": self.environment},
        )
        checkpoints.save(self.claim, checkpoint)
        self.saved_at = time.monotonic()
        self.saving_took = self.saved_at - began

    def _say(self, kind: Kind, detail: str = "") -> None:
        self.emit(Event(kind, self.worker, self.planned["id"], detail=detail))


def _weights(trained: Trained, members: list[Json]) -> dict[str, bytes]:
    """The file of the kept weights by its name, with the member of each row in the metadata; empty
    if none are kept.
    """
    if not trained.weights:
        return {}
    return {"weights.safetensors": save(trained.weights, {"members": json.dumps(members)})}
