"""Put faults into the store, the training and the command line, and print how many of them passed.

scripts/faults                  the short tier: a sample of every campaign, at most two minutes
scripts/faults NAME... [--points N]     these campaigns in full, or so many points of each
scripts/faults --keep [NAME...]         these, or all, in full, about an hour; writes
                                        results/reference/faults.md, where
                                other campaigns keep the figures of their last time
"""

import argparse
import re
import sys
import textwrap
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import torch

from lib.clusters import loopback
from lib.facts import ROOT, commit
from lib.faults import (
    clusters,
    damage,
    disks,
    folders,
    kills,
    machines,
    numbers,
    requests,
    resume,
    syscalls,
    together,
)
from lib.faults.campaign import Campaign, workshop
from resformer.plan.provenance import machine, versions

_TARGET = ROOT / "results" / "reference" / "faults.md"

_CAMPAIGNS = {
    campaign.name: campaign
    for campaign in (
        syscalls.KILLS,
        syscalls.ERRORS,
        disks.DISKS,
        kills.SWEEPS,
        kills.WORKERS,
        resume.RESUME,
        damage.DAMAGE,
        together.CROWDS,
        together.SILENCES,
        numbers.NUMBERS,
        requests.REQUESTS,
        folders.FOLDERS,
        machines.MACHINES,
        *clusters.CAMPAIGNS,
    )
}

_PREFACE = (
    "After every fault the same invariant is checked: the study opens; every result that was "
    "acknowledged is there with the same hash; no partial result is visible; each job has at most "
    "one result; running the same command finishes the study, and the table of results is "
    "identical to that of an undisturbed run.",
    "Of kills and preemptions on clusters, and of hosts, this is checked when the study has "
    "ended in which up to five of them fell: its last command left with exit code 0, no job "
    "failed, every result is what was committed, the report has nothing to complain of, and the "
    "table is that of an undisturbed run.",
    "Of strange machines each has a right outcome, an exit code and what is printed, which stands "
    "beside it; none prints a traceback, and what trains has the bits of an ordinary machine's.",
)
_SECTION = re.compile(r"^## (\S+)\n\n```\n(.*?)\n```$", re.MULTILINE | re.DOTALL)


def main() -> int:
    """Run the campaigns, print their outcomes; exit code 1 if a point failed."""
    options = _options()
    print(circumstances := _circumstances(), flush=True)
    points = failures = 0
    try:
        for campaign, most in _chosen(options):
            # Training flushes denormal numbers, which the fuzzing of a later campaign refuses.
            torch.set_flush_denormal(False)
            began = time.perf_counter()
            with workshop() as scratch:
                try:
                    outcome = campaign.run(most, scratch)
                except loopback.Missing as missing:
                    print(f"{campaign.name}: not tried, there is no {missing} here", flush=True)
                    continue
            lines = campaign.lines(outcome, time.perf_counter() - began)
            print("\n".join(lines), flush=True)
            if options.keep:
                command = f"$ scripts/faults --keep {campaign.name}"
                _keep(campaign, [circumstances, command, *lines])
            points += outcome.points
            failures += len(outcome.failures)
    except KeyboardInterrupt:
        return 130
    print(f"{points - failures} passed, {failures} failed")
    return 1 if failures else 0


def _options() -> argparse.Namespace:
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
    return options


def _chosen(options: argparse.Namespace) -> Iterator[tuple[Campaign, int | None]]:
    """Campaigns to run, and at most how many points of each."""
    at_length = options.keep or options.names
    for name in options.names or _CAMPAIGNS:
        campaign = _CAMPAIGNS[name]
        if at_length or campaign.short:
            yield campaign, options.points or (campaign.full if at_length else campaign.short)


def _keep(campaign: Campaign, lines: list[str]) -> None:
    """Write the lines of a campaign into the file, in place of those it had."""
    sections = dict(_SECTION.findall(_TARGET.read_text())) if _TARGET.exists() else {}
    sections[campaign.name] = "\n".join(lines)
    preface = [f"{textwrap.fill(paragraph, 120)}\n" for paragraph in _PREFACE]
    parts = [
        f"## {name}\n\n```\n{sections[name]}\n```\n" for name in _CAMPAIGNS if name in sections
    ]
    _TARGET.write_text("\n".join(["# Faults\n", *preface, *parts]))


def _circumstances() -> str:
    """Date, commit, machine and versions, in a line."""
    facts = {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "commit": commit(),
        **machine(),
        **versions(["cpu"]),
    }
    return ", ".join(f"{key} {value}" for key, value in facts.items())


if __name__ == "__main__":
    sys.exit(main())
