"""What an undisturbed session does and leaves: the standard that all others are held to."""

from dataclasses import dataclass
from pathlib import Path
from typing import final

from lib.faults import session, zygote
from lib.faults.invariant import Expected, Hashes, expected, violations
from lib.faults.strace import Point, points, watching


@final
@dataclass(frozen=True)
class Undisturbed:
    """What a session leaves, and the calls by which it does, in order."""

    expected: Expected
    points: tuple[Point, ...]


def measured(scratch: Path) -> Undisturbed:
    """Make this process ready for sessions to be forked from it, and run one to see what it does.

    Raises RuntimeError if a session that nothing disturbs does not hold to the invariant, or is not
    the same twice.
    """
    session.ready()
    session.run(
        scratch / "first", lambda event: None
    )  # here, so that whatever is imported late is imported
    left = expected(scratch / "first")
    seen = []
    for name in ("second", "third"):
        end = zygote.run(scratch / name, watching(scratch / f"{name}.log"))
        broken = zygote.ask(checked, scratch / name, end.acknowledged, left)
        if end.kind != "done" or end.text or broken:
            raise RuntimeError(f"an undisturbed session: {end.kind} {end.text} {'; '.join(broken)}")
        seen.append(points(scratch / f"{name}.log", scratch / name))
    if seen[0] != seen[1]:
        raise RuntimeError("the session does not make the same calls every time")
    return Undisturbed(left, tuple(seen[1]))


def recovered(results: Path, acknowledged: list[tuple[str, Hashes]], left: Expected) -> list[str]:
    """Run the session again, undisturbed: what does not hold then. Adds what it acknowledges."""
    end = zygote.run(results)
    acknowledged += end.acknowledged
    broken = zygote.ask(checked, results, acknowledged, left)
    if end.kind != "done" or end.text:
        broken.insert(0, f"running it again: {end.kind}: {end.text}")
    return broken


def checked(results: Path, acknowledged: list[tuple[str, Hashes]], left: Expected) -> list[str]:
    """The invariant after an undisturbed session."""
    return violations(results, acknowledged, left, finished=True)
