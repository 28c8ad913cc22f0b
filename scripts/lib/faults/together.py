"""Several sweeps in one folder at once; and holders that are stopped past their lease, and woken.

Some of them look like another machine's: nobody sees if such a process lives, and only silence ends
its claim.
"""

import hashlib
import multiprocessing
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cache, partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal, final
from unittest.mock import patch

from lib.faults import forked, session
from lib.faults.campaign import (
    Campaign,
    Outcome,
    Verdict,
    sampled,
    tried,
    verdict,
)
from lib.faults.forked import End
from lib.faults.invariant import Expected, expected
from lib.faults.strace import Point, injecting
from lib.faults.undisturbed import finished, measured
from resformer.store import claims
from resformer.store.study import Study
from resformer.workers.events import Event

_CROWDS, _SILENCES = 60, 72
_FEWEST, _MOST = 2, 6
_CROWD = ("member.seed=range(0,9)", "engine.lease_seconds=15")
"""More jobs than sweeps; a lease longer than anybody is silent who is not stopped, and shorter than
a session's patience.
"""
_STAGGER_SECONDS = 0.3
_SECONDS = 60.0
_STOPPED = "--- stopped by SIGSTOP ---"
_LOOK_SECONDS = 0.005
_ELSEWHERE = "elsewhere"
_BEFORE_LEASE_SECONDS = 0.4
_LATEST_SECONDS = 0.03
_FORK = multiprocessing.get_context("fork")

Woken = Literal["before its lease is over", "successor ended"] | int
"""When a holder is woken; a number counts the events of the successor at its job, from 0: that it
started, each progress, finished.
"""
_MOMENTS: tuple[Woken, ...] = (
    "before its lease is over",
    *(0, 1, 2, 3, 4, 4, 4, 5),
    "successor ended",
    "successor ended",
)


@final
@dataclass(frozen=True)
class Sweep:
    """One of a crowd: whether it looks like another machine's, and how many seconds later it
    begins.
    """

    elsewhere: bool
    later: float


@final
@dataclass(frozen=True)
class Crowd:
    """Sweeps that begin at about the same time."""

    seed: int
    sweeps: tuple[Sweep, ...]

    def __str__(self) -> str:
        return (
            f"{len(self.sweeps)} sweeps of seed {self.seed} ({self.elsewhere()} of them on "
            "another machine)"
        )

    def elsewhere(self) -> int:
        """Number of sweeps that seem to run on another machine."""
        return sum(sweep.elsewhere for sweep in self.sweeps)


@final
@dataclass(frozen=True)
class Silence:
    """A holder that is stopped at a call, and woken so many seconds after an event."""

    point: Point
    woken: Woken
    later: float

    def __str__(self) -> str:
        when = (
            f"{self.later * 1000:.0f} ms after event {self.woken}"
            if isinstance(self.woken, int)
            else self.woken
        )
        return f"stopped at {self.point}, woken: {when}"


def _crowds(most: int | None, scratch: Path) -> Outcome:
    """Crowds of two to six sweeps, in half of which some sweeps seem to run on another machine."""
    session.ready()
    crowds = sampled([_drawn(seed) for seed in range(_CROWDS)], most)
    sizes = sorted(Counter(len(crowd.sweeps) for crowd in crowds).items())
    notes = [
        ", ".join(f"{count} of {size} sweeps" for size, count in sizes),
        f"{sum(crowd.elsewhere() > 0 for crowd in crowds)} as if on several machines",
    ]
    with patch.object(session, "scope", _CROWD):
        judge = partial(_crowded, _alone(scratch / "alone"))
        return tried(crowds, judge, scratch, notes=notes, tally=lambda ends: [])


def _silences(most: int | None, scratch: Path) -> Outcome:
    """Stop a holder at calls spread over all that it makes while it holds a job; wake it later."""
    standard = measured(scratch)
    points = sampled([*_holding(standard.points)], _SILENCES)
    silences = sampled([_woken(number, point) for number, point in enumerate(points)], most)
    return tried(silences, partial(_silent, standard.expected), scratch)


CROWDS = Campaign(
    name="together", fault="2 to 6 sweeps at once in one folder", short=6, full=None, run=_crowds
)
SILENCES = Campaign(
    name="silent",
    fault="holders stopped past their lease and woken",
    short=4,
    full=None,
    run=_silences,
)


# --- a crowd


def _drawn(seed: int) -> Crowd:
    """Draw a crowd; every second one of several machines, every third one not quite at once."""
    draw = random.Random(seed)
    sweeps = []
    for number in range(draw.randint(_FEWEST, _MOST)):
        elsewhere = seed % 2 == 1 and (number == 0 or draw.random() < 0.5)
        later = draw.uniform(0, _STAGGER_SECONDS) if seed % 3 == 2 else 0.0
        sweeps.append(Sweep(elsewhere, later))
    return Crowd(seed, tuple(sweeps))


def _alone(results: Path) -> Expected:
    """Results of one sweep that has the folder for itself; RuntimeError if it does not end well."""
    end = forked.run(results)
    standard = expected(results, session.request())
    broken = [*_unwell(end), *forked.ask(finished, results, [*end.acknowledged], standard)]
    if broken:
        raise RuntimeError(f"an undisturbed sweep: {'; '.join(broken)}")
    return standard


def _crowded(expected: Expected, crowd: Crowd, folder: Path) -> Verdict:
    """Let them all run to their ends, then look."""
    results, go = folder / "results", _FORK.Event()
    with ExitStack() as crew:
        children = [forked.child(_swept, sweep, results, go) for sweep in crowd.sweeps]
        pipes = [crew.enter_context(child) for child in children]
        go.set()
        ends = [_received(pipe) for pipe in pipes]
    broken = [
        f"sweep {number}: {problem}" for number, end in enumerate(ends) for problem in _unwell(end)
    ]
    broken += _unfinished(results, expected, ends)
    study = Study(results / session.STUDY)
    for job in sorted(expected.jobs):
        if (claimed := len([*study.job(job).glob("claim-*")])) != 1:
            broken.append(f"{job}: {claimed} claims, and nobody was silent")
    return verdict(crowd, broken, ", ".join(f"{len(end.acknowledged)} jobs" for end in ends))


def _swept(pipe: Connection, sweep: Sweep, results: Path, go: Any) -> None:
    """Be the child: wait for all to be there, run the session, send how it ended."""
    if sweep.elsewhere:
        _pretend_elsewhere()
    go.wait(_SECONDS)
    time.sleep(sweep.later)
    pipe.send(forked.run(results))


# --- a holder that goes silent


def _holding(points: Sequence[Point]) -> Iterator[Point]:
    """Calls after which a session holds a job that has no end yet, from the claim on."""
    holds = False
    for point in points:
        path = point.where.rpartition(" -> ")[2]
        holds |= point.call == "link" and path.endswith("/claim-1")
        holds &= not (point.call == "pwrite64" and path.endswith("/claim-1"))
        if holds:
            yield point


def _woken(number: int, point: Point) -> Silence:
    """Draw when the holder that is stopped at this point is woken."""
    draw = random.Random(number)
    return Silence(point, draw.choice(_MOMENTS), draw.uniform(0, _LATEST_SECONDS))


def _silent(expected: Expected, silence: Silence, folder: Path) -> Verdict:
    """Stop the holder, have another session finish, wake the holder, let it end, and look."""
    results, log = folder / "results", folder / "log"
    with forked.child(_attended, silence.point, results, log) as pipe:
        holder = pipe.recv()
        if not _stopped(holder, log):
            return verdict(silence, [f"was not stopped: {_received(pipe).kind}"], "not stopped")
        job = _held_by(results, holder)
        if job is None:
            return verdict(silence, ["it holds no job"], "not holding")
        successor = _succeeded(silence, results, holder, job)
        before = _contents(results)
        _wake(holder)
        end = _received(pipe)
    broken = [f"the holder: {problem}" for problem in _unwell(end)]
    broken += [f"the successor: {problem}" for problem in _unwell(successor)]
    broken += _unfinished(results, expected, [end, successor], twice=job)
    if silence.woken == "successor ended":
        paths = _written(before, _contents(results), job)
        broken += [f"the holder, woken, wrote {path}" for path in paths]
    study = Study(results / session.STUDY)
    first = "the holder" if job in dict(end.acknowledged) else "the successor"
    return verdict(silence, broken, f"{first} was first, trained {_trained(study, job)} times")


def _attended(pipe: Connection, point: Point, results: Path, log: Path) -> None:
    """Be the child: attend a session as if on another machine, stopped at the point; send its
    number, and how it ended.
    """
    _pretend_elsewhere()

    @contextmanager
    def tracer(child: int) -> Iterator[None]:
        with injecting(log, point, "signal=SIGSTOP")(child):
            pipe.send(child)
            yield

    pipe.send(forked.run(results, tracer))


def _stopped(holder: int, log: Path) -> bool:
    """Wait until a process has been stopped; False if it ended instead."""
    deadline = time.monotonic() + _SECONDS
    while time.monotonic() < deadline and Path(f"/proc/{holder}").exists():
        with suppress(FileNotFoundError):
            if _STOPPED in log.read_text(errors="replace"):
                return True
        time.sleep(_LOOK_SECONDS)
    return False


def _held_by(results: Path, holder: int) -> str | None:
    """Find the job that this process holds."""
    for folder in Study(results / session.STUDY).path.glob("jobs/*/*"):
        held = claims.held(folder)
        if held is not None and held.holder is not None and held.holder.pid == holder:
            return str(folder.name)
    return None


def _succeeded(silence: Silence, results: Path, holder: int, job: str) -> End:
    """Run another session to its end, and wake the holder at the right moment."""
    events = 0

    def heard(event: Event) -> None:
        nonlocal events
        if event.job == job and event.kind in ("started", "progress", "finished"):
            if events == silence.woken:
                signal.setitimer(signal.ITIMER_REAL, max(silence.later, 1e-6))
            events += 1

    before = signal.signal(signal.SIGALRM, lambda number, frame: _wake(holder))
    try:
        if silence.woken == "before its lease is over":
            signal.setitimer(signal.ITIMER_REAL, _BEFORE_LEASE_SECONDS)
        return forked.run(results, heard=heard)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _wake(holder: int) -> None:
    """Let a process go on, if it has not come to its end already."""
    with suppress(ProcessLookupError):
        os.kill(holder, signal.SIGCONT)


def _contents(results: Path) -> dict[str, str]:
    """Hash every file in the folder, by its path in it."""
    paths = [path for path in results.rglob("*") if path.is_file()]
    return {
        str(path.relative_to(results)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in paths
    }


def _written(before: dict[str, str], after: dict[str, str], job: str) -> list[str]:
    """List files that differ, but for the holder's own: its claim, its attempt, its done list."""
    own = f"{session.STUDY}/jobs/{job[:2]}/{job}"
    theirs = (f"{own}/attempt-1/", f"{session.STUDY}/done/{_ELSEWHERE}-")
    changed = [path for path in {**before, **after} if before.get(path) != after.get(path)]
    return [path for path in changed if path != f"{own}/claim-1" and not path.startswith(theirs)]


# --- processes


def _received(pipe: Connection) -> End:
    """Receive how a session ended."""
    return forked.received(pipe, End("killed", "died or hung without a word", ()))


def _unwell(end: End) -> list[str]:
    """Complain of an end that is not one with all done."""
    return [] if end.finished else [f"ended {end.kind}: {end.text}"]


def _unfinished(
    results: Path, expected: Expected, ends: Sequence[End], twice: str = ""
) -> Iterator[str]:
    """Name what does not hold after all sessions: every job was acknowledged, and trained to its
    end once, but one that may be so twice.
    """
    jobs = [job for end in ends for job in end.acknowledged]
    yield from forked.ask(finished, results, jobs, expected)
    yield from (f"{job}: nobody acknowledged it" for job in expected.jobs - dict(jobs).keys())
    for job in sorted(expected.jobs - {twice}):
        if (count := _trained(Study(results / session.STUDY), job)) != 1:
            yield f"{job}: was trained to its end {count} times"


def _trained(study: Study, job: str) -> int:
    """Count the attempts that trained the job to its end."""
    return len([*study.job(job).glob("attempt-*/runs.parquet")])


def _pretend_elsewhere() -> None:
    """Make this process, for the rest of its life, look like one of another machine."""
    known: Callable[[int], claims.Holder] = claims.process_holder

    def elsewhere(pid: int) -> claims.Holder:
        return replace(known(pid), host=_ELSEWHERE, boot="another", namespace="another")

    claims.process_holder = cache(elsewhere)
