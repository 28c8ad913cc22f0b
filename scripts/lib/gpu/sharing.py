"""Several jobs at once on one GPU: in processes of their own, or in streams of one process."""

import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from functools import partial
from typing import final

import pandas as pd
import torch

from lib.bench.cases import Case
from lib.bench.server import Server, ask_all
from lib.bench.tables import number, table
from lib.gpu.clock import synchronize
from lib.gpu.record import Record
from lib.gpu.steps import COPY, FULL, is_compiled, population, way
from resformer.numerics.process import release_memory
from resformer.training.population import Population

_SECONDS = 0.5
_STEPS = 4
"""Steps of each job, one job after the other, before Python waits for the GPU."""
_JOBS = (1, 2, 4)
_STACKS = (64, FULL)


def measure(device: str, record: Record) -> None:
    """A row per number of members of a job, number of jobs at once, and way."""
    share(device, record, COPY, _STACKS, _SECONDS)


def share(device: str, record: Record, case: Case, stacks: tuple[int, ...], seconds: float) -> None:
    """Train jobs at once for so many seconds each time; SystemExit if a process dies."""
    how = {"compiled": is_compiled(device, case)}
    with ExitStack() as stack:
        workers = [stack.enter_context(Server(Worker, device, case)) for _ in range(max(_JOBS))]
        try:
            for members in stacks:
                _share(workers, lambda row: record({**row, **how}), members, seconds)
        except EOFError:
            sys.exit("a process with jobs died")


def _share(workers: list[Server], record: Record, members: int, seconds: float) -> None:
    for jobs in _JOBS:
        ask_all(workers[:jobs], "prepare", members, 1)
        rates = ask_all(workers[:jobs], "rate", seconds)
        record({"members": members, "jobs": jobs, "way": "processes", "rate": sum(rates)})
    ask_all(workers, "release")
    for jobs in _JOBS[1:]:
        workers[0].ask("prepare", members, jobs)
        rate = workers[0].ask("rate", seconds)
        record({"members": members, "jobs": jobs, "way": "streams", "rate": rate})
    workers[0].ask("release")


@final
class Worker:
    """A process that trains one job, or several in a stream of the GPU each."""

    def __init__(self, device: str, case: Case) -> None:
        self._device, self._case = device, case
        self._jobs: list[tuple[Population, Callable[[], AbstractContextManager[object]]]] = []

    def prepare(self, members: int, jobs: int) -> None:
        """Build jobs of so many members, and warm them up."""
        self.release()
        for _ in range(jobs):
            trained = population(self._device, self._case, members)
            self._jobs.append((trained, _stream(self._device)))
        self.rate(0.0)

    def release(self) -> None:
        """Give the jobs' memory back."""
        self._jobs = []
        release_memory()

    def rate(self, seconds: float) -> float:
        """Member-steps per second of all jobs, over at least so many seconds."""
        synchronize(self._device)
        began, done = time.perf_counter(), 0
        while not done or time.perf_counter() - began < seconds:
            for trained, stream in self._jobs:
                with stream():
                    for _ in range(_STEPS):
                        trained.advance()
                done += _STEPS * len(trained.flat_PN)
            synchronize(self._device)  # or Python would be far ahead when the time is over
        return done / (time.perf_counter() - began)


def _stream(device: str) -> Callable[[], AbstractContextManager[object]]:
    """Context in which operations go to a stream of their own, as often as it is entered."""
    if device != "cuda":
        return nullcontext
    return partial(torch.cuda.stream, torch.cuda.Stream())


def render(rows: pd.DataFrame) -> str:
    """A line per number of members and way: rates by jobs at once, and over that of one."""
    alone = rows[rows["jobs"] == 1].set_index("members")["rate"]
    lines = [
        [
            f"{row['members']:,}",
            str(row["jobs"]),
            row["way"],
            number(row["rate"]),
            f"{row['rate'] / alone[row['members']]:.2f}",
        ]
        for row in rows.to_dict("records")
    ]
    head = ["members of a job", "jobs at once", "in", "member-steps per second", "×"]
    note = "Of all jobs at once; × is their rate over that of one job alone. No evaluations."
    return table(f"{COPY}: several jobs at once, {way(rows)}", head, lines, [note])
