"""Filling of a machine: the jobs of a study, timed one by one, as so many workers take them."""

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import final

import pandas as pd

from lib.bench.tables import number, table
from resformer.config import request
from resformer.numerics.process import configure_worker
from resformer.plan.division import list_schedule
from resformer.plan.jobs import Job
from resformer.training.loop import Training

_ONE_SHAPE = ("task=sort", "model.depth=8", "member.seed=range(0,16)", "train.steps=300")
_QUICK = ("member.lr=1e-3,3e-3,1e-2,3e-2", "train.steps=300")
_SPLIT_SECONDS = 0.2
"""Time for a checkpoint, a new plan, and both claims."""
_STUDIES = {
    "one shape, 16 members": (None, _ONE_SHAPE, (1, 2, 8)),
    "quick, 384 members, 300 steps": ("quick", _QUICK, (1, 8, 16, 64)),
}
"""Saved study, overrides, and numbers of workers to plan for."""


def measure() -> pd.DataFrame:
    """A row per study, number of workers that it is planned for, and job: its members and seconds.

    A job that two plans share is timed once.
    """
    configure_worker()
    seconds: dict[str, float] = {}
    rows = []
    for study, (saved, overrides, numbers) in _STUDIES.items():
        for workers in numbers:
            planned = request(saved, [*overrides, "device=cpu", f"engine.workers={workers}"])
            for job in planned.jobs():
                seconds[job.id] = seconds.get(job.id) or _seconds(job)
                rows.append(
                    {
                        "study": study,
                        "workers": workers,
                        "members": len(job.members),
                        "seconds": seconds[job.id],
                    }
                )
    return pd.DataFrame(rows)


def _seconds(job: Job) -> float:
    """Seconds of a job's training in this process."""
    return float(Training(job.shape, job.members).run().timing["seconds"])


@final
@dataclass(frozen=True)
class Filled:
    """How the jobs of a plan fill so many workers."""

    study: str
    workers: int
    jobs: int
    end: float
    """Seconds until the last job has ended."""
    even: float
    """The same, if all workers were busy until then."""
    undivided: float
    """The same of the plan for one worker."""
    split: float
    """The same as `end`, if idle workers took halves of running jobs."""


def filled(rows: pd.DataFrame) -> Iterator[Filled]:
    """Plans for more than one worker."""
    for study, part in rows.groupby("study", sort=False):
        plans = {int(str(key)): own for key, own in part.groupby("workers")}
        for workers, own in plans.items():
            if workers > 1:
                yield Filled(
                    study=str(study),
                    workers=workers,
                    jobs=len(own),
                    end=list_schedule(own["seconds"], workers),
                    even=own["seconds"].sum() / workers,
                    undivided=list_schedule(plans[1]["seconds"], workers),
                    split=split_schedule(zip(own["seconds"], own["members"], strict=True), workers),
                )


def split_schedule(jobs: Iterable[tuple[float, int]], workers: int) -> float:
    """Seconds until the last of these jobs has ended, each given by its seconds and members, if a
    worker that finds no job takes half of the members of the one that would end last, from its
    last checkpoint on, as long as that one ends sooner.
    """
    busy = [(0.0, 1)] * workers
    for seconds, members in jobs:
        free, _ = heapq.heappop(busy)
        heapq.heappush(busy, (free + seconds, members))
    while True:
        now, (end, members) = busy[0][0], max(busy)
        halves = [members - members // 2, members // 2]
        ends = [now + _SPLIT_SECONDS + (end - now) * half / members for half in halves]
        if members == 1 or ends[0] >= end:
            return end
        busy.remove((end, members))
        heapq.heapify(busy)
        heapq.heapreplace(busy, (ends[1], halves[1]))
        heapq.heappush(busy, (ends[0], halves[0]))


def render(rows: pd.DataFrame) -> str:
    """End of each study by workers."""
    cells = [
        [
            plan.study,
            str(plan.workers),
            str(plan.jobs),
            number(plan.end),
            *(f"{over:.2f}" for over in (plan.end / plan.even, plan.split / plan.even)),
            f"{plan.undivided / plan.end:.2f}",
        ]
        for plan in filled(rows)
    ]
    head = ["study", "workers", "jobs", "end, s", "× workers / work", "split", "undivided / end"]
    note = (
        "Jobs timed one by one on one thread, taken in the order of the plan by whoever is free. "
        "work: seconds of all jobs.\nsplit: end × workers / work, if a worker that finds no job "
        "took half of the members of the one that would end\nlast, which costs "
        f"{_SPLIT_SECONDS:g} s. undivided: the end of jobs that are planned for one worker."
    )
    return table("Filling of a machine", head, cells, [note])
