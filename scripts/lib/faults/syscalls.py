"""Faults at the n-th system call of the session: it is killed there, or the call fails.

The signal is delivered as the call is entered, and the call is not executed. That it was executed
before the kill is the next point: between two calls that change a folder nothing changes there, so
every state that a kill can leave is one that it leaves at some point.
"""

import random
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import final

from lib.faults import forked
from lib.faults.campaign import Campaign, Outcome, Verdict, by_frequency, sampled, tried, verdict
from lib.faults.forked import End
from lib.faults.invariant import Expected
from lib.faults.strace import Point, injected, injecting, points, watching
from lib.faults.undisturbed import Trial, measured

_TWICE = 3
"""Every third recovery is killed too."""
_ERRORS = ("EIO", "ENOSPC", "EACCES", "EINTR")
_LASTING = ("EIO", "ENOSPC")
_LASTING_CALLS = ("write", "fsync", "mkdir", "link", "linkat", "rename")
"""Calls that only the store makes, so that all that follow may fail too."""
_KILL = "signal=SIGKILL"
_TRIES = 3


@final
@dataclass(frozen=True)
class Kill:
    """A kill of the session at a point; with a seed, of the recovery too, at a point it draws."""

    point: Point
    seed: int | None

    def __str__(self) -> str:
        return f"SIGKILL at {self.point}{'' if self.seed is None else ', and while recovering'}"


@final
@dataclass(frozen=True)
class Failure:
    """A call that fails; if lasting, all of its kind that follow fail too."""

    point: Point
    error: str
    lasting: bool

    def __str__(self) -> str:
        where = f"from {self.point} on" if self.lasting else f"at {self.point}"
        return f"{self.error} {where}"


def _kills(most: int | None, scratch: Path) -> Outcome:
    """Kill the session at every call, and every third recovery at one of its own."""
    standard = measured(scratch)
    trials = [
        Kill(point, number if number % _TWICE == 0 else None)
        for number, point in enumerate(sampled(standard.points, most))
    ]
    return tried(
        trials,
        partial(_killed, standard.expected),
        scratch,
        notes=[_by_call(standard.points)],
        tally=lambda ends: [f"{ends['killed, killed']} killed again while recovering"],
    )


def _errors(most: int | None, scratch: Path) -> Outcome:
    """Fail every call with every error; and from every call of the store on, like a full disk."""
    standard = measured(scratch)
    trials = [Failure(point, error, False) for point in standard.points for error in _ERRORS]
    trials += [
        Failure(point, error, True)
        for point in standard.points
        if point.call in _LASTING_CALLS
        for error in _LASTING
    ]
    return tried(
        sampled(trials, most),
        partial(_failed, standard.expected),
        scratch,
        notes=[_by_call(standard.points)],
    )


KILLS = Campaign(name="syscalls", fault="SIGKILL at the n-th call", short=24, full=420, run=_kills)
ERRORS = Campaign(
    name="errors",
    fault=f"{', '.join(_ERRORS)} at the n-th call",
    short=24,
    full=420,
    run=_errors,
)


def _killed(expected: Expected, kill: Kill, folder: Path) -> Verdict:
    """Kill, look, perhaps kill the recovery and look, then recover and look."""
    trial, log = Trial(folder / "results", expected), folder / "log"
    ends = [_reached(trial, log, kill.point)]
    if ends[0].kind != "killed":
        trial.broken.append(f"was not killed but {ends[0].kind}: {ends[0].text}")
    trial.look()
    if kill.seed is not None:
        point = _drawn(trial.results, folder, kill.seed)
        ends.append(end := trial.run(injecting(log, point, _KILL)))
        if end.kind != "killed":
            trial.broken.append(
                f"recovering, at {point}, was not killed but {end.kind}: {end.text}"
            )
        trial.look()
    trial.recover()
    return verdict(kill, trial.broken, ", ".join(end.kind for end in ends))


def _reached(trial: Trial, log: Path, point: Point) -> End:
    """Kill a session at the point; again, if a heartbeat came between on a busy machine."""
    for _ in range(_TRIES):
        shutil.rmtree(trial.results, ignore_errors=True)
        trial.acknowledged.clear()
        end = trial.run(injecting(log, point, _KILL))
        if end.kind == "killed":
            break
    return end


def _drawn(results: Path, folder: Path, seed: int) -> Point:
    """Draw one of the calls by which the session would recover, seen on a copy."""
    rehearsal, log = folder / "rehearsal", folder / "rehearsal.log"
    if results.exists():
        shutil.copytree(results, rehearsal)
    forked.run(rehearsal, watching(log))
    calls = points(log, rehearsal)
    shutil.rmtree(rehearsal)
    return random.Random(seed).choice(calls)


def _failed(expected: Expected, failure: Failure, folder: Path) -> Verdict:
    """Fail the call, look, recover, look again."""
    trial, log = Trial(folder / "results", expected), folder / "log"
    error = f"error={failure.error}"
    end = trial.run(injecting(log, failure.point, error, onwards=failure.lasting))
    if not injected(log):
        trial.broken.append("the call was not reached")
    if not end.orderly:
        trial.broken.append(f"ended {end.kind}: {end.text}")
    trial.look()
    trial.recover()
    return verdict(failure, trial.broken, str(end))


def _by_call(calls: Sequence[Point]) -> str:
    counts = Counter(point.call for point in calls)
    return f"{len(calls)} calls: {', '.join(by_frequency(counts))}"
