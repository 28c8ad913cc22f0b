"""A tracer attached to a session: it lists the calls, or puts a fault into one of them."""

import re
import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import final

from lib.faults.forked import Tracer

CALLS = (
    "open,openat,creat,write,pwrite64,ftruncate,fallocate,fsync,fdatasync,link,linkat,"
    "rename,renameat,renameat2,unlink,unlinkat,rmdir,mkdir,mkdirat"
)
"""Calls that may change a folder, or keep it."""
_LINE = re.compile(r"(?P<call>\w+)\((?P<arguments>.*)")
_UNIQUE = re.compile(r"[0-9a-f]{32}|(?<=/)[0-9a-f]{16}(?=/|$)|(?<=-)\d+-\d+(?=\.jsonl$)")
_SECONDS = 10.0


@final
@dataclass(frozen=True)
class Point:
    """The n-th call of its kind since the session was let go, from 1, and its paths, for people."""

    call: str
    number: int
    where: str

    def __str__(self) -> str:
        return f"{self.call} {self.number} ({self.where})"


def watching(log: Path) -> Tracer:
    """Make a tracer that only lists the calls, with the paths behind their handles."""
    return lambda child: _attached(child, log, ["-y", "-e", f"trace={CALLS}"])


def injecting(log: Path, point: Point, fault: str, *, onwards: bool = False) -> Tracer:
    """Make a tracer that puts a fault (`signal=SIGKILL`, `error=EIO`) into a call; onwards: and
    into all of its kind that follow.
    """
    when = f"{point.number}{'+' if onwards else ''}"
    rule = f"inject={point.call}:{fault}:when={when}"
    return lambda child: _attached(child, log, ["-e", f"trace={point.call}", "-e", rule])


def points(log: Path, results: Path) -> list[Point]:
    """Read the calls of a log that have to do with the results folder, in order."""
    counts: Counter[str] = Counter()
    calls = []
    for line in log.read_text(errors="replace").splitlines():
        match = _LINE.match(line)
        if match is None:
            continue
        call = match["call"]
        counts[call] += 1
        names = _names(call, match["arguments"], str(results))
        if names:
            calls.append(Point(call, counts[call], " -> ".join(names)))
    return calls


def injected(log: Path) -> bool:
    """True if a call was failed on purpose."""
    return "(INJECTED)" in log.read_text(errors="replace")


def _names(call: str, arguments: str, results: str) -> Sequence[str]:
    """Paths inside the results folder among the arguments, as short as can be."""
    if call in ("write", "pwrite64", "ftruncate", "fallocate", "fsync", "fdatasync"):
        paths = re.findall(r"^\d+<([^>]*)>", arguments)
    else:
        paths = re.findall(r'"([^"]*)"', arguments)
    inside = [path for path in paths if path == results or path.startswith(f"{results}/")]
    return [_UNIQUE.sub("*", path.removeprefix(results)) or "/" for path in inside]


@contextmanager
def _attached(child: int, log: Path, options: Sequence[str]) -> Iterator[None]:
    command = ["strace", "-p", str(child), "-o", str(log), *options]
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as tracer:
        try:
            assert tracer.stderr is not None
            line = tracer.stderr.readline()
            if "attached" not in line:
                raise RuntimeError(f"strace: {line.strip()}")
            yield
            with suppress(subprocess.TimeoutExpired):
                tracer.wait(_SECONDS)
        finally:
            tracer.kill()
