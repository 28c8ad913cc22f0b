"""Who holds a job. `claim-<k>` is attempt k; it is created once, and only when claim k-1 is over.

A claim is two lines: who holds it (sealed JSON), and a heartbeat counter, the steps that the
holder's training loop has begun, or how the attempt ended. It is over when it committed, left the
job to others, or left an error; when its process has gone; or when its counter stood still for a
lease.
"""

import os
import platform
import re
import time
import traceback
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal, final

from resformer.errors import DiskError
from resformer.store import files
from resformer.text import exception_line

_DIGITS = 12
_BEAT_SECONDS = 1.0
_CLAIM = re.compile(r"claim-([1-9]\d{0,8})")
_ERROR, _COMMITTED, _LEFT = "error.txt", "committed", "left"


class Lost(Exception):
    """The job was taken over: its holder had been silent for a lease."""


@final
@dataclass(frozen=True)
class Holder:
    """A process, named so that another one can tell whether it still runs."""

    host: str
    boot: str
    """The boot id; empty where the system tells none, and then only silence ends a claim."""
    namespace: str
    """The process namespace, in which `pid` means something."""
    pid: int
    started: str
    """The process' start time, since pids are used again."""

    def gone(self) -> bool:
        """Whether this process has certainly ended."""
        here = holder()
        if not here.boot or (self.boot, self.namespace) != (here.boot, here.namespace):
            return False
        return _started(self.pid) != self.started


def holder() -> Holder:
    """This process."""
    return _holder(os.getpid())


@cache
def _holder(pid: int) -> Holder:
    return Holder(
        platform.node(), _read("/proc/sys/kernel/random/boot_id"), _namespace(), pid, _started(pid)
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


def _started(pid: int) -> str:
    """Field 22 of /proc/<pid>/stat, counted behind the parenthesis that closes the name; empty if
    there is none.

    A zombie has ended: its parent only has not asked yet.
    """
    fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return fields[19] if len(fields) > 19 and fields[0] != "Z" else ""


@final
@dataclass
class Claim:
    """A claim that this process holds."""

    job: Path
    attempt: int
    counter_at: int
    """Where in its file the heartbeat counter stands."""
    beat_seconds: float
    """At most so often it is written."""
    last_beat: float
    """When it was last written, by this process' monotonic clock."""
    beats: int = 0
    """Steps that have begun."""

    @property
    def folder(self) -> Path:
        """Where this attempt, and no other, writes."""
        return self.job / f"attempt-{self.attempt}"

    def beat(self) -> None:
        """Count a step that begins. From time to time the heartbeat counter is written; raises Lost
        then.
        """
        self.beats += 1
        if time.monotonic() - self.last_beat < self.beat_seconds:
            return
        self.last_beat = time.monotonic()
        if self.lost():
            raise Lost
        self._say(f"{self.beats:0{_DIGITS}}")

    def lost(self) -> bool:
        """Whether somebody has taken the job over."""
        return files.exists(self.job / f"claim-{self.attempt + 1}")

    def open(self) -> None:
        """Make the folder of this attempt."""
        files.make_folder(self.folder)

    def begin(self, planned: dict[str, Any]) -> None:
        """Make the folder of this attempt, and write the resolved job beside it."""
        self.open()
        files.write(self.job / "job.json", files.with_checksum(planned) + b"\n")

    def fail(self, error: BaseException) -> None:
        """End the attempt with an error: its traceback, and a last line that sums it up."""
        self.open()
        text = f"{''.join(traceback.format_exception(error))}\n{exception_line(error)}\n"
        files.write(self.folder / _ERROR, text.encode(errors="backslashreplace"))

    def leave(self) -> None:
        """End the attempt so that others can go on with the job at once; it does not count as one
        that failed.
        """
        self._say(_LEFT)

    def committed(self) -> None:
        """End the attempt: it has its result."""
        self._say(_COMMITTED)

    def _say(self, word: str) -> None:
        files.overwrite(
            self.job / f"claim-{self.attempt}", self.counter_at, word.ljust(_DIGITS).encode()
        )


@final
@dataclass(frozen=True)
class Held:
    """Who holds a job, as its claim says."""

    attempt: int
    holder: Holder | None
    """None where the claim cannot be read."""
    beats: int
    """Steps that had begun when the counter was last written."""
    silent_seconds: float
    """Since then, by the clocks of two machines: enough to tell a person, not to take the job over.
    """


@final
@dataclass
class HeartbeatObserver:
    """What this process has seen of other holders' heartbeats, by its own monotonic clock."""

    lease_seconds: float
    seen: dict[Path, tuple[str, float]] = field(default_factory=dict)

    def silent(self, claim: Path, counter: str) -> bool:
        """Whether the counter has stood still for a whole lease while this process looked."""
        known, since = self.seen.get(claim, (None, 0.0))
        if counter != known:
            self.seen[claim] = (counter, time.monotonic())
            return False
        return time.monotonic() - since > self.lease_seconds


def take(
    job: Path, launch: int, retries: int, observer: HeartbeatObserver
) -> Claim | Literal["held", "exhausted"]:
    """Claim the job; or say that somebody holds it, or that this launch has used up its attempts at
    it.
    """
    attempt = attempts(job)
    if attempt and not over(job, attempt, observer):
        return "held"
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
        job,
        attempt + 1,
        counter_at=len(mine),
        beat_seconds=beat_seconds,
        last_beat=time.monotonic(),
    )


def held(job: Path) -> Held | None:
    """Who holds a job, which may have gone; None if nobody claimed it, or the last attempt was
    ended.
    """
    attempt = attempts(job)
    if not attempt or error(job, attempt) is not None:
        return None
    claim = job / f"claim-{attempt}"
    try:
        silent_seconds, found = time.time() - claim.lstat().st_mtime, _parse(claim)
    except FileNotFoundError:
        return None  # the study was deleted at this moment
    if found is None:
        return Held(attempt, None, 0, silent_seconds)
    _, who, counter = found
    if counter in (_COMMITTED, _LEFT):
        return None
    return Held(
        attempt,
        who,
        int(counter) if counter.isdecimal() and len(counter) <= _DIGITS else 0,
        silent_seconds,
    )


def attempts(job: Path) -> int:
    """How many attempts there were; they are numbered from 1."""
    return max(_claims(job), default=0)


def _claims(job: Path) -> list[int]:
    return [int(match[1]) for name in files.names(job) if (match := _CLAIM.fullmatch(name))]


def failures(job: Path, since: int) -> int:
    """How many attempts of launch `since` and later ones did not leave the job to others, the
    running one included.
    """
    found = [_parse(job / f"claim-{attempt}") for attempt in _claims(job)]
    return sum(claim is not None and claim[0] >= since and claim[2] != _LEFT for claim in found)


def launch_of(job: Path, attempt: int) -> int:
    """The launch in whose name an attempt was made; 0 where its claim cannot be read."""
    found = _parse(job / f"claim-{attempt}")
    return found[0] if found else 0


def over(job: Path, attempt: int, observer: HeartbeatObserver | None = None) -> bool:
    """Whether an attempt has ended: it said so, its process is gone, or it has been silent for a
    lease.
    """
    if error(job, attempt) is not None:
        return True
    found = _parse(job / f"claim-{attempt}")
    if found is None:
        return observer is not None and observer.silent(job / f"claim-{attempt}", "unreadable")
    _, who, counter = found
    return (
        counter in (_COMMITTED, _LEFT)
        or who.gone()
        or (observer is not None and observer.silent(job / f"claim-{attempt}", counter))
    )


def error(job: Path, attempt: int) -> str | None:
    """The error that ended an attempt, in one line; None if none did."""
    path = job / f"attempt-{attempt}" / _ERROR
    try:
        said = files.content(path).decode(errors="replace").split("\n")
    except FileNotFoundError:
        return None
    return next((line for line in reversed(said) if line.strip()), f"{path} is empty")


def _parse(claim: Path) -> tuple[int, Holder, str] | None:
    """The launch, the holder and the counter; None where a claim cannot be read."""
    first, _, counter = _read(str(claim)).partition("\n")
    try:
        who = files.verify_checksum(first.encode()) or {}
        launch, pid = int(who.pop("launch")), int(who.pop("pid"))
        return launch, Holder(pid=pid, **{name: str(value) for name, value in who.items()}), counter
    except (ValueError, TypeError, KeyError, OverflowError):
        return None
