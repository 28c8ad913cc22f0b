"""A campaign: one kind of fault, the trials that put it in, and how many of its points passed."""

import multiprocessing
import os
import signal
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, final

from lib.faults.processes import die_with_parent

T = TypeVar("T")
Judge = Callable[[T, Path], "Verdict"]
"""Tries a trial in an empty folder."""

_LANES = 2
_MEMORY = Path("/dev/shm")
"""A file system in memory, where there is one: a kill does not tell it from a disk."""


@final
@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Points that were tried, a text per point that failed, and notes, such as points by kind."""

    points: int
    failures: Sequence[str]
    notes: Sequence[str] = ()


@final
@dataclass(frozen=True, kw_only=True)
class Campaign:
    """One kind of fault, and how it is tried."""

    name: str
    """On the command line."""
    fault: str
    """In the table of outcomes."""
    short: int
    """Points in the short tier; 0 leaves the campaign out of it."""
    full: int | None
    """Points at length; None: all there are."""
    run: Callable[[int | None, Path], Outcome]
    """Tries at most so many points (None: all) in an empty folder."""

    def lines(self, outcome: Outcome, seconds: float) -> list[str]:
        """Text of an outcome: its row, its notes, its failures."""
        points, passed = outcome.points, outcome.points - len(outcome.failures)
        return [
            f"{self.fault:44} {points:6,} points {passed:6,} passed {seconds:7.1f} s",
            *(f"  {note}" for note in outcome.notes),
            *(f"FAILED {failure}" for failure in outcome.failures),
        ]


@final
@dataclass(frozen=True)
class Verdict:
    """Result of one trial: a text per point that failed, and how its sessions ended, in words."""

    failures: tuple[str, ...]
    ends: tuple[str, ...]


def verdict(trial: object, broken: Sequence[str], end: str) -> Verdict:
    """Judge a trial that is one point, by all that is broken after it."""
    return Verdict((f"{trial} [{end}]: {'; '.join(broken)}",) if broken else (), (end,))


def by_frequency(counts: Counter[str]) -> list[str]:
    """Notes of a count, the most frequent first."""
    return [f"{count} {name}" for name, count in counts.most_common()]


def listed(names: Iterable[str]) -> str:
    """Note of how often each name occurs, in order of appearance."""
    return ", ".join(f"{count} {name}" for name, count in Counter(names).items())


def sampled(points: Sequence[T], most: int | None) -> list[T]:
    """Draw at most `most` points, evenly spread, always the same ones; all of them for None."""
    if most is None or most >= len(points):
        return list(points)
    return [points[number * len(points) // most] for number in range(most)]


def tried(
    trials: Sequence[T],
    judge: Judge[T],
    scratch: Path,
    *,
    notes: Sequence[str] = (),
    tally: Callable[[Counter[str]], Sequence[str]] = by_frequency,
    points: int | None = None,
    prepare: Callable[[], None] = lambda: None,
) -> Outcome:
    """Judge every trial, two at a time, each in a folder of its own, and sum up.

    Nothing is left behind, also when it is interrupted: the lanes are forked from this process,
    which has imported everything, and die with it. `prepare` is called in each of them; `tally`
    makes notes of how sessions ended; `points` is how many there are if a trial is not just one.
    """
    context = multiprocessing.get_context("fork")
    pool = ProcessPoolExecutor(_LANES, context, _begin, (prepare,))
    try:
        verdicts = list(pool.map(_judged, [(trial, judge, scratch) for trial in trials]))
    finally:
        pool.shutdown(cancel_futures=True)
    ends = Counter(end for verdict in verdicts for end in verdict.ends)
    return Outcome(
        points=len(trials) if points is None else points,
        failures=[failure for verdict in verdicts for failure in verdict.failures],
        notes=[*notes, *tally(ends)],
    )


@contextmanager
def workshop() -> Iterator[Path]:
    """Make an empty folder, in memory where it can be; it is gone afterwards, also if this process
    is told to end.
    """
    before = signal.signal(signal.SIGTERM, _interrupted)
    try:
        with tempfile.TemporaryDirectory(
            dir=_MEMORY if os.access(_MEMORY, os.W_OK) else None,
            prefix="campaign-",
            ignore_cleanup_errors=True,
        ) as path:
            yield Path(path).resolve()
    finally:
        signal.signal(signal.SIGTERM, before)


def _begin(prepare: Callable[[], None]) -> None:
    die_with_parent()
    # Whoever started the campaign is told to stop; a lane ends its trial, and gets no other.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    prepare()


def _judged(task: tuple[T, Judge[T], Path]) -> Verdict:
    trial, judge, scratch = task
    with tempfile.TemporaryDirectory(dir=scratch, prefix="trial-") as folder:
        return judge(trial, Path(folder))


def _interrupted(number: int, frame: object) -> None:
    raise KeyboardInterrupt
