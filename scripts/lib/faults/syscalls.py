"""Faults at the n-th system call of the session: it is killed there, or the call fails.

The signal is delivered as the call is entered, and the call is not executed. That it was executed
before the kill is the next point: between two calls that change a folder nothing changes there, so
every state that a kill can leave is one that it leaves at some point.
"""

import random
import shutil
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import final

from lib.faults import zygote
from lib.faults.invariant import Expected, Hashes, violations
from lib.faults.lanes import judged
from lib.faults.outcome import Outcome, Verdict, outcome, sampled
from lib.faults.strace import Point, injected, injecting, points, watching
from lib.faults.undisturbed import measured, recovered
from lib.faults.zygote import End

_SEED = 0
_TWICE = 3
"""Every so manieth recovery is killed too."""
_ERRORS = ("EIO", "ENOSPC", "EACCES", "EINTR")
_LASTING = ("EIO", "ENOSPC")
_LASTING_CALLS = ("write", "fsync", "mkdir", "link", "linkat", "rename")
"""Calls that only the store makes, so that all that follow may fail too."""
_KILL = "signal=SIGKILL"
_TRIES = 3


@final
@dataclass(frozen=True)
class Kill:
    """Kill the session at a point; for a seed, the recovery too, at a point drawn by it."""

    point: Point
    seed: int | None

    def __str__(self) -> str:
        return f"SIGKILL at {self.point}{'' if self.seed is None else ', and while recovering'}"


@final
@dataclass(frozen=True)
class Failure:
    """A call fails, or it and all of its kind that follow."""

    point: Point
    error: str
    lasting: bool

    def __str__(self) -> str:
        return (
            f"{self.error} {'from' if self.lasting else 'at'} "
            f"{self.point}{' on' if self.lasting else ''}"
        )


def run(most: int | None, scratch: Path) -> Outcome:
    """Kill the session at every call, and every third recovery at one of its own."""
    began = time.perf_counter()
    found = measured(scratch)
    trials = [
        Kill(point, _SEED + number if number % _TWICE == 0 else None)
        for number, point in enumerate(sampled(found.points, most))
    ]
    verdicts = judged(trials, partial(_killed, found.expected), scratch)
    twice = sum(verdict.ends.endswith("killed, killed") for verdict in verdicts)
    notes = (_by_call(found.points), f"{twice} killed again while recovering")
    return outcome("SIGKILL at the n-th call", trials, verdicts, notes, began)


def run_errors(most: int | None, scratch: Path) -> Outcome:
    """Fail every call with every error; and from every such call on, as a disk does that is full or
    broken.
    """
    began = time.perf_counter()
    found = measured(scratch)
    every = [Failure(point, error, False) for point in found.points for error in _ERRORS]
    lasting = [
        Failure(point, error, True)
        for point in found.points
        if point.call in _LASTING_CALLS
        for error in _LASTING
    ]
    trials = sampled(every + lasting, most)
    verdicts = judged(trials, partial(_failed, found.expected), scratch)
    ends = Counter(verdict.ends for verdict in verdicts)
    notes = (_by_call(found.points), *(f"{count} {end}" for end, count in ends.most_common()))
    return outcome(f"{', '.join(_ERRORS)} at the n-th call", trials, verdicts, notes, began)


def _killed(left: Expected, trial: Kill, folder: Path) -> Verdict:
    """Kill, look, perhaps kill the recovery and look, then recover and look."""
    results, log = folder / "results", folder / "log"
    end = _reached(results, log, trial.point)
    ends, acknowledged = [end.kind], [*end.acknowledged]
    broken = [] if end.kind == "killed" else [f"was not killed but {end.kind}: {end.text}"]
    broken += zygote.ask(violations, results, acknowledged, left)
    if trial.seed is not None:
        chosen = _drawn(results, folder, trial.seed)
        end = zygote.run(results, injecting(log, chosen, _KILL))
        ends.append(end.kind)
        acknowledged += end.acknowledged
        broken += (
            []
            if end.kind == "killed"
            else [f"recovering, at {chosen}, was not killed but {end.kind}: {end.text}"]
        )
        broken += zygote.ask(violations, results, acknowledged, left)
    broken += recovered(results, acknowledged, left)
    return Verdict(tuple(broken), ", ".join(ends))


def _reached(results: Path, log: Path, point: Point) -> End:
    """A session killed at the point; on a machine so busy that a heartbeat came between, the next
    try counts.
    """
    for _ in range(_TRIES):
        shutil.rmtree(results, ignore_errors=True)
        end = zygote.run(results, injecting(log, point, _KILL))
        if end.kind == "killed":
            break
    return end


def _drawn(results: Path, folder: Path, seed: int) -> Point:
    """One of the calls by which the session would recover, seen on a copy."""
    rehearsal, log = folder / "rehearsal", folder / "rehearsal.log"
    shutil.copytree(results, rehearsal) if results.exists() else None
    zygote.run(rehearsal, watching(log))
    found = points(log, rehearsal)
    shutil.rmtree(rehearsal)
    return random.Random(seed).choice(found)


def _failed(left: Expected, trial: Failure, folder: Path) -> Verdict:
    """Fail the call, look, recover, look again."""
    results, log = folder / "results", folder / "log"
    end = zygote.run(
        results, injecting(log, trial.point, f"error={trial.error}", onwards=trial.lasting)
    )
    acknowledged: list[tuple[str, Hashes]] = [*end.acknowledged]
    broken = [] if injected(log) else ["the call was not reached"]
    broken += [] if end.orderly else [f"ended {end.kind}: {end.text}"]
    broken += zygote.ask(violations, results, acknowledged, left)
    broken += recovered(results, acknowledged, left)
    return Verdict(tuple(broken), described(end))


def described(end: End) -> str:
    """How a session ended, in a few words."""
    if end.kind == "clean":
        return f"clean, {end.text.partition(':')[0]}"
    return "done with failed jobs" if end.kind == "done" and end.text else end.kind


def _by_call(found: Sequence[Point]) -> str:
    counts = Counter(point.call for point in found)
    return (
        f"{len(found)} calls: "
        f"{', '.join(f'{count} {call}' for call, count in counts.most_common())}"
    )
