"""Worker processes on this machine."""

import contextlib
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

import torch

from resformer.engines.base import Engine, cores
from resformer.errors import DiskError
from resformer.numerics.process import configure_worker
from resformer.store.study import Study
from resformer.workers.assignment import Assignment
from resformer.workers.event_log import Elsewhere
from resformer.workers.events import Event
from resformer.workers.signals import Stopped
from resformer.workers.worker import work

_GRACE_SECONDS = 4.0
"""For a worker to put its training away: a stop takes five seconds at most."""
_POLL_SECONDS = 0.2
_CALLS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
"""At these a worker leaves."""
_AT_WORK = ("started", "resumed", "restarted", "halved", "progress")
"""Events of a worker that has a job."""
_LEFT, _STUCK = 3, 4
"""Exit codes of a worker that left on its own, and of one that the disk stopped."""


@final
@dataclass(frozen=True)
class Local(Engine):
    """Workers from a fork server that has only imported torch, one thread each; macOS spawns
    instead.

    A worker's death costs its job only: the job is tried again from its last checkpoint, and
    another worker takes its place. A worker leaves when its pipe to the supervisor closes, so none
    outlives it.
    """

    def count(self, jobs: Sequence[str], device: str) -> int:
        """One per core this process may use, or one per GPU; never more than jobs."""
        return min(self.workers or (_gpus() if device == "cuda" else cores()), len(jobs))

    def sharers(self) -> int:
        """Of a GPU, where each takes the next one."""
        return math.ceil((self.workers or 1) / _gpus())

    def run(
        self,
        assignment: Assignment,
        workers: int,
        tell: Callable[[Event], None],
        stop: Callable[[], bool],
    ) -> None:
        """Run the jobs with so many workers. Whatever is raised here, no worker is left behind."""
        context = _context()
        crew: list[_Worker] = []
        most_deaths = len(assignment.jobs) * (assignment.retries + 1) + workers
        deaths, settled_at, patience, stuck = 0, math.inf, _GRACE_SECONDS, ""
        elsewhere = Elsewhere(Study(assignment.study))
        try:
            for number in range(workers):
                if not stop():
                    crew.append(
                        _Worker.start(context, assignment, self.memory_gib, number, workers)
                    )
            while crew and time.monotonic() < settled_at + _GRACE_SECONDS and not stop():
                wait([worker.pipe for worker in crew], timeout=_POLL_SECONDS)
                elsewhere.hear(tell)
                for worker in [worker for worker in crew if not worker.drain(tell)]:
                    crew.remove(worker)
                    code = worker.exit_code()
                    if code == 0:
                        # It found every job finished or failed: whoever still works has lost its
                        # job.
                        settled_at = min(settled_at, time.monotonic())
                        continue
                    if code == _STUCK:
                        raise DiskError(worker.stuck)
                    if code != _LEFT:
                        worker.mourn(assignment, tell)
                        deaths += 1
                    if deaths < most_deaths and not stop():
                        crew.append(
                            _Worker.start(
                                context, assignment, self.memory_gib, worker.number, workers
                            )
                        )
        except Stopped:
            patience = 0.0  # the second signal
            raise
        finally:
            stuck = _dismiss(crew, patience)
            elsewhere.hear_the_rest(tell)
        if stuck:
            raise DiskError(stuck)


@final
@dataclass
class _Worker:
    """The supervisor's side of a worker process."""

    number: int
    process: BaseProcess
    pipe: Connection
    job: str | None = None
    """What it is working on."""
    stuck: str = ""
    """What the disk would not take."""

    @classmethod
    def start(
        cls,
        context: Any,
        assignment: Assignment,
        memory_gib: float | None,
        number: int,
        workers: int,
    ) -> "_Worker":
        ours, theirs = context.Pipe()
        process = context.Process(
            target=_main,
            args=(assignment, memory_gib, number, workers, theirs),
            name=f"resformer-{number}",
        )
        process.start()
        theirs.close()
        return cls(number, process, ours)

    def drain(self, tell: Callable[[Event], None]) -> bool:
        """Pass on what the worker has said; whether it is still there.

        The end of its pipe tells, and not the fork server, which may have been killed.
        """
        try:
            while self.pipe.poll():
                event: Event = self.pipe.recv()
                self.job = event.job if event.kind in _AT_WORK else None
                if event.kind == "stuck":
                    self.stuck = event.detail
                else:
                    tell(event)
        except (EOFError, ConnectionResetError):
            return False
        return True

    def exit_code(self) -> int | None:
        """Of a worker that has gone."""
        self.process.join(_GRACE_SECONDS)
        return self.process.exitcode

    def mourn(self, assignment: Assignment, tell: Callable[[Event], None]) -> None:
        """Say what became of the job of a worker that died."""
        if self.job is not None:
            study, died = (
                Study(assignment.study),
                f"worker {self.number} {_died(self.process.exitcode)}",
            )
            if study.has_result(self.job):
                tell(Event("finished", self.number, self.job))
            else:
                kind: Literal["failed", "retried"] = (
                    "failed" if study.failure(self.job) else "retried"
                )
                tell(Event(kind, self.number, self.job, detail=died))

    def kill(self) -> None:
        """End it, if it has not ended. Not by `process.kill`: that believes a fork server that may
        be gone.
        """
        with contextlib.suppress(ProcessLookupError):
            if self.process.pid is not None:
                os.kill(self.process.pid, signal.SIGKILL)


def _gpus() -> int:
    """How many this machine has; one where it has none."""
    return max(1, torch.cuda.device_count())


def take_a_gpu(number: int) -> None:
    """Of several GPUs have this process see one; it must not have used any yet."""
    if (there := torch.cuda.device_count()) > 1:
        seen = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(there)))
        os.environ["CUDA_VISIBLE_DEVICES"] = seen.split(",")[number % there]


def _died(code: int | None) -> str:
    if code == -signal.SIGKILL:
        return "was killed (SIGKILL), perhaps for want of memory"
    return f"died (exit code {code})"


def _dismiss(crew: Sequence[_Worker], patience: float) -> str:
    """Let the workers put their jobs away and go; by force who takes longer, or if this is
    interrupted too.

    Returns what the disk would not take of that.
    """
    left = list(crew)
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
        for worker in crew:
            worker.process.join(1.0)
            worker.pipe.close()
    return next((worker.stuck for worker in crew if worker.stuck), "")


def _context() -> Any:
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "resformer.training.loop"])
    # A signal to the whole process group is not for the server, or no worker could be started or
    # heard of any more; what it forks unblocks them again. The tracker starts first: its start
    # unblocks SIGINT.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, *_CALLS})
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return context


def _main(
    assignment: Assignment, memory_gib: float | None, number: int, workers: int, pipe: Connection
) -> None:
    """A worker process. It leaves at the word of its supervisor, when that is gone, or at a signal
    from a cluster.
    """
    called: list[int] = []
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for signum in _CALLS:
        signal.signal(signum, lambda signum, frame: called.append(signum))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, *_CALLS})
    take_a_gpu(number)
    configure_worker(memory_gib)

    def stop(seconds: float) -> bool:
        return bool(called) or pipe.poll(seconds) or bool(called)

    def tell(event: Event) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # then `stop` says so
            pipe.send(event)

    try:
        work(assignment, number, workers, tell, stop)
    except DiskError as error:
        tell(Event("stuck", number, "", detail=str(error)))
        sys.exit(_STUCK)
    if called:
        sys.exit(_LEFT)
