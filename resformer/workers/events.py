"""What a sweep tells while it runs. No torch in here, so that a display needs none."""

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
    """Something a worker did with a job, or that it waits for others to finish it.

    `resumed` is from a checkpoint, `restarted` in spite of one that cannot be used, `halved` out of
    memory, with fewer members at once; `left` to whoever takes it next; `elsewhere` somebody else
    has finished it. After `stuck` the worker is gone: it cannot go on. `detail` says why, or from
    where; `progress` is the last there was of a finished job.
    """

    kind: Kind
    worker: int
    job: str
    progress: Progress | None = None
    detail: str = ""
