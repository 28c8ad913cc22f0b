"""The finished job that another one goes on from: its results, and its last checkpoint."""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
import pyarrow as pa
from safetensors.numpy import load

from resformer.keys import Json
from resformer.model.shape import Member
from resformer.plan import jobs
from resformer.plan.jobs import Job
from resformer.store import checkpoints
from resformer.store.checkpoints import Checkpoint
from resformer.store.study import Study
from resformer.training.loop import Arrays, Trained
from resformer.training.outcome import settled


class Unlike(Exception):
    """One line: a planned job, and why another one cannot go on from it."""


@final
@dataclass(frozen=True)
class Shorter:
    """A finished job with a smaller budget, and the index in it of each member of another job."""

    study: Study
    job: Job
    indices: Sequence[int]

    @property
    def steps(self) -> int:
        """Its budget."""
        return self.job.shape.train.steps

    def checkpoints(self) -> Iterator[Checkpoint]:
        """Its intact checkpoints, the furthest first. Raises DiskError."""
        return checkpoints.best_first(self.study.job(self.job.id))

    def results(self) -> Trained | None:
        """Its results of the other job's members if all are settled, else None.

        Raises Damaged.
        """
        result = self.study.results.read(self.job.id)
        table = result.runs([vars(member) for member in self.job.members])
        rows = table.take(self.indices).to_pylist()
        train = self.job.shape.train
        if not all(settled(row["outcome"], row["last_step"], train) for row in rows):
            return None
        members = [self.job.members[index] for index in self.indices]
        probed = "layers.parquet" in result.contents
        kept = "weights.safetensors" in result.contents
        weights = load(result.contents["weights.safetensors"]) if kept else {}
        return Trained(
            runs={name: [row[name] for row in rows] for name in table.column_names},
            curves=_of_members(result.table("curves"), members),
            layers=_of_members(result.table("layers"), members) if probed else {},
            timing=result.timing(),
            weights={name: part[self.indices] for name, part in weights.items()},
            settled=True,
        )


def shorter(study: Study, planned: Json | None, job: Job) -> Shorter:
    """The job planned like this, from which `job` goes on. Raises Unlike if it cannot."""
    if planned is None:
        raise Unlike(f"job {job.continues} is in no plan")
    earlier = jobs.from_json(planned)
    longer = dataclasses.replace(earlier.shape.train, steps=job.shape.train.steps)
    same = dataclasses.replace(earlier.shape, train=longer) == job.shape
    if not same or earlier.shape.train.steps >= job.shape.train.steps:
        raise Unlike(f"job {earlier.id} does not differ in a smaller train.steps only")
    if earlier.recording != job.recording:
        raise Unlike(f"job {earlier.id} kept other weights or probes")
    index = {member: position for position, member in enumerate(earlier.members)}
    for member in job.members:
        if member not in index:
            raise Unlike(
                f"job {earlier.id} has no seed {member.seed} at learning rate {member.lr:g}"
            )
    return Shorter(study, earlier, [index[member] for member in job.members])


def _of_members(table: pa.Table, members: Sequence[Member]) -> Arrays:
    """The rows of these members, in their order."""
    columns = {name: table[name].to_numpy() for name in table.column_names}
    rows = [
        np.flatnonzero((columns["seed"] == member.seed) & (columns["lr"] == member.lr))
        for member in members
    ]
    return {name: values[np.concatenate(rows)] for name, values in columns.items()}
