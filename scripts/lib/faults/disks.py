"""Real disks that are too small, fill up, go read-only or are pulled out during the session."""

import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, final

from lib.faults import forked
from lib.faults.campaign import Campaign, Outcome, Verdict, listed, sampled, tried, verdict
from lib.faults.forked import End
from lib.faults.invariant import Expected
from lib.faults.mounts import Disk, disk, private
from lib.faults.session import Heard
from lib.faults.undisturbed import Trial, measured
from resformer.workers.events import Event

_PAGE = 4096
_PAGES_TO_SPARE = 12
"""More than anything that is there only between two events, such as a temporary file."""
_INODES_TO_SPARE = 4
_BYTES = re.compile(r"\d[\d,.]* ?(bytes?|[kMG]i?B)\b")


@final
@dataclass(frozen=True)
class Small:
    """A disk of so many KiB, or so many files and folders, from the start."""

    size: int
    unit: Literal["KiB", "inodes"]

    def __str__(self) -> str:
        return f"a disk of {self.size} {self.unit}"


@final
@dataclass(frozen=True)
class Sudden:
    """A disk that fails at the n-th event of the session; 0 is before it starts."""

    what: Literal["full", "read-only", "gone"]
    event: int

    def __str__(self) -> str:
        return f"a disk {self.what} {f'at event {self.event}' if self.event else 'from the start'}"


def _disks(most: int | None, scratch: Path) -> Outcome:
    """Disks of every size up to one that is just enough; full, read-only or gone at every event."""
    standard = measured(scratch)
    results = scratch / "sizes"
    sizes: list[tuple[int, int]] = []
    forked.run(results, heard=lambda event: sizes.append(_taken(results)))
    events = len(sizes)
    pages, inodes = (max(column) for column in zip(*sizes, _taken(results), strict=True))
    trials: list[Small | Sudden] = []
    trials += [Small(count * _PAGE // 1024, "KiB") for count in range(1, pages + _PAGES_TO_SPARE)]
    trials += [Small(count, "inodes") for count in range(1, inodes + _INODES_TO_SPARE)]
    trials += [
        Sudden(what, event) for what in ("full", "read-only", "gone") for event in range(events + 1)
    ]
    chosen = sampled(trials, most)
    kinds = listed(trial.unit if isinstance(trial, Small) else trial.what for trial in chosen)
    judge = partial(_failed, standard.expected)
    return tried(chosen, judge, scratch, notes=[kinds], prepare=private)


DISKS = Campaign(
    name="disks",
    fault="disk too small, full, read-only, gone",
    short=16,
    full=None,
    run=_disks,
)


def _failed(expected: Expected, failure: Small | Sudden, folder: Path) -> Verdict:
    """Run on such a disk, look, put it right, recover, look again."""
    with disk(folder) as made:
        trial = Trial(made.place / "results", expected)
        end = trial.run(heard=_prepared(failure, made))
        trial.broken += _unclear(failure, end, trial.results)
        if made.place.is_mount():
            trial.look()
        made.restore()
        trial.look()
        trial.recover()
    return verdict(failure, trial.broken, str(end))


def _prepared(failure: Small | Sudden, made: Disk) -> Heard:
    """Make the disk fail now, or return what will at the right event."""
    if isinstance(failure, Small):
        size = f"size={failure.size}k" if failure.unit == "KiB" else f"nr_inodes={failure.size}"
        made.limit(size)
        return lambda event: None
    strike = {"full": made.fill, "read-only": made.protect, "gone": made.pull}[failure.what]
    if failure.event == 0:
        strike()
    count = 0

    def heard(event: Event) -> None:
        nonlocal count
        count += 1
        if count == failure.event:
            strike()

    return heard


def _unclear(failure: Small | Sudden, end: End, results: Path) -> list[str]:
    """List what is wrong with how the session ended: it must come to its end, or name the path and
    the bytes that it needed.
    """
    if not end.orderly:
        return [f"ended {end.kind}: {end.text}"]
    if not end.text:
        return []
    full = (failure.unit if isinstance(failure, Small) else failure.what) in ("KiB", "full")
    missing = [] if str(results) in end.text else ["the path is not named"]
    missing += ["the bytes wanted are not named"] if full and not _BYTES.search(end.text) else []
    return [f"{', '.join(missing)}: {end.text}"] if missing else []


def _taken(results: Path) -> tuple[int, int]:
    """Pages and inodes of a folder."""
    paths = [*results.rglob("*")]
    return sum(-(-path.stat().st_size // _PAGE) for path in paths if path.is_file()), len(paths) + 1
