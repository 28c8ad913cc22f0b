"""A job: some members of one shape, trained together; as plain JSON, and back."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import final

from resformer.keys import Json
from resformer.model.program import has_program
from resformer.model.serial import (
    ID_DIGITS,
    canonical,
    recording_from_json,
    shape_from_json,
    shape_to_json,
    without_recording,
)
from resformer.model.shape import RESULTS_ONLY, Member, Recording, Shape
from resformer.plan.batching import members_per_job
from resformer.plan.cost import load, seconds_of_flops
from resformer.plan.division import Load, divide


@final
@dataclass(frozen=True, kw_only=True)
class Job:
    """Members of one shape, with what is known before they train."""

    shape: Shape
    members: tuple[Member, ...]
    recording: Recording = RESULTS_ONLY
    continues: str | None = None
    """Id of the finished job with a smaller budget, in the same study, from whose last checkpoint
    it goes on, to the bits that it would have without.
    """
    code: str = ""
    """Digest of the code that it is planned with; "" in the plans of earlier versions."""

    @property
    def id(self) -> str:
        """16 hex digits: a hash of the shape, the members and the code, whatever is recorded of
        them and wherever they go on from.
        """
        members = canonical([vars(member) for member in self.members])
        code = b'"code":' + canonical(self.code) + b"," if self.code else b""
        shape = _described(self.shape).canonical
        whole = b"{" + code + b'"members":' + members + b',"shape":' + shape + b"}"
        return hashlib.sha256(whole).hexdigest()[:ID_DIGITS]

    def flops(self) -> int:
        """Floating-point operations in matrix products if every member trains to the budget."""
        return len(self.members) * self.shape.train.steps * _described(self.shape).flops_per_step

    def to_json(self) -> Json:
        """The resolved job: a line of the plan, and `job.json`.

        Jobs of one shape share its tree.
        """
        described = _described(self.shape)
        return {
            "id": self.id,
            **({} if self.continues is None else {"continues": self.continues}),
            **({"code": self.code} if self.code else {}),
            "shape": _tree(self.shape, self.recording),
            "members": [vars(member) for member in self.members],
            "parameters": described.parameters,
            "ffn_width": described.ffn_width,
            "flops_per_step": described.flops_per_step,
            "flops": self.flops(),
            "seconds": described.load.seconds_per_job
            + len(self.members) * described.load.seconds_per_member,
            "whole_steps": described.whole_steps,
            "blind_loss": described.blind_loss,
            "tokens_per_step": described.tokens_per_step,
        }


@final
@dataclass(frozen=True, kw_only=True)
class _Described:
    """Facts that the jobs of a shape have in common."""

    canonical: bytes
    parameters: int
    ffn_width: int
    flops_per_step: int
    load: Load
    """Expected work of one member."""
    whole_steps: bool
    """True if kernels take whole steps."""
    blind_loss: float
    tokens_per_step: int


@cache
def _described(shape: Shape) -> _Described:
    """Facts of a shape, computed once: a study may have 100,000 jobs, and some take 0.1 ms."""
    transformer = shape.transformer()
    return _Described(
        canonical=canonical(shape_to_json(shape)),
        parameters=transformer.num_parameters,
        ffn_width=transformer.ffn_width,
        flops_per_step=transformer.flops_per_step(shape.train.batch),
        load=load(shape, 1, most=1),
        whole_steps=has_program(transformer, shape.device),
        blind_loss=shape.task.blind_loss(),
        tokens_per_step=shape.train.batch * shape.task.num_tokens(shape.model.attention),
    )


@cache
def _tree(shape: Shape, recording: Recording) -> Json:
    return shape_to_json(shape, recording)


def from_json(job: Json) -> Job:
    """The job that `to_json` was called on."""
    return Job(
        shape=shape_from_json(without_recording(job["shape"])),
        members=tuple(Member(**member) for member in job["members"]),
        recording=recording(job["shape"]),
        continues=job.get("continues"),
        code=job.get("code", ""),
    )


def recording(shape: Json) -> Recording:
    """The recording of a planned shape; results only if it names none, as a stranger's may."""
    named = "keep_weights" in shape["train"] and "every" in shape.get("probe", {})
    return recording_from_json(shape) if named else RESULTS_ONLY


def pack(
    groups: Sequence[tuple[Shape, Sequence[Member]]],
    *,
    most: int | None,
    workers: int,
    sharers: int,
    recordings: Mapping[Shape, Recording] | None = None,
    recompute: bool = False,
) -> list[list[Job]]:
    """Jobs of each group of members, of at most `most` members, of sizes as equal as possible.

    None is the number that suits the shape where `sharers` workers share a GPU; members whose
    results do not depend on it are then divided further, so that `workers` are expected to end as
    early as they can. Shapes without a recording keep their results only. `recompute` is whether
    activations are computed again.
    """
    loads = [
        load(shape, len(members), most=most or members_per_job(shape, sharers, recompute=recompute))
        for shape, members in groups
    ]
    counts = divide(loads, workers) if most is None else [load.fewest for load in loads]
    recordings = recordings or {}
    return [
        [
            Job(shape=shape, members=part, recording=recordings.get(shape, RESULTS_ONLY))
            for part in _parts(members, count)
        ]
        for (shape, members), count in zip(groups, counts, strict=True)
    ]


def longest_first(jobs: Iterable[Job]) -> list[Job]:
    """The jobs in the order in which they are to run."""
    return sorted(jobs, key=lambda job: place(job.to_json()))


def place(job: Json) -> tuple[float, str]:
    """Place of a planned job among those that are to run: the longest first."""
    return -job.get("seconds", seconds_of_flops(job["flops"])), job["id"]


def _parts(members: Sequence[Member], count: int) -> Iterator[tuple[Member, ...]]:
    """The members in so many parts of sizes as equal as possible."""
    bounds = [len(members) * part // count for part in range(count + 1)]
    return (tuple(members[low:high]) for low, high in pairwise(bounds))
