"""What an engine is given."""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from resformer.errors import UserError, require
from resformer.workers.assignment import Assignment
from resformer.workers.events import Event


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class Engine(ABC):
    """An engine; a subclass is a frozen dataclass of its settings, and final."""

    workers: int | None
    """Null: as many as the machine takes."""
    stack: int | None
    """Members trained together at most. Null: what suits the shape and the device."""
    retries: int
    """Further attempts of a job that failed."""
    lease_seconds: float
    """A holder whose heartbeat stands still for this long has lost its job."""
    memory_gib: float | None
    """What a worker may take of the machine's memory. Null: all there is."""

    def __post_init__(self) -> None:
        if self.workers is not None:
            require(
                1 <= self.workers <= 4096,
                "engine.workers",
                self.workers,
                "must be from 1 to 4096, or null",
            )
        if self.stack is not None:
            require(
                1 <= self.stack <= 65536,
                "engine.stack",
                self.stack,
                "must be from 1 to 65536 members, or null",
            )
        require(0 <= self.retries <= 100, "engine.retries", self.retries, "must be from 0 to 100")
        require(
            1 <= self.lease_seconds <= 86400,
            "engine.lease_seconds",
            self.lease_seconds,
            "must be from 1 to 86400",
        )
        if self.memory_gib is not None:
            require(
                0.5 <= self.memory_gib <= 1e6,
                "engine.memory_gib",
                self.memory_gib,
                "must be from 0.5 to 1e6, or null",
            )

    elsewhere: ClassVar[bool] = False
    """Whether workers run on machines that may have what this one has not."""

    @abstractmethod
    def count(self, jobs: Sequence[str], device: str) -> int:
        """How many workers it starts for these jobs; UserError if it could start none."""

    def sharers(self) -> int:
        """How many workers share a GPU."""
        return 1

    @abstractmethod
    def run(
        self,
        assignment: Assignment,
        workers: int,
        tell: Callable[[Event], None],
        stop: Callable[[], bool],
    ) -> None:
        """Run the jobs until each is finished or has failed, or `stop` says so; then workers put
        theirs away first.

        Raises Stuck when work cannot go on, DiskError when the disk takes no more.
        """

    def script(self, study: Path, workers: int) -> str:
        """What would be submitted to a scheduler to work for this study; "" where nothing is."""
        return ""

    def left_to(self, study: Path) -> str:
        """Who would run the jobs without this process; UserError where workers end with it."""
        name = type(self).__module__.rpartition(".")[2]
        raise UserError(
            f"--detach: the workers of engine={name} end with their sweep; engine=slurm would work"
        )

    def leave(self, assignment: Assignment, workers: int) -> str:
        """Have the jobs run without this process, where `left_to` says that they can; returns what
        would end it.
        """
        raise NotImplementedError
