"""What a sweep tells while it runs. No torch in here, so that a display needs none."""

from dataclasses import dataclass
from typing import Literal, final


@final
@dataclass(frozen=True)
class Progress:
    """Where a job is, told at every evaluation."""

    step: int
    steps: int
    members: int
    """How many are still training."""
    solved: int
    diverged: int
    loss: float
    """Median held-out loss of those that were evaluated, nats per token."""
    accuracy: float
    """Median held-out accuracy of those that were evaluated, a share of tokens."""


@final
@dataclass(frozen=True)
class Event:
    """Something a worker did with a job, or that it waits for others to finish it.

    `detail` is the reason where a job failed or was tried again, `progress` the last there was of a finished one.
    """

    kind: Literal["started", "progress", "finished", "failed", "retried", "waiting"]
    worker: int
    job: str
    progress: Progress | None = None
    detail: str = ""
