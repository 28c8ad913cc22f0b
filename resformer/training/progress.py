"""Progress of a job, reported at every evaluation."""

from dataclasses import dataclass
from typing import final


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
