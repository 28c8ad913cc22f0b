"""Claims of jobs: `claim-<k>` is attempt k, created once, and only when claim k-1 is over.

A claim is two lines: its holder (JSON with a checksum), and a heartbeat counter, the steps that the
holder's training loop has begun, or how the attempt ended. It is over when it committed, released
the job, or failed with an error; when its process is gone; or when its counter stood still for a
lease while somebody looked.
"""

import math
import os
import platform
import re
import time
import traceback
from collections.abc import Callable, Container
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple, final

from resformer.errors import DiskError
from resformer.store import files
from resformer.text import failure_line, shortened

_DIGITS = 12
_BEAT_SECONDS = 1.0
_CLAIM = re.compile(r"claim-([1-9]\d{0,8})")
_NO_FILE_NAME = re.compile(r"[^0-9A-Za-z._-]")
"""Characters that a file's name does not take."""
_ERROR, _COMMITTED, _LEFT = "error.txt", "committed", "left"
_TAIL_BYTES, _LONGEST_LINE = 1 << 16, 1000
"""Bytes at the end of `error.txt` that are read, and most characters of the line that is shown."""


class Lost(Exception):
    """The job was taken over, since its holder had been silent for a lease."""


@final
@dataclass(frozen=True)
class Holder:
    """A process, named so that another one can tell whether it still runs."""

    host: str
    boot: str
    """Boot id; empty where the system has none, and then only silence ends a claim."""
    namespace: str
    """Process namespace of `pid`."""
    pid: int
    started: str
    """Start time of the process, since pids are reused."""

    @property
    def file_name(self) -> str:
        """Name for files that only this process writes; a host may have been named like a path."""
        return _NO_FILE_NAME.sub("_", f"{self.host}-{self.pid}-{self.started}")

    def gone(self) -> bool:
        """Tell whether this process has certainly ended; a zombie has."""
        me = holder()
        if not me.boot or (self.boot, self.namespace) != (me.boot, me.namespace):
            return False
        state, started = _process(self.pid)
        if started:
            return state == "Z" or self.started not in ("", started)
        try:
            os.kill(self.pid, 0)  # with hidepid, /proc shows nobody the processes of others
        except (ProcessLookupError, OverflowError):
            return True
        except PermissionError:
            pass
        return False


def holder() -> Holder:
    """This process."""
    return process_holder(os.getpid())


@cache
def process_holder(pid: int) -> Holder:
    """The record of a process in its claims."""
    return Holder(
        host=platform.node(),
        boot=_read("/proc/sys/kernel/random/boot_id"),
        namespace=_namespace(),
        pid=pid,
        started=_process(pid)[1],
    )


def _read(path: str) -> str:
    try:
        return files.content(path).decode(errors="replace").strip()
    except (OSError, DiskError):
        return ""


def _namespace() -> str:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def _process(pid: int) -> tuple[str, str]:
    """State and start time of a process, fields 3 and 22 of /proc/<pid>/stat (counted behind the
    parenthesis that closes the name); empty if there is none, or it is hidden.
    """
    fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return (fields[0], fields[19]) if len(fields) > 19 else ("", "")


@final
@dataclass
class Claim:
    """A claim that this process holds."""

    job: Path
    attempt: int
    counter_at: int
    """Offset of the heartbeat counter in the file."""
    beat_seconds: float
    """Least time between two writes of the counter."""
    last_beat: float
    """Time of the last write, by this process' monotonic clock."""
    beats: int = 0
    """Steps that have begun."""

    @property
    def folder(self) -> Path:
        """The folder that only this attempt writes."""
        return self.job / f"attempt-{self.attempt}"

    def beat(self) -> None:
        """Count a step that begins. Once per `beat_seconds` write the counter, or raise Lost if the
        job was taken over.
        """
        self.beats += 1
        if time.monotonic() - self.last_beat < self.beat_seconds:
            return
        self.last_beat = time.monotonic()
        if self.lost():
            raise Lost
        self._write(f"{self.beats:0{_DIGITS}}")

    def lost(self) -> bool:
        """Tell whether the job was taken over."""
        return files.exists(self.job / f"claim-{self.attempt + 1}")

    def open(self) -> None:
        """Make the folder of this attempt."""
        files.make_folder(self.folder)

    def begin(self, planned: dict[str, Any]) -> None:
        """Make the folder of this attempt, and write the resolved job beside it."""
        self.open()
        files.write(self.job / "job.json", files.with_checksum(planned) + b"\n")

    def fail(self, error: BaseException, own_files: Container[str] = ()) -> None:
        """End the attempt with an error: its traceback, and a last line that sums it up, as of
        `failure_line`.
        """
        self.open()
        text = f"{''.join(traceback.format_exception(error))}\n{failure_line(error, own_files)}\n"
        files.write(self.folder / _ERROR, text.encode(errors="backslashreplace"))

    def leave(self) -> None:
        """Release the job for others to resume at once; the attempt does not count as a failure."""
        self._write(_LEFT)

    def committed(self) -> None:
        """End the attempt, whose result is committed."""
        self._write(_COMMITTED)

    def _write(self, word: str) -> None:
        files.overwrite(
            self.job / f"claim-{self.attempt}", self.counter_at, word.ljust(_DIGITS).encode()
        )


@final
@dataclass(frozen=True)
class Held:
    """The holder of a job and its progress, read from the claim."""

    attempt: int
    holder: Holder | None
    """None where the claim cannot be read."""
    beats: int
    """Steps that had begun when the counter was last written."""
    silent_seconds: float
    """Time since that write, by the clocks of two machines: for people, not for taking over."""


class _Parsed(NamedTuple):
    """Content of a claim."""

    launch: int
    holder: Holder
    counter: str
    """Heartbeat counter, or how the attempt ended."""


@final
@dataclass
class HeartbeatObserver:
    """Heartbeats of other holders, observed by this process' monotonic clock."""

    lease_seconds: float
    seen: dict[Path, tuple[str, float]] = field(default_factory=dict)
    """Counter, and the time at which it was first read, by claim."""
    last_look: float = -math.inf
    """Time of the last look at any claim."""

    @property
    def longest_pause(self) -> float:
        """Most seconds between two looks of one observation. Who did not look for longer may have
        been stopped, by Ctrl-Z say, and the holders with it.
        """
        return self.lease_seconds / 4

    def silent(self, claim: Path, counter: str) -> bool:
        """Tell whether the counter has stood still for a whole lease of observation."""
        now = time.monotonic()
        if now - self.last_look > self.longest_pause:
            self.seen.clear()
        self.last_look = now
        known, since = self.seen.get(claim, (None, now))
        if counter != known:
            self.seen[claim] = (counter, now)
        return counter == known and now - since > self.lease_seconds


def take(
    job: Path,
    launch: int,
    retries: int,
    observer: HeartbeatObserver,
    finished: Callable[[], bool] = lambda: False,
) -> Claim | Literal["held", "finished", "exhausted"]:
    """Claim the job. Returns "held" if another holds it, "finished" if nobody does and it has a
    result, "exhausted" if the launch has used up its attempts.

    `finished` looks for the result once the last attempt has ended: it may end by committing one.
    """
    attempt = attempts(job)
    if attempt and not over(job, attempt, observer):
        return "held"
    if finished():
        return "finished"
    if attempt and failures(job, launch) > retries:
        return "exhausted"
    mine = files.with_checksum({"launch": launch, **asdict(holder())}) + b"\n"
    for folder in (job.parent.parent, job.parent, job):
        files.make_folder(folder)
    created = files.create(job / f"claim-{attempt + 1}", mine + b"0" * _DIGITS)
    if not created:
        return "held"
    beat_seconds = min(_BEAT_SECONDS, observer.lease_seconds / 4)
    return Claim(
        job=job,
        attempt=attempt + 1,
        counter_at=len(mine),
        beat_seconds=beat_seconds,
        last_beat=time.monotonic(),
    )


def held(job: Path) -> Held | None:
    """The last holder of a job, which may be gone; None if nobody claimed it or the last attempt
    ended.
    """
    attempt = attempts(job)
    if not attempt or error(job, attempt) is not None:
        return None
    claim = job / f"claim-{attempt}"
    try:
        silent_seconds, parsed = time.time() - claim.lstat().st_mtime, _parse(claim)
    except FileNotFoundError:
        return None  # the study was deleted at this moment
    _, who, counter = parsed or (0, None, "")
    if counter in (_COMMITTED, _LEFT):
        return None
    return Held(
        attempt=attempt,
        holder=who,
        beats=int(counter) if counter.isdecimal() and len(counter) <= _DIGITS else 0,
        silent_seconds=silent_seconds,
    )


def attempts(job: Path) -> int:
    """Number of attempts so far; they are numbered from 1."""
    return max(_claims(job), default=0)


def _claims(job: Path) -> list[int]:
    return [int(match[1]) for name in files.names(job) if (match := _CLAIM.fullmatch(name))]


def failures(job: Path, since: int) -> int:
    """Number of attempts, in launch `since` and later, that did not release the job; the running
    one counts.
    """
    claims = [_parse(job / f"claim-{attempt}") for attempt in _claims(job)]
    return sum(
        claim is not None and claim.launch >= since and claim.counter != _LEFT for claim in claims
    )


def launch_of(job: Path, attempt: int) -> int:
    """The launch an attempt was made for; 0 where its claim cannot be read."""
    parsed = _parse(job / f"claim-{attempt}")
    return parsed.launch if parsed else 0


def over(job: Path, attempt: int, observer: HeartbeatObserver | None = None) -> bool:
    """Tell whether an attempt has ended: it wrote so, its process is gone, or it has been silent
    for a lease.
    """
    if error(job, attempt) is not None:
        return True
    claim = job / f"claim-{attempt}"
    parsed = _parse(claim)
    if parsed and (parsed.counter in (_COMMITTED, _LEFT) or parsed.holder.gone()):
        return True
    return observer is not None and observer.silent(
        claim, parsed.counter if parsed else "unreadable"
    )


def error(job: Path, attempt: int) -> str | None:
    """The error that ended an attempt, in one line; None if none did.

    No link is followed: a private file's last line would stand in a report.
    """
    path = job / f"attempt-{attempt}" / _ERROR
    try:
        start = max(0, files.size(path) - _TAIL_BYTES)
        if files.linked(path, parents=1):
            return f"{path} is a link"
        text = files.content(path, start, follow=False)
    except FileNotFoundError:
        return None
    lines = text.decode(errors="replace").split("\n")
    last = next((line for line in reversed(lines) if line.strip()), f"{path} is empty")
    return shortened(last, _LONGEST_LINE)


def last_trace(job: Path) -> Path | None:
    """Traceback of the last attempt that ended with an error; None if none did."""
    attempts = sorted(_claims(job), reverse=True)
    paths = (job / f"attempt-{attempt}" / _ERROR for attempt in attempts)
    return next((path for path in paths if files.exists(path)), None)


def _parse(claim: Path) -> _Parsed | None:
    """Content of a claim; None where it cannot be read."""
    first, _, counter = _read(str(claim)).partition("\n")
    try:
        who = files.verify_checksum(first.encode()) or {}
        launch, pid = int(who.pop("launch")), int(who.pop("pid"))
        rest = {name: str(value) for name, value in who.items()}
        return _Parsed(launch=launch, holder=Holder(pid=pid, **rest), counter=counter)
    except (ValueError, TypeError, KeyError, OverflowError):
        return None
