"""Event logs: files in the study's folder to which workers on other machines append their events.

No result depends on a log; whatever is lost of it shows in the results.
"""

import contextlib
import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import final, get_args

from resformer.errors import DiskError
from resformer.store import claims, files
from resformer.store.done import Done
from resformer.store.study import Study
from resformer.training.progress import Progress
from resformer.workers.events import Emit, Event, Kind

_LISTS_SECONDS = 1.0
"""Least time between two looks into the lists of finished jobs."""
_PROGRESS_SECONDS = 2.0
"""Least time between two progress events of one worker."""


@final
class EventWriter:
    """The log of this process while it works for a launch. Events that the disk refuses are lost,
    and all of them where the folder of logs cannot be made or is a link.
    """

    def __init__(self, study: Study, launch: int) -> None:
        self._path: Path | None = None
        self._progress_at = 0.0
        with contextlib.suppress(OSError, DiskError):
            files.make_folder(study.events)
            self._path = study.events / f"{launch}-{claims.holder().file_name}.jsonl"

    def write(self, event: Event) -> None:
        """Append an event; progress that comes too early is skipped."""
        if self._path is None:
            return
        if event.kind == "progress":
            if time.monotonic() - self._progress_at < _PROGRESS_SECONDS:
                return
            self._progress_at = time.monotonic()
        with contextlib.suppress(OSError, DiskError):
            files.append(self._path, json.dumps(asdict(event)).encode() + b"\n")


@final
class FinishedElsewhere:
    """Jobs that the lists name as finished, emitted as `elsewhere` events."""

    def __init__(self, study: Study) -> None:
        self._done, self._listed_at = Done(study.path), time.monotonic()
        self._listed: list[str] = []

    def poll(self, emit: Emit) -> None:
        """Emit jobs listed as finished at least one poll ago, so that the worker that finished them
        can report first.
        """
        if time.monotonic() - self._listed_at >= _LISTS_SECONDS:
            self._advance(emit)

    def drain(self, emit: Emit) -> None:
        """Emit all jobs that are listed, at the end of a sweep."""
        self._advance(emit)
        self._advance(emit)

    def _advance(self, emit: Emit) -> None:
        for job_id in self._listed:
            emit(Event("elsewhere", 0, job_id))
        with contextlib.suppress(OSError, DiskError):
            self._listed = list(self._done.news())
        self._listed_at = time.monotonic()


@final
class EventReader:
    """New events of a launch: those in its workers' logs, and jobs that others have finished."""

    def __init__(self, study: Study, launch: int) -> None:
        self.stuck = ""
        """The line of the first worker that could not proceed; "" if there is none."""
        self._folder, self._launch = study.events, launch
        self._finished_elsewhere = FinishedElsewhere(study)
        self._offsets: dict[str, int] = {}
        """Bytes read of each log, by its name."""

    def poll(self, emit: Emit) -> None:
        """Emit what is new, in the order of each worker; lines that are no events are skipped."""
        self._finished_elsewhere.poll(emit)
        self.poll_logs(emit)

    def drain(self, emit: Emit) -> None:
        """Emit all that is left, at the end of a sweep."""
        self.poll_logs(emit)
        self._finished_elsewhere.drain(emit)

    def poll_logs(self, emit: Emit) -> None:
        """Emit what is new in the workers' logs only."""
        for name in _names(self._folder):
            if name.partition("-")[0] == str(self._launch):
                with contextlib.suppress(OSError, DiskError):
                    lines, self._offsets[name] = files.lines_since(
                        self._folder / name, self._offsets.get(name, 0)
                    )
                    for line in lines:
                        event = _event(line)
                        if event is not None and event.kind == "stuck":
                            self.stuck = self.stuck or event.detail
                        elif event is not None:
                            emit(event)


def why_stuck(study: Study, launch: int) -> str:
    """The line of the first worker of a launch that could not proceed; "" if there is none."""
    reader = EventReader(study, launch)
    reader.poll_logs(lambda event: None)
    return reader.stuck


def _names(folder: Path) -> list[str]:
    try:
        return sorted(files.names(folder))
    except (OSError, DiskError):
        return []


def _event(line: bytes) -> Event | None:
    """The event in a line of a log; None if the line holds none."""
    tree = files.parse_object(line) or {}
    try:
        kind, worker, job, detail = (tree[name] for name in ("kind", "worker", "job", "detail"))
        progress = None if tree["progress"] is None else _progress(**tree["progress"])
    except (KeyError, TypeError, ValueError):
        return None
    if type(worker) is not int or not isinstance(job, str) or not isinstance(detail, str):
        return None
    return Event(kind, worker, job, progress, detail) if kind in get_args(Kind) else None


def _progress(*, loss: float, accuracy: float, **counts: int) -> Progress:
    return Progress(
        **{name: int(count) for name, count in counts.items()},
        loss=float(loss),
        accuracy=float(accuracy),
    )
