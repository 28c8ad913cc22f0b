"""The undisturbed session, which all others are held to; and a folder in which one is disturbed."""

from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import final

from lib.faults import forked, session
from lib.faults.forked import End, Tracer
from lib.faults.invariant import Expected, Hashes, expected, violations
from lib.faults.session import Heard
from lib.faults.strace import Point, points, watching

_TRIES = 10


@final
@dataclass(frozen=True)
class Undisturbed:
    """Results of a session, and the calls by which it makes them, in order."""

    expected: Expected
    points: tuple[Point, ...]


def measured(scratch: Path) -> Undisturbed:
    """Make this process ready for sessions to be forked from it, and watch one.

    Raises RuntimeError if a session that nothing disturbs does not hold to the invariant, or is
    never the same twice; on a machine so busy that a heartbeat comes between, another is watched.
    """
    session.ready()
    session.run(scratch / "first")  # here, so that whatever is imported late is imported
    standard = expected(scratch / "first", session.request())
    calls: list[list[Point]] = []
    while len(calls) < 2 or calls[-1] != calls[-2]:
        if len(calls) == _TRIES:
            raise RuntimeError("the session does not make the same calls every time")
        name = f"watched-{len(calls)}"
        trial = Trial(scratch / name, standard)
        trial.recover(watching(scratch / f"{name}.log"))
        if trial.broken:
            raise RuntimeError(f"an undisturbed session: {'; '.join(trial.broken)}")
        calls.append(points(scratch / f"{name}.log", scratch / name))
    return Undisturbed(standard, tuple(calls[-1]))


@final
@dataclass
class Trial:
    """Sessions in one folder one after the other, and all that was broken meanwhile."""

    results: Path
    expected: Expected
    broken: list[str] = field(default_factory=list)
    acknowledged: list[tuple[str, Hashes]] = field(default_factory=list)

    def run(self, tracer: Tracer = nullcontext, heard: Heard = lambda event: None) -> End:
        """Run a session; what it acknowledges is held against every later look."""
        end = forked.run(self.results, tracer, heard)
        self.acknowledged += end.acknowledged
        return end

    def look(self) -> None:
        """Hold the folder to the invariant."""
        self.broken += forked.ask(violations, self.results, self.acknowledged, self.expected)

    def recover(self, tracer: Tracer = nullcontext) -> None:
        """Run a session to its end, and hold the folder to the invariant of a finished one."""
        end = self.run(tracer)
        if not end.finished:
            self.broken.append(f"running it again: {end.kind}: {end.text}")
        self.broken += forked.ask(finished, self.results, self.acknowledged, self.expected)


def finished(
    results: Path, acknowledged: list[tuple[str, Hashes]], expected: Expected
) -> list[str]:
    """List what does not hold after an undisturbed session."""
    return violations(results, acknowledged, expected, finished=True)
