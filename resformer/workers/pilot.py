"""A worker on another machine: a string tells it which launch to work for, all else it finds in the
study's folder.
"""

import json
import platform
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from resformer.errors import Stuck
from resformer.numerics.process import configure_worker
from resformer.plan import provenance
from resformer.store.study import Study
from resformer.workers.assignment import Assignment
from resformer.workers.event_log import teller
from resformer.workers.events import Event
from resformer.workers.worker import work

_CALLS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
_SLEEP_SECONDS = 0.05


def orders(assignment: Assignment, workers: int) -> list[str]:
    """What to tell each pilot: where the study is, which launch, and which of its workers it is."""
    said = {
        "study": str(assignment.study.absolute()),
        "launch": assignment.launch,
        "workers": workers,
    }
    return [json.dumps({**said, "worker": worker}) for worker in range(workers)]


def fly(words: str) -> str:
    """Work for a launch until all of its jobs are finished or have failed.

    Returns "" then; the name of a signal that made it put its work away before, such as SIGTERM;
    else in a line why it could not go on.
    """
    said = json.loads(words)
    study, launch = Study(Path(said["study"])), int(said["launch"])
    worker, workers, tell = int(said["worker"]), int(said["workers"]), teller(study, launch)
    with _called() as called:
        try:
            assignment, memory_gib = _assignment(study, launch)
            configure_worker(memory_gib)
            work(assignment, worker, workers, tell, lambda seconds: _waited(called, seconds))
        except Stuck as error:
            tell(Event("stuck", worker, "", detail=str(error)))
            return str(error)
    return called()


def _assignment(study: Study, number: int) -> tuple[Assignment, float | None]:
    """What a launch asks of its workers, and the memory that each may take.

    Stuck where it cannot be found, or where what computes is not what it was planned with.
    """
    found = [launch for launch in study.launches() if launch["launch"] == number]
    if not found:
        raise Stuck(f"{study.path}: there is no launch {number} here; is the folder shared?")
    (launch,), rules = found, found[0]["engine"]
    if difference := provenance.unlike(launch):
        raise Stuck(
            f"{platform.node()}: study {study.name} {difference}; every node needs the same"
        )
    return Assignment(
        study=study.path,
        launch=number,
        jobs=tuple(launch["jobs"]),
        retries=rules["retries"],
        lease_seconds=rules["lease_seconds"],
        checkpoint_seconds=launch["checkpoint_seconds"],
    ), rules["memory_gib"]


@contextmanager
def _called() -> Iterator[Callable[[], str]]:
    """The first signal that came, "" before; until this ends, signals do nothing else."""
    calls: list[int] = []
    before = {
        signum: signal.signal(signum, lambda signum, frame: calls.append(signum))
        for signum in _CALLS
    }
    try:
        yield lambda: signal.Signals(calls[0]).name if calls else ""
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


def _waited(called: Callable[[], str], seconds: float) -> bool:
    """Whether to stop; waits so long for the word."""
    until = time.monotonic() + seconds
    while not called() and time.monotonic() < until:
        time.sleep(_SLEEP_SECONDS)
    return bool(called())
