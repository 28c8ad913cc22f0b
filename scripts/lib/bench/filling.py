"""Filling of a machine: the jobs of a study, timed one by one, as so many workers take them."""

from collections.abc import Iterator

import pandas as pd

from lib.bench.tables import table
from resformer.config import request
from resformer.numerics.process import configure_worker
from resformer.plan.division import list_schedule
from resformer.plan.jobs import Job
from resformer.training.loop import Training

_ONE_SHAPE = ("task=sort", "model.depth=8", "member.seed=range(0,16)", "train.steps=300")
_QUICK = ("member.lr=1e-3,3e-3,1e-2,3e-2", "train.steps=300")
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


def filled(rows: pd.DataFrame) -> Iterator[tuple[str, int, int, float, float]]:
    """Study, workers, jobs, end over that of workers who are busy until then, and the end of the
    plan for one worker over it.
    """
    for study, part in rows.groupby("study", sort=False):
        plans = {int(str(key)): own["seconds"] for key, own in part.groupby("workers")}
        for workers, own in plans.items():
            if workers > 1:
                ends = list_schedule(own, workers)
                before = list_schedule(plans[1], workers)
                yield str(study), workers, len(own), ends / (own.sum() / workers), before / ends


def render(rows: pd.DataFrame) -> str:
    """End of each study by workers."""
    cells = [
        [study, str(workers), str(jobs), f"{over_even:.2f}", f"{sooner:.2f}"]
        for study, workers, jobs, over_even, sooner in filled(rows)
    ]
    head = ["study", "workers", "jobs", "end × workers / work", "undivided / end"]
    note = (
        "Jobs timed one by one on one thread, taken in the order of the plan by whoever is free. "
        "work: seconds of all jobs.\nundivided: the end of jobs that are planned for one worker."
    )
    return table("Filling of a machine", head, cells, [note])
