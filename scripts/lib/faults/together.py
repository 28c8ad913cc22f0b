"""Several sweeps in one folder at the same time; and holders that are stopped past their lease, and
woken.

Some of them look like another machine's: whether such a process lives cannot be seen, and only
silence ends its claim.
"""

import ctypes
import hashlib
import multiprocessing
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cache, partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal, final

from lib.faults import session, zygote
from lib.faults.invariant import Expected, Hashes, expected, hashes, violations
from lib.faults.lanes import judged
from lib.faults.outcome import Outcome, Verdict, outcome, sampled
from lib.faults.shown import shown
from lib.faults.strace import Point, injecting
from lib.faults.undisturbed import checked, measured
from lib.faults.zygote import End
from resformer.store import claims
from resformer.store.study import Study
from resformer.workers.events import Event

_CROWDS, _SILENCES = 60, 72
_FEWEST, _MOST = 2, 6
_SEEDS_OF_A_CROWD = range(9)
"""Nine jobs, so that there are more of them than sweeps."""
_LONG_LEASE_SECONDS = 15.0
"""More than anybody is silent who is not stopped, and less than a session's patience."""
_STAGGER_SECONDS = 0.3
_SECONDS = 60.0
_STOPPED = "--- stopped by SIGSTOP ---"
_LOOK_SECONDS = 0.005
_ELSEWHERE = "elsewhere"
_BEFORE_LEASE_SECONDS = 0.4
_LATEST_SECONDS = 0.03
_SET_DEATH_SIGNAL = 1
_FORK = multiprocessing.get_context("fork")

Acknowledged = list[tuple[str, Hashes]]


@final
@dataclass(frozen=True)
class Sweep:
    """One of a crowd: where it seems to run, and how much later it begins."""

    machine: Literal["here", "elsewhere"]
    later: float


@final
@dataclass(frozen=True)
class Crowd:
    """Sweeps that begin at about the same time."""

    seed: int
    sweeps: tuple[Sweep, ...]

    def __str__(self) -> str:
        places = Counter(sweep.machine for sweep in self.sweeps)
        return (
            f"{len(self.sweeps)} sweeps of seed {self.seed} ({places['elsewhere']} of them on "
            "another machine)"
        )


@final
@dataclass(frozen=True)
class Silence:
    """A holder is stopped at a call, and woken: so long after this event of the successor at its
    job.
    """

    point: Point
    woken: Literal["before its lease is over", "successor ended"] | int
    """A number counts the events of the successor at the job, from 0: that it started, each
    progress, finished.
    """
    later: float

    def __str__(self) -> str:
        when = (
            f"{self.later * 1000:.0f} ms after event {self.woken}"
            if isinstance(self.woken, int)
            else self.woken
        )
        return f"stopped at {self.point}, woken: {when}"


def run(most: int | None, scratch: Path) -> Outcome:
    """Crowds of two to six sweeps, in half of which some sweeps seem to run on another machine."""
    began = time.perf_counter()
    session.ready()
    left = _alone(scratch / "alone")
    crowds = sampled([_drawn(seed) for seed in range(_CROWDS)], most)
    verdicts = judged(crowds, partial(_crowded, left), scratch)
    sizes = Counter(len(crowd.sweeps) for crowd in crowds)
    mixed = sum(any(sweep.machine == "elsewhere" for sweep in crowd.sweeps) for crowd in crowds)
    notes = [", ".join(f"{sizes[size]} of {size} sweeps" for size in sorted(sizes))]
    notes += [f"{mixed} as if on several machines"]
    return outcome("2 to 6 sweeps at once in one folder", crowds, verdicts, notes, began)


def run_silent(most: int | None, scratch: Path) -> Outcome:
    """Stop a holder at calls spread over all that it makes while it holds a job; wake it at all
    sorts of moments.
    """
    began = time.perf_counter()
    found = measured(scratch)
    chosen = sampled([*_holding(found.points)], _SILENCES)
    silences = sampled([_woken(number, point) for number, point in enumerate(chosen)], most)
    verdicts = judged(silences, partial(_silent, found.expected), scratch)
    ends = Counter(verdict.ends for verdict in verdicts)
    notes = [f"{count} {end}" for end, count in ends.most_common()]
    return outcome("holders stopped past their lease and woken", silences, verdicts, notes, began)


# --- a crowd


def _drawn(seed: int) -> Crowd:
    """A crowd;
    every second one of several machines, every third one not quite at the same moment.
    """
    draw = random.Random(seed)
    sweeps = []
    for number in range(draw.randint(_FEWEST, _MOST)):
        elsewhere = seed % 2 == 1 and (number == 0 or draw.random() < 0.5)
        later = draw.uniform(0, _STAGGER_SECONDS) if seed % 3 == 2 else 0.0
        sweeps.append(Sweep("elsewhere" if elsewhere else "here", later))
    return Crowd(seed, tuple(sweeps))


def _alone(results: Path) -> Expected:
    """What one sweep leaves that has the folder for itself;
    RuntimeError if it does not end well.
    """
    with _gathered([Sweep("here", 0.0)], results) as pipes:
        (end,) = map(_said, pipes)
    left = expected(results)
    if broken := [*_unwell(end), *zygote.ask(_crowd_checked, results, [*end.acknowledged], left)]:
        raise RuntimeError(f"an undisturbed sweep: {'; '.join(broken)}")
    return left


def _crowded(left: Expected, trial: Crowd, folder: Path) -> Verdict:
    """Let them all run to their ends, then look."""
    results = folder / "results"
    with _gathered(trial.sweeps, results) as pipes:
        ends = [_said(pipe) for pipe in pipes]
    broken = [
        f"sweep {number}: {problem}" for number, end in enumerate(ends) for problem in _unwell(end)
    ]
    acknowledged = [one for end in ends for one in end.acknowledged]
    broken += zygote.ask(_crowd_checked, results, acknowledged, left)
    broken += _unshared(Study(results / session.STUDY), acknowledged, left)
    return Verdict(tuple(broken), ", ".join(f"{len(end.acknowledged)} jobs" for end in ends))


def _unshared(study: Study, acknowledged: Acknowledged, left: Expected) -> Iterator[str]:
    """Jobs that nobody acknowledged, or that were trained to their end more than once."""
    yield from (f"{job}: nobody acknowledged it" for job in left.jobs - dict(acknowledged).keys())
    for job in sorted(left.jobs):
        if (trained := len([*study.job(job).glob("attempt-*/runs.parquet")])) != 1:
            yield f"{job}: was trained to its end {trained} times"
        if (begun := len([*study.job(job).glob("attempt-*")])) != 1:
            yield f"{job}: {begun} attempts, and nobody was silent"


@contextmanager
def _gathered(sweeps: Sequence[Sweep], results: Path) -> Iterator[list[Connection]]:
    """Sweeps in processes of their own that start together;
    each says over its pipe how it ended.
    """
    go = _FORK.Event()
    pipes, crew = [], []
    for sweep in sweeps:
        ours, theirs = _FORK.Pipe(duplex=False)
        process = _FORK.Process(target=_swept, args=(sweep, results, go, theirs))
        process.start()
        theirs.close()
        pipes.append(ours)
        crew.append(process)
    try:
        go.set()
        yield pipes
    finally:
        for process in crew:
            process.kill()
            process.join()


def _swept(sweep: Sweep, results: Path, go: Any, pipe: Connection) -> None:
    """The child: wait for all to be there, run the session, say how it ended and what it
    acknowledged.
    """
    _die_with_parent()
    _roomier()
    if sweep.machine == "elsewhere":
        _pretend_elsewhere()
    acknowledged: Acknowledged = []
    surprises: list[str] = []

    def tell(event: Event) -> None:
        if event.kind == "finished":
            acknowledged.append((event.job, hashes(Study(results / session.STUDY).job(event.job))))
        elif event.kind in ("resumed", "restarted", "retried"):
            surprises.append(f"{event.job}: {event.kind} {event.detail}, and nobody had left it")

    go.wait(_SECONDS)
    time.sleep(sweep.later)
    try:
        failed = session.run(results, tell).failed
    except Exception as error:
        pipe.send(End("unclean", shown(error), tuple(acknowledged)))
    else:
        pipe.send(End("done", " | ".join([*failed, *surprises]), tuple(acknowledged)))


def _crowd_checked(results: Path, acknowledged: Acknowledged, left: Expected) -> list[str]:
    """The invariant of what a crowd was asked for."""
    _roomier()
    return violations(results, acknowledged, left, finished=True)


def _roomier() -> None:
    """In a process that is good for nothing else: make the session one for a crowd."""
    session._SEEDS, session._LEASE_SECONDS = _SEEDS_OF_A_CROWD, _LONG_LEASE_SECONDS


# --- a holder that goes silent


def _holding(points: Sequence[Point]) -> Iterator[Point]:
    """The calls after which a session holds a job that has no end yet: from the claim until it says
    how it ended.
    """
    holds = False
    for point in points:
        path = point.where.rpartition(" -> ")[2]
        holds |= point.call == "link" and path.endswith("/claim-1")
        holds &= not (point.call == "pwrite64" and path.endswith("/claim-1"))
        if holds:
            yield point


def _woken(number: int, point: Point) -> Silence:
    """When the holder that is stopped at this point is woken: every moment in turn."""
    draw = random.Random(number)
    moments: list[Literal["before its lease is over", "successor ended"] | int]
    moments = [
        "before its lease is over",
        0,
        1,
        2,
        3,
        4,
        4,
        4,
        5,
        "successor ended",
        "successor ended",
    ]
    return Silence(point, draw.choice(moments), draw.uniform(0, _LATEST_SECONDS))


def _silent(left: Expected, trial: Silence, folder: Path) -> Verdict:
    """Stop the holder, have another session finish, wake the holder, let it end, and look."""
    results, log = folder / "results", folder / "log"
    ours, theirs = _FORK.Pipe(duplex=False)
    attendant = _FORK.Process(target=_attended, args=(trial.point, results, log, theirs))
    attendant.start()
    theirs.close()
    try:
        holder = ours.recv()
        if not _stopped(holder, log):
            return Verdict((f"was not stopped: {_said(ours).kind}",), "not stopped")
        job = _held_by(results, holder)
        if job is None:
            return Verdict(("it holds no job",), "not holding")
        successor = _succeeded(trial, results, holder, job)
        before = _contents(results)
        _wake(holder)
        end = _said(ours)
    finally:
        attendant.kill()
        attendant.join()
    broken = [f"the holder: {problem}" for problem in _unwell(end)]
    broken += [f"the successor: {problem}" for problem in _unwell(successor)]
    acknowledged = [*end.acknowledged, *successor.acknowledged]
    broken += zygote.ask(checked, results, acknowledged, left)
    broken += [f"{one}: nobody acknowledged it" for one in left.jobs - dict(acknowledged).keys()]
    if trial.woken == "successor ended":
        broken += [
            f"the holder, woken, wrote {path}" for path in _written(before, _contents(results), job)
        ]
    study = Study(results / session.STUDY)
    attempts = {one: len([*study.job(one).glob("attempt-*/runs.parquet")]) for one in left.jobs}
    broken += [
        f"{one}: was trained to its end {count} times"
        for one, count in attempts.items()
        if one != job and count != 1
    ]
    first = "the holder" if job in dict(end.acknowledged) else "the successor"
    return Verdict(tuple(broken), f"{first} was first, trained {attempts[job]} times")


def _attended(point: Point, results: Path, log: Path, pipe: Connection) -> None:
    """The child: a session as if on another machine, stopped at the point; says who it is, and how
    it ended.
    """
    _die_with_parent()
    _pretend_elsewhere()

    @contextmanager
    def tracer(child: int) -> Iterator[None]:
        with injecting(log, point, "signal=SIGSTOP")(child):
            pipe.send(child)
            yield

    pipe.send(zygote.run(results, tracer))


def _stopped(holder: int, log: Path) -> bool:
    """Whether a process has been stopped; it may have ended instead."""
    deadline = time.monotonic() + _SECONDS
    while time.monotonic() < deadline and Path(f"/proc/{holder}").exists():
        with suppress(FileNotFoundError):
            if _STOPPED in log.read_text(errors="replace"):
                return True
        time.sleep(_LOOK_SECONDS)
    return False


def _held_by(results: Path, holder: int) -> str | None:
    """The job that this process holds."""
    for folder in Study(results / session.STUDY).path.glob("jobs/*/*"):
        who = claims.held(folder)
        if who is not None and who.holder is not None and who.holder.pid == holder:
            return str(folder.name)
    return None


def _succeeded(trial: Silence, results: Path, holder: int, job: str) -> End:
    """Run another session to its end; at the right moment of it the holder is woken."""
    events = 0

    def heard(event: Event) -> None:
        nonlocal events
        if event.job == job and event.kind in ("started", "progress", "finished"):
            if events == trial.woken:
                signal.setitimer(signal.ITIMER_REAL, max(trial.later, 1e-6))
            events += 1

    before = signal.signal(signal.SIGALRM, lambda number, frame: _wake(holder))
    try:
        if trial.woken == "before its lease is over":
            signal.setitimer(signal.ITIMER_REAL, _BEFORE_LEASE_SECONDS)
        return zygote.run(results, heard=heard)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _wake(holder: int) -> None:
    """Let it go on, if it has not come to its end already."""
    with suppress(ProcessLookupError):
        os.kill(holder, signal.SIGCONT)


def _contents(results: Path) -> dict[str, str]:
    """The hash of every file in the folder, by its path in it."""
    paths = [path for path in results.rglob("*") if path.is_file()]
    return {
        str(path.relative_to(results)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in paths
    }


def _written(before: dict[str, str], after: dict[str, str], job: str) -> list[str]:
    """What is other now, but for what is the holder's own: its claim of the job, its attempt, its
    list.
    """
    own = f"{session.STUDY}/jobs/{job[:2]}/{job}"
    theirs = (f"{own}/attempt-1/", f"{session.STUDY}/done/{_ELSEWHERE}-")
    changed = [path for path in {**before, **after} if before.get(path) != after.get(path)]
    return [path for path in changed if path != f"{own}/claim-1" and not path.startswith(theirs)]


# --- processes


def _said(pipe: Connection) -> End:
    """How a session says it ended."""
    try:
        if pipe.poll(_SECONDS):
            end: End = pipe.recv()
            return end
    except EOFError:
        return End("killed", "left without a word", ())
    return End("hung", f"silent for {_SECONDS:.0f} s", ())


def _unwell(end: End) -> list[str]:
    """What is wrong with an end that should be one with all done."""
    return [] if end.kind == "done" and not end.text else [f"ended {end.kind}: {end.text}"]


def _pretend_elsewhere() -> None:
    """In a process that is good for nothing else: look like one of another machine."""
    known: Callable[[int], claims.Holder] = claims._holder

    def elsewhere(pid: int) -> claims.Holder:
        return replace(known(pid), host=_ELSEWHERE, boot="another", namespace="another")

    claims._holder = cache(elsewhere)


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_SET_DEATH_SIGNAL, signal.SIGKILL)
