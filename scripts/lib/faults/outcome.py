"""What a campaign came to."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar, final

T = TypeVar("T")


@final
@dataclass(frozen=True)
class Outcome:
    """How many points a campaign tried, and what went wrong at those that failed, a text each."""

    fault: str
    points: int
    failures: list[str]
    seconds: float
    notes: tuple[str, ...] = ()
    """What else there is to know, such as how many points there were of each kind."""

    def row(self) -> str:
        """The fault, points, how many passed, and seconds."""
        passed = self.points - len(self.failures)
        return f"{self.fault:44} {self.points:6,} points {passed:6,} passed {self.seconds:7.1f} s"


@final
@dataclass(frozen=True)
class Verdict:
    """What became of one trial: what was violated, and how its sessions ended, in a few words."""

    broken: tuple[str, ...]
    ends: str


def outcome(
    fault: str,
    trials: Sequence[object],
    verdicts: Sequence[Verdict],
    notes: Sequence[str],
    began: float,
) -> Outcome:
    """The outcome of these trials; `began` is when, by the performance counter."""
    failures = [
        f"{trial} [{verdict.ends}]: {'; '.join(verdict.broken)}"
        for trial, verdict in zip(trials, verdicts, strict=True)
        if verdict.broken
    ]
    return Outcome(fault, len(trials), failures, time.perf_counter() - began, tuple(notes))


def sampled(points: Sequence[T], most: int | None) -> list[T]:
    """At most so many of the points, evenly spread, always the same ones; all of them for None."""
    if most is None or most >= len(points):
        return list(points)
    return [points[number * len(points) // most] for number in range(most)]
