"""Worker processes on this machine."""

import math
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Literal, final

from resformer.engines.base import Assignment, Engine
from resformer.events import Event
from resformer.process import prepare
from resformer.store.study import Study
from resformer.work import work

_GRACE_SECONDS = 5.0


@final
@dataclass(frozen=True)
class Local(Engine):
    """Workers from a fork server that has only imported torch, one thread each; macOS spawns instead.

    A worker's death costs its job only: the job is tried again, and another worker takes its place. A worker leaves
    when its pipe to the supervisor closes, so none outlives it.
    """

    def count(self, jobs: Sequence[str], device: str) -> int:
        """One per core this process may use, or one on a GPU; never more than jobs."""
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return min(self.workers or (1 if device == "cuda" else cores), len(jobs))

    def run(self, assignment: Assignment, workers: int, tell: Callable[[Event], None]) -> None:
        """Run the jobs with so many workers. Whatever is raised here, no worker is left behind."""
        context = _context()
        crew: list[_Worker] = []
        most_starts = workers + len(assignment.jobs) * (assignment.retries + 1)
        starts, settled_at = 0, math.inf
        try:
            while starts < workers:
                crew.append(_Worker.start(context, assignment, starts))
                starts += 1
            while crew and time.monotonic() < settled_at + _GRACE_SECONDS:
                handles = [handle for worker in crew for handle in (worker.pipe, worker.process.sentinel)]
                wait(handles, timeout=1.0)
                for worker in list(crew):
                    worker.drain(tell)
                    if worker.process.is_alive():
                        continue
                    worker.drain(tell)
                    crew.remove(worker)
                    if worker.process.exitcode == 0:
                        # It found every job finished or failed: whoever still works has lost its job.
                        settled_at = min(settled_at, time.monotonic())
                        continue
                    worker.mourn(assignment, tell)
                    if starts == most_starts:
                        raise RuntimeError("workers die faster than they finish jobs")
                    crew.append(_Worker.start(context, assignment, worker.number))
                    starts += 1
        finally:
            _dismiss(crew)


@final
@dataclass
class _Worker:
    """The supervisor's side of a worker process."""

    number: int
    process: BaseProcess
    pipe: Connection
    job: str | None = None
    """What it is working on."""

    @classmethod
    def start(cls, context: Any, assignment: Assignment, number: int) -> "_Worker":
        ours, theirs = context.Pipe()
        process = context.Process(target=_main, args=(assignment, number, theirs), name=f"resformer-{number}")
        process.start()
        theirs.close()
        return cls(number, process, ours)

    def drain(self, tell: Callable[[Event], None]) -> None:
        """Pass on what the worker has said."""
        try:
            while self.pipe.poll():
                event: Event = self.pipe.recv()
                self.job = event.job if event.kind in ("started", "progress") else None
                tell(event)
        except (EOFError, ConnectionResetError):
            return

    def mourn(self, assignment: Assignment, tell: Callable[[Event], None]) -> None:
        """Say what became of the job of a worker that died."""
        if self.job is not None:
            study, died = Study(assignment.study), f"worker {self.number} died (exit code {self.process.exitcode})"
            if study.has_result(self.job):
                tell(Event("finished", self.number, self.job))
            else:
                kind: Literal["failed", "retried"] = "failed" if study.failure(self.job) else "retried"
                tell(Event(kind, self.number, self.job, detail=died))


def _dismiss(crew: Sequence[_Worker]) -> None:
    """Let the workers go: first by closing their pipes, then by force."""
    for worker in crew:
        worker.pipe.close()
    deadline = time.monotonic() + _GRACE_SECONDS
    for worker in crew:
        worker.process.join(max(0.0, deadline - time.monotonic()))
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()


def _context() -> Any:
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "resformer.train"])
    # A Ctrl-C while the server imports torch is for us alone. The tracker starts first: its start unblocks SIGINT.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return context


def _main(assignment: Assignment, number: int, pipe: Connection) -> None:
    """A worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    prepare()

    def stop(seconds: float) -> bool:
        return pipe.poll(seconds)

    try:
        work(assignment, number, pipe.send, stop)
    except (BrokenPipeError, ConnectionResetError):
        return
