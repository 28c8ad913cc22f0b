"""resformer itself, as a sweep trains."""

import os
from collections.abc import Sequence
from typing import final

import numpy as np
import torch

from lib.bench import builds
from lib.bench.cases import Case
from lib.bench.peers.base import Losses, Peer, Timed
from lib.bench.server import Server, ask_all
from resformer.model.shape import Member
from resformer.numerics.process import configure_worker
from resformer.training.loop import Trained, Training


@final
class Sweep(Peer):
    """A worker per core, with one thread, each training a job of its own as the workers of a sweep
    do.
    """

    def __init__(self, build: str = "") -> None:
        self._build = build

    def prepare(self, case: Case) -> str:
        """Start the workers and have each train its job for a moment."""
        workers, stack = os.cpu_count() or 1, case.stack
        members = case.members(workers * stack)
        jobs = [members[worker * stack : (worker + 1) * stack] for worker in range(workers)]
        self._workers = [Server(Worker, case, job, self._build, daemon=True) for job in jobs]
        self.run(2)
        return f"{workers} processes × 1 thread, jobs of {stack}"

    def losses(self, steps: int) -> Losses:
        """Losses of the members of all jobs."""
        return np.concatenate(ask_all(self._workers, "losses", steps))

    def exact(self, steps: int) -> Losses:
        """The same in float64, of the first members of each job."""
        return np.concatenate(ask_all(self._workers, "exact", steps))

    def run(self, steps: int) -> list[Timed]:
        """A job per worker."""
        return ask_all(self._workers, "run", steps)


@final
class Worker:
    """A process that trains one job, as often as it is asked to."""

    def __init__(self, case: Case, members: Sequence[Member], build: str) -> None:
        builds.use(build)
        configure_worker()
        self._case, self._members = case, members

    def losses(self, steps: int) -> Losses:
        """Loss of each member in each step, (members, steps), nats per scored token."""
        return _losses(self._train(steps, self._members), steps)

    def exact(self, steps: int) -> Losses:
        """The first two members' in float64."""
        return _losses(self._train(steps, self._members[:2], torch.float64), steps)

    def run(self, steps: int) -> Timed:
        """The steps alone: initial weights and the evaluations before and after are not in it."""
        stretches = self._train(steps, self._members).timing["stretches"]
        return Timed(
            sum(part["members"] * part["steps"] for part in stretches),
            sum(part["seconds"] for part in stretches),
        )

    def _train(
        self, steps: int, members: Sequence[Member], dtype: torch.dtype = torch.float32
    ) -> Trained:
        return Training(self._case.shape(steps), members, dtype=dtype).run()


def _losses(trained: Trained, steps: int) -> Losses:
    return trained.curves["loss"].reshape(-1, steps + 1)[:, 1:]
