"""A job: some members of one shape, trained together. Here it becomes plain JSON and comes back."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any, TypeVar, final

from resformer.model.serial import ID_DIGITS, canonical, shape_from_json, shape_to_json
from resformer.model.shape import Member, Shape
from resformer.plan.batching import stack

Json = dict[str, Any]
Base = TypeVar("Base")


@final
@dataclass(frozen=True)
class Job:
    """Members of one shape, with what is known before they train."""

    shape: Shape
    members: tuple[Member, ...]

    @property
    def id(self) -> str:
        """16 hex digits: a hash of the shape and the members."""
        members = canonical([vars(member) for member in self.members])
        whole = b'{"members":' + members + b',"shape":' + _described(self.shape).canonical + b"}"
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
            "shape": described.tree,
            "members": [vars(member) for member in self.members],
            "parameters": described.parameters,
            "flops_per_step": described.flops_per_step,
            "flops": self.flops(),
            "blind_loss": described.blind_loss,
        }


@final
@dataclass(frozen=True)
class _Described:
    """What the jobs of a shape have in common."""

    tree: Json
    canonical: bytes
    parameters: int
    flops_per_step: int
    blind_loss: float


@cache
def _described(shape: Shape) -> _Described:
    """Worked out once: a study may have 100,000 jobs, and some of it takes 0.1 ms."""
    tree, transformer = shape_to_json(shape), shape.transformer()
    flops_per_step = transformer.flops_per_step(shape.train.batch)
    return _Described(
        tree, canonical(tree), transformer.parameters(), flops_per_step, shape.task.blind_loss()
    )


def from_json(job: Json) -> Job:
    """The job that `to_json` was called on."""
    return Job(shape_from_json(job["shape"]), tuple(Member(**member) for member in job["members"]))


def pack(
    shape_members: Sequence[tuple[Shape, Sequence[Member]]], most: int | None, sharers: int
) -> list[Job]:
    """Jobs of at most so many members each, as even as they come, the longest first.

    None: what suits the shape, if so many workers share a GPU.
    """
    jobs = []
    for shape, members in shape_members:
        count = -(-len(members) // (most or stack(shape, sharers)))
        bounds = [len(members) * part // count for part in range(count + 1)]
        jobs += [Job(shape, tuple(members[low:high])) for low, high in pairwise(bounds)]
    return sorted(jobs, key=lambda job: (-job.flops(), job.id))
