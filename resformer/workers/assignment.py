"""The assignment of a worker."""

from dataclasses import dataclass
from pathlib import Path
from typing import final


@final
@dataclass(frozen=True, kw_only=True)
class Assignment:
    """The work of a launch: its study, its jobs longest first, and the rules for running them."""

    study: Path
    launch: int
    jobs: tuple[str, ...]
    retries: int
    lease_seconds: float
    checkpoint_seconds: float
    """Least time between two checkpoints of a job; 0: one before every step."""
    keep_checkpoint: bool
    """True to keep the last checkpoint of a job whose unsolved members a longer budget could train
    on.
    """
