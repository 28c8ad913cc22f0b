"""An engine: settings of how workers are started and supervised."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from resformer import plugins
from resformer.errors import UserError, require
from resformer.workers.assignment import Assignment
from resformer.workers.events import Emit
from resformer.workers.signals import Stop

_MOST_MEMBERS = 65535
"""Most members of a job: programs along the axis of a GPU's grid that counts them."""


@dataclass(frozen=True, kw_only=True)
class Engine(ABC):
    """An engine. A subclass is a frozen dataclass of its settings, and final."""

    workers: int | None
    """Number of workers; null: as many as the machine takes."""
    stack: int | None
    """Most members per job; null: a number that suits the shape and the device."""
    retries: int
    """Further attempts of a job that failed."""
    lease_seconds: float
    """A worker whose heartbeat stands still for this long loses its job."""
    memory_gib: float | None
    """Most memory of a worker; null: no limit."""

    def __post_init__(self) -> None:
        for setting, least, most, unit in (
            ("workers", 1, 4096, ", or null"),
            ("stack", 1, _MOST_MEMBERS, " members, or null"),
            ("retries", 0, 100, ""),
            ("lease_seconds", 1, 86400, ""),
            ("memory_gib", 0.5, "1e6", ", or null"),
        ):
            value = getattr(self, setting)
            require(
                value is None or float(least) <= value <= float(most),
                f"engine.{setting}",
                value,
                f"must be from {least} to {most}{unit}",
            )

    elsewhere: ClassVar[bool] = False
    """True if workers run on other machines, which may have GPUs that this one lacks."""

    @abstractmethod
    def count(self, jobs: Sequence[str], device: str) -> int:
        """Number of workers to start for these jobs; UserError if none can be started."""

    def divided_among(self, device: str) -> int:
        """Number of workers that members are divided among, as far as it is known beforehand."""
        return self.workers or 1

    def sharers(self) -> int:
        """Number of workers that share a GPU."""
        return 1

    @abstractmethod
    def run(self, assignment: Assignment, *, workers: int, emit: Emit, stop: Stop) -> None:
        """Run the jobs until each is finished or has failed, or a stop is requested; then workers
        checkpoint theirs before they end.

        Raises Stuck when work cannot proceed, DiskError when the disk takes no more.
        """

    def unavailable(self, workers: int) -> str:
        """The reason why so many workers cannot be started from here; "" if they can."""
        return ""

    def script(self, study: Path, workers: int) -> str:
        """The script that would be submitted to a scheduler for this study; "" for engines without
        one.
        """
        return ""

    def detached_where(self, study: Path) -> str:
        """Name the place where jobs run without this process; UserError if workers end with it."""
        raise UserError(
            f"--detach: the workers of engine={plugins.name_of(self)} end with their sweep; "
            "engine=slurm would work"
        )

    def detach(self, assignment: Assignment, workers: int) -> str:
        """Start the jobs so that they run without this process, where `detached_where` names a
        place; returns the command that would end them.
        """
        raise NotImplementedError
