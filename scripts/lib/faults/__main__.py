"""Put faults into the store, the training and the command line, and print how many of them passed.

scripts/faults                  the short tier: a sample of every campaign, at most two minutes
scripts/faults NAME... [--points N]     these campaigns in full, or so many points of each
scripts/faults --keep [NAME...]         these, or all, in full, about an hour; writes
                                        results/reference/faults.md, where
                                other campaigns keep the figures of their last time
"""

import argparse
import os
import re
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import torch

from lib.clusters import loopback
from lib.facts import described, machine
from lib.faults import (
    damage,
    disks,
    elsewhere,
    folders,
    hostile,
    kills,
    numbers,
    resume,
    syscalls,
    together,
)
from lib.faults.lanes import workshop
from lib.faults.outcome import Outcome
from resformer.plan.provenance import versions

_ROOT = Path(__file__).resolve().parents[3]
_TARGET = _ROOT / "results" / "reference" / "faults.md"
_MEMORY = Path("/dev/shm")
"""Where there is a file system in memory the trials run there: a kill does not tell it from a disk.
"""

Campaign = Callable[[int | None, Path], Outcome]

_CAMPAIGNS: dict[str, tuple[Campaign, int, int | None]] = {
    "syscalls": (syscalls.run, 24, 420),
    "errors": (syscalls.run_errors, 24, 420),
    "disks": (disks.run, 16, None),
    "kills": (kills.run, 2, None),
    "workers": (kills.run_workers, 2, None),
    "resume": (resume.run, 24, 330),
    "damage": (damage.run, 400, None),
    "together": (together.run, 6, None),
    "silent": (together.run_silent, 4, None),
    "numbers": (numbers.run, 10, 400),
    "hostile": (hostile.run, 200, None),
    "folders": (folders.run, 50, 1000),
    "ray-workers": (elsewhere.workers_of_ray, 0, None),
    "ray-nodes": (elsewhere.nodes_of_ray, 0, None),
    "ray-sweeps": (elsewhere.drivers_of_ray, 0, None),
    "slurm-pilots": (elsewhere.pilots_of_slurm, 0, None),
    "slurm-sweeps": (elsewhere.drivers_of_slurm, 0, None),
    "preemptions": (elsewhere.preemptions, 0, None),
    "machines": (elsewhere.machines, 0, None),
}
"""By name: the campaign, its points in the short tier (0: none), and at length (None: all)."""

_HEAD = """# Faults

After every fault the same invariant is checked: the study opens; every result that was acknowledged
is there with the same hash; no partial result is visible; each job has at most one result; running
the same command finishes the study, and the table of results is identical to that of an undisturbed
run.

Of kills and preemptions on clusters, and of machines, this is checked when the study has ended in
which up to five of them fell: its last command left with exit code 0, no job failed, every result
is what was committed, the report has nothing to complain of, and the table is that of an
undisturbed run.
"""


_PART = re.compile(r"^## (\S+)\n\n```\n(.*?)\n```$", re.MULTILINE | re.DOTALL)


def main() -> int:
    """Run, print; 1 if a point failed."""
    parser = argparse.ArgumentParser(
        prog="scripts/faults",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"campaigns: {', '.join(_CAMPAIGNS)}"
    )
    parser.add_argument("--points", type=int, help="at most so many of each, evenly spread")
    parser.add_argument("--keep", action="store_true", help="at length, and write the figures down")
    options = parser.parse_args()
    if options.keep and options.points:
        parser.error("--keep is of campaigns in full, without --points")
    if unknown := set(options.names) - _CAMPAIGNS.keys():
        parser.error(f"no such campaign: {', '.join(sorted(unknown))}")
    print(circumstances := _circumstances(), flush=True)
    outcomes = []
    try:
        for name, points in _asked(options):
            torch.set_flush_denormal(
                False
            )  # what the one before set for its training, the next one's fuzzing refuses
            with workshop(_MEMORY if os.access(_MEMORY, os.W_OK) else None) as scratch:
                try:
                    outcomes.append(_CAMPAIGNS[name][0](points, scratch))
                except loopback.Missing as missing:
                    print(f"{name}: not tried, there is no {missing} here", flush=True)
                    continue
            print("\n".join(told := _told(outcomes[-1])), flush=True)
            if options.keep:
                _keep(name, [circumstances, f"$ scripts/faults --keep {name}", *told])
    except KeyboardInterrupt:
        return 130
    failed = sum(len(outcome.failures) for outcome in outcomes)
    tried = sum(outcome.points for outcome in outcomes)
    print(f"{tried - failed} passed, {failed} failed")
    return 1 if failed else 0


def _asked(options: argparse.Namespace) -> Iterator[tuple[str, int | None]]:
    """Campaigns, and how many points of each."""
    whole = options.keep or options.names
    for name in options.names or _CAMPAIGNS:
        _, short, full = _CAMPAIGNS[name]
        if whole or short:
            yield name, options.points or (full if whole else short)


def _keep(name: str, lines: list[str]) -> None:
    """Write the figures of a campaign down, in place of those it had."""
    kept = dict(_PART.findall(_TARGET.read_text())) if _TARGET.exists() else {}
    kept[name] = "\n".join(lines)
    parts = [f"## {name}\n\n```\n{kept[name]}\n```\n" for name in _CAMPAIGNS if name in kept]
    _TARGET.write_text("\n".join([_HEAD, *parts]))


def _told(outcome: Outcome) -> list[str]:
    """What there is to say of a campaign, line by line."""
    notes = [f"  {line}" for line in outcome.notes]
    return [outcome.row(), *notes, *(f"FAILED {failure}" for failure in outcome.failures)]


def _circumstances() -> str:
    """Date, commit, machine and versions."""
    facts = {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "commit": described(_ROOT),
        **machine(),
        **versions(compiled=True),
    }
    return ", ".join(f"{key} {value}" for key, value in facts.items())


if __name__ == "__main__":
    sys.exit(main())
