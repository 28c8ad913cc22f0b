"""What workers elsewhere tell of their jobs, through the study's folder: each appends to a file of
its own.

A log. No result depends on it, and what is lost of it is seen in the results all the same.
"""

import contextlib
import json
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import final, get_args

from resformer.errors import DiskError
from resformer.store import claims, files
from resformer.store.done import Done
from resformer.store.study import Study
from resformer.training.progress import Progress
from resformer.workers.events import Event, Kind

_LISTS_SECONDS = 1.0
_PROGRESS_SECONDS = 2.0
"""At most so often one worker's progress is written."""


def teller(study: Study, launch: int) -> Callable[[Event], None]:
    """Writes down what this process has to tell while it works for a launch. What the disk does not
    take is lost.
    """
    me, said_at = claims.holder(), 0.0
    path = study.events / f"{launch}-{me.host}-{me.pid}-{me.started}.jsonl"
    with contextlib.suppress(OSError, DiskError):
        files.make_folder(path.parent)

    def tell(event: Event) -> None:
        nonlocal said_at
        if event.kind == "progress":
            if time.monotonic() - said_at < _PROGRESS_SECONDS:
                return
            said_at = time.monotonic()
        with contextlib.suppress(OSError, DiskError):
            files.append(path, json.dumps(asdict(event)).encode() + b"\n")

    return tell


@final
class Elsewhere:
    """Tells of jobs that the lists name as finished: those of which no worker of this sweep will
    say so.
    """

    def __init__(self, study: Study) -> None:
        self._done, self._listed_at = Done(study.path), time.monotonic()
        self._listed: list[str] = []

    def hear(self, tell: Callable[[Event], None]) -> None:
        """From time to time, of those that were listed at the time before: who finished them has
        had his say by now.
        """
        if time.monotonic() - self._listed_at >= _LISTS_SECONDS:
            self._tell(tell)

    def hear_the_rest(self, tell: Callable[[Event], None]) -> None:
        """Of all, when the sweep is over."""
        self._tell(tell)
        self._tell(tell)

    def _tell(self, tell: Callable[[Event], None]) -> None:
        for job_id in self._listed:
            tell(Event("elsewhere", 0, job_id))
        with contextlib.suppress(OSError, DiskError):
            self._listed = list(self._done.news())
        self._listed_at = time.monotonic()


@final
class Listener:
    """Passes on what workers of a launch have told since it listened last, and what others have
    finished.
    """

    def __init__(self, study: Study, launch: int) -> None:
        self.study, self.launch, self._elsewhere = study, launch, Elsewhere(study)
        self._offsets: dict[str, int] = {}
        """Bytes read of each file, by its name."""
        self.stuck = ""
        """Why a worker could not go on, in a line; the first that said so."""

    def hear(self, tell: Callable[[Event], None]) -> None:
        """In the order of each worker. Lines that are no events are left out."""
        self._elsewhere.hear(tell)
        self.hear_workers(tell)

    def hear_the_rest(self, tell: Callable[[Event], None]) -> None:
        """When the sweep is over."""
        self.hear_workers(tell)
        self._elsewhere.hear_the_rest(tell)

    def hear_workers(self, tell: Callable[[Event], None]) -> None:
        """Only what they have told themselves."""
        folder = self.study.events
        for name in _names(folder):
            if name.partition("-")[0] == str(self.launch):
                with contextlib.suppress(OSError, DiskError):
                    lines, self._offsets[name] = files.lines_since(
                        folder / name, self._offsets.get(name, 0)
                    )
                    for line in lines:
                        event = _event(line)
                        if event is not None and event.kind == "stuck":
                            self.stuck = self.stuck or event.detail
                        elif event is not None:
                            tell(event)


def why_stuck(study: Study, launch: int) -> str:
    """Why a worker of a launch could not go on, in a line; "" if none said so."""
    listener = Listener(study, launch)
    listener.hear_workers(lambda event: None)
    return listener.stuck


def _names(folder: Path) -> list[str]:
    try:
        return sorted(files.names(folder))
    except (OSError, DiskError):
        return []


def _event(line: bytes) -> Event | None:
    found = files.parse_object(line) or {}
    try:
        kind, worker, job, detail = (found[name] for name in ("kind", "worker", "job", "detail"))
        progress = None if found["progress"] is None else _progress(**found["progress"])
        if (
            kind in get_args(Kind)
            and type(worker) is int
            and isinstance(job, str)
            and isinstance(detail, str)
        ):
            return Event(kind, worker, job, progress, detail)
    except (KeyError, TypeError, ValueError):
        pass
    return None


def _progress(*, loss: float, accuracy: float, **counts: int) -> Progress:
    return Progress(
        **{name: int(count) for name, count in counts.items()},
        loss=float(loss),
        accuracy=float(accuracy),
    )
