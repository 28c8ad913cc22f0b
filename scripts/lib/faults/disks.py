"""Real disks that are too small, fill up, go read-only or are pulled out while the session runs,
and are put right.
"""

import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, final

from lib.faults import zygote
from lib.faults.invariant import Expected, Hashes, violations
from lib.faults.lanes import judged
from lib.faults.mounts import Disk, disk, private
from lib.faults.outcome import Outcome, Verdict, outcome, sampled
from lib.faults.syscalls import described
from lib.faults.undisturbed import measured, recovered
from lib.faults.zygote import End
from resformer.workers.events import Event

_PAGE = 4096
_PAGES_TO_SPARE = 12
"""More than anything that is there only between two events, such as a temporary file."""
_INODES_TO_SPARE = 4
_BYTES = re.compile(r"\d[\d,.]* ?(bytes?|[kMG]i?B)\b")


@final
@dataclass(frozen=True)
class Small:
    """A disk of this size from the start: so many KiB, or so many files and folders."""

    size: int
    unit: Literal["KiB", "inodes"]

    def __str__(self) -> str:
        return f"a disk of {self.size} {self.unit}"


@final
@dataclass(frozen=True)
class Sudden:
    """A disk that this happens to at an event of the session, by its number;
    0 is before it starts.
    """

    what: Literal["full", "read-only", "gone"]
    event: int

    def __str__(self) -> str:
        return f"a disk {self.what} {f'at event {self.event}' if self.event else 'from the start'}"


def run(most: int | None, scratch: Path) -> Outcome:
    """Disks of every size up to one that is just enough; and full, read-only or gone at every
    event.
    """
    began = time.perf_counter()
    found = measured(scratch)
    seen: list[tuple[int, int]] = []
    zygote.run(scratch / "seen", heard=lambda event: seen.append(_taken(scratch / "seen")))
    pages, inodes = (max(column) for column in zip(*seen, _taken(scratch / "seen"), strict=True))
    trials: list[Small | Sudden] = []
    trials += [Small(count * _PAGE // 1024, "KiB") for count in range(1, pages + _PAGES_TO_SPARE)]
    trials += [Small(count, "inodes") for count in range(1, inodes + _INODES_TO_SPARE)]
    trials += [
        Sudden(what, event)
        for what in ("full", "read-only", "gone")
        for event in range(len(seen) + 1)
    ]
    chosen = sampled(trials, most)
    verdicts = judged(chosen, partial(_tried, found.expected), scratch, private)
    ends = Counter(verdict.ends for verdict in verdicts)
    kinds = Counter(trial.unit if isinstance(trial, Small) else trial.what for trial in chosen)
    notes = [", ".join(f"{count} {kind}" for kind, count in kinds.items())]
    notes += [f"{count} {end}" for end, count in ends.most_common()]
    return outcome("disk too small, full, read-only, gone", chosen, verdicts, notes, began)


def _tried(left: Expected, trial: Small | Sudden, folder: Path) -> Verdict:
    """Run on such a disk, look, put it right, recover, look again."""
    with disk(folder) as made:
        results = made.place / "results"
        end = zygote.run(results, heard=_prepared(trial, made))
        acknowledged: list[tuple[str, Hashes]] = [*end.acknowledged]
        broken = list(_unclear(trial, end, results))
        if made.place.is_mount():
            broken += zygote.ask(violations, results, acknowledged, left)
        made.restore()
        broken += zygote.ask(violations, results, acknowledged, left)
        broken += recovered(results, acknowledged, left)
    return Verdict(tuple(broken), described(end))


def _prepared(trial: Small | Sudden, made: Disk) -> Callable[[Event], None]:
    """Make the disk such, now or when it is time."""
    if isinstance(trial, Small):
        made.limit(f"size={trial.size}k" if trial.unit == "KiB" else f"nr_inodes={trial.size}")
        return lambda event: None
    strike = {"full": made.fill, "read-only": made.protect, "gone": made.pull}[trial.what]
    count = 0

    def heard(event: Event | None) -> None:
        nonlocal count
        if count == trial.event:
            strike()
        count += 1

    heard(None)
    return heard


def _unclear(trial: Small | Sudden, end: End, results: Path) -> list[str]:
    """What is wrong with how the session ended: it must come to its end, or name the path, and the
    bytes it wanted.
    """
    if not end.orderly:
        return [f"ended {end.kind}: {end.text}"]
    if not end.text:
        return []
    wrong = [] if str(results) in end.text else ["the path is not named"]
    full = (isinstance(trial, Small) and trial.unit == "KiB") or (
        isinstance(trial, Sudden) and trial.what == "full"
    )
    wrong += ["the bytes wanted are not named"] if full and not _BYTES.search(end.text) else []
    return [f"{', '.join(wrong)}: {end.text}"] if wrong else []


def _taken(results: Path) -> tuple[int, int]:
    """Pages and inodes of what is in a folder."""
    paths = [*results.rglob("*")]
    return sum(-(-path.stat().st_size // _PAGE) for path in paths if path.is_file()), len(paths) + 1
