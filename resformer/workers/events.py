"""Events of a running sweep. No torch in here, so that a display needs none."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, final

from resformer.training.progress import Progress

Kind = Literal[
    "started",
    "resumed",
    "restarted",
    "halved",
    "progress",
    "finished",
    "elsewhere",
    "failed",
    "retried",
    "left",
    "waiting",
    "stuck",
]


@final
@dataclass(frozen=True)
class Event:
    """A step in a worker's handling of a job.

    The kinds stand in logs on disk. `resumed` is from a checkpoint, `restarted` for want of one
    that can be used, `halved` out of memory, with fewer members at once; a job `left` is free
    for the next worker, one finished `elsewhere` was run by another process; `waiting` is for jobs
    that others hold, and after `stuck` the worker has ended. `detail` has the reason or the step;
    the `progress` of a finished job is its last.
    """

    kind: Kind
    worker: int
    job: str
    progress: Progress | None = None
    detail: str = ""


Emit = Callable[[Event], None]
"""A receiver of events."""
