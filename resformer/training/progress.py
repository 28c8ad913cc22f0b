"""Progress of a job, reported at every evaluation."""

from dataclasses import dataclass
from typing import final


@final
@dataclass(frozen=True)
class Progress:
    """Progress of a job at an evaluation."""

    step: int
    steps: int
    members: int
    """Members that still train."""
    solved: int
    diverged: int
    loss: float
    """Median held-out loss of the evaluated members, nats per target."""
    accuracy: float
    """Median held-out accuracy of the evaluated members, a share of targets."""
