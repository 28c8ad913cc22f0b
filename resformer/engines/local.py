"""Worker processes on this machine."""

import contextlib
import errno
import math
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Literal, final

import torch

from resformer.engines.base import Engine
from resformer.errors import Stuck
from resformer.numerics.process import configure_worker
from resformer.store.study import Study
from resformer.workers.assignment import Assignment, own_launch
from resformer.workers.event_log import FinishedElsewhere
from resformer.workers.events import Emit, Event
from resformer.workers.resources import cores
from resformer.workers.signals import SIGNALS, Stop, Stopped, heeded
from resformer.workers.worker import work

_GRACE_SECONDS = 4.0
"""Time for a worker to checkpoint its training: a stop takes five seconds at most."""
_POLL_SECONDS = 0.2
_AT_WORK = ("started", "resumed", "restarted", "halved", "progress")
"""Events of a worker that holds a job."""
_SIGNALLED, _STUCK = 3, 4
"""Exit codes of a worker that exited at a signal, and of one that cannot proceed."""


@final
@dataclass(frozen=True)
class Local(Engine):
    """Workers from a fork server that has only imported torch, one thread each; macOS spawns
    instead.

    A worker's death costs its attempt only: the job is retried from its last checkpoint, by a
    replacement. A worker exits when its pipe to the supervisor closes, so that none outlives it.
    """

    def count(self, jobs: Sequence[str], device: str) -> int:
        """One per core this process may use, or one per GPU; never more than jobs."""
        return min(self.divided_among(device), len(jobs))

    def divided_among(self, device: str) -> int:
        """One per core this process may use, or one per GPU."""
        return self.workers or (_gpus() if device == "cuda" else cores())

    def sharers(self) -> int:
        """Number of workers that share a GPU, where each takes the next one."""
        return math.ceil((self.workers or 1) / _gpus())

    def run(self, assignment: Assignment, *, workers: int, emit: Emit, stop: Stop) -> None:
        """Run the jobs with so many workers. Whatever is raised here, no worker is left behind."""
        context = _context()
        running: list[_Worker] = []
        most_deaths = len(assignment.jobs) * (assignment.retries + 1) + workers
        deaths, settled_at, patience = 0, math.inf, _GRACE_SECONDS
        elsewhere = FinishedElsewhere(Study(assignment.study))

        def start(number: int) -> None:
            ours, theirs = context.Pipe()
            process = context.Process(
                target=_main,
                args=(assignment, self.memory_gib, number, workers, theirs),
                name=f"resformer-{number}",
            )
            try:
                process.start()
            except EOFError as error:  # of a fork server that could not fork
                raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN)) from error
            theirs.close()
            running.append(_Worker(number, process, ours))

        try:
            for number in range(workers):
                if not stop.requested():
                    start(number)
            while (
                running and time.monotonic() < settled_at + _GRACE_SECONDS and not stop.requested()
            ):
                wait([worker.pipe for worker in running], timeout=_POLL_SECONDS)
                elsewhere.poll(emit)
                for worker in [worker for worker in running if not worker.drain(emit)]:
                    running.remove(worker)
                    code = worker.exit_code()
                    if code == 0:
                        # All jobs are settled: a worker that still trains has lost its job.
                        settled_at = min(settled_at, time.monotonic())
                        continue
                    if code == _STUCK:
                        raise Stuck(worker.stuck)
                    if code != _SIGNALLED:
                        worker.reap(assignment, emit)
                        deaths += 1
                    if deaths < most_deaths and not stop.requested():
                        start(worker.number)
        except Stopped:
            patience = 0.0  # the second signal
            raise
        finally:
            stuck = _shut_down(running, patience)
            elsewhere.drain(emit)
        if stuck:
            raise Stuck(stuck)


@final
@dataclass
class _Worker:
    """The supervisor's side of a worker process."""

    number: int
    process: BaseProcess
    pipe: Connection
    job: str | None = None
    """The job that it holds."""
    stuck: str = ""
    """The reason why it cannot proceed; "" if there is none."""

    def drain(self, emit: Emit) -> bool:
        """Emit the events that wait in the pipe; returns whether the worker still runs.

        The end of its pipe says so, not the fork server, which may have been killed.
        """
        try:
            while self.pipe.poll():
                event: Event = self.pipe.recv()
                self.job = event.job if event.kind in _AT_WORK else None
                if event.kind == "stuck":
                    self.stuck = event.detail
                else:
                    emit(event)
        except (EOFError, ConnectionResetError):
            return False
        return True

    def exit_code(self) -> int | None:
        """The exit code of a worker that has ended."""
        self.process.join(_GRACE_SECONDS)
        return self.process.exitcode

    def reap(self, assignment: Assignment, emit: Emit) -> None:
        """Emit the outcome of the job that a worker held when it died."""
        if self.job is None:
            return
        study = Study(assignment.study)
        if study.results.has(self.job):
            emit(Event("finished", self.number, self.job))
            return
        kind: Literal["failed", "retried"] = "failed" if study.failure(self.job) else "retried"
        died = f"worker {self.number} {_died(self.process.exitcode)}"
        emit(Event(kind, self.number, self.job, detail=died))

    def kill(self) -> None:
        """Kill the process if it still runs. Not by `process.kill`, which relies on a fork server
        that may be gone.
        """
        with contextlib.suppress(ProcessLookupError):
            if self.process.pid is not None:
                os.kill(self.process.pid, signal.SIGKILL)


def _gpus() -> int:
    """Number of GPUs of this machine; 1 if it has none."""
    return max(1, torch.cuda.device_count())


def select_gpu(number: int) -> None:
    """Make one of several GPUs visible to this process, which must not have used any yet."""
    if (count := torch.cuda.device_count()) > 1:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(count)))
        os.environ["CUDA_VISIBLE_DEVICES"] = visible.split(",")[number % count]


def _died(code: int | None) -> str:
    if code == -signal.SIGKILL:
        return "was killed (SIGKILL), perhaps for want of memory"
    return f"died (exit code {code})"


def _shut_down(workers: Sequence[_Worker], patience: float) -> str:
    """Let the workers checkpoint their jobs and exit; kill those that take longer than `patience`
    (seconds), or all that are left if this is interrupted too.

    Returns the reason why one of them cannot proceed; "" if there is none.
    """
    left = list(workers)
    try:
        for worker in left:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                worker.pipe.send("stop")
        deadline = time.monotonic() + patience
        while left and (seconds := deadline - time.monotonic()) > 0:
            wait([worker.pipe for worker in left], timeout=seconds)
            left = [worker for worker in left if worker.drain(lambda event: None)]
    finally:
        for worker in left:
            worker.kill()
        for worker in workers:
            worker.process.join(1.0)
            worker.pipe.close()
    return next((worker.stuck for worker in workers if worker.stuck), "")


def _context() -> Any:
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["torch", "resformer.training.loop", "resformer.workers.fork_server"]
    )
    if not os.access(os.curdir, os.X_OK):  # as under sudo -u: workers go where this process is
        os.chdir(os.sep)
    # A signal to the whole process group is not for the server, or no worker could be started or
    # heard of any more; what it forks unblocks them again. The tracker starts first: its start
    # unblocks SIGINT.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    # By which the server hears that a worker has ended; whoever started this may have blocked it.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return context


def _main(
    assignment: Assignment, memory_gib: float | None, number: int, workers: int, pipe: Connection
) -> None:
    """A worker process. It exits when its supervisor sends a word or is gone, or at a signal from a
    cluster.
    """
    received: list[int] = []
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for signum in heeded():
        signal.signal(signum, lambda signum, frame: received.append(signum))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    select_gpu(number)
    configure_worker(memory_gib)

    def emit(event: Event) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # `stop` sees it next
            pipe.send(event)

    stop = Stop(lambda: bool(received) or pipe.poll())
    try:
        own_launch(assignment.study, assignment.launch)
        work(assignment, worker=number, workers=workers, emit=emit, stop=stop)
    except Stuck as error:
        emit(Event("stuck", number, "", detail=str(error)))
        sys.exit(_STUCK)
    if received:
        sys.exit(_SIGNALLED)
