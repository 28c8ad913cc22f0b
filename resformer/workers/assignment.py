"""The assignment of a worker."""

from dataclasses import dataclass
from pathlib import Path
from typing import final

from resformer.errors import require


@final
@dataclass(frozen=True)
class Assignment:
    """What workers need to know: the study, the launch they work for, its jobs longest first, and
    the rules.
    """

    study: Path
    launch: int
    jobs: tuple[str, ...]
    retries: int
    lease_seconds: float
    checkpoint_seconds: float
    """At least so much time passes between two checkpoints of a job; 0: one before every step."""


@final
@dataclass(frozen=True)
class Saving:
    """How often a training is put away. No result depends on it, so it is none of the shape's
    settings.
    """

    checkpoint_seconds: float

    def __post_init__(self) -> None:
        seconds = self.checkpoint_seconds
        require(
            0 <= seconds <= 86400, "train.checkpoint_seconds", seconds, "must be from 0 to 86400"
        )
