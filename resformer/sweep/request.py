"""A resolved request: the shapes of a sweep with their members, the engine, the exclusions."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import final

from resformer.engines.base import Engine
from resformer.errors import require_between
from resformer.keys import Json
from resformer.model.shape import Member, Recording, Shape
from resformer.plan.jobs import Job, longest_first, pack
from resformer.store.folder import TRAINED


@final
@dataclass(frozen=True, kw_only=True)
class Request:
    """A request for a sweep with all settings resolved."""

    study: str
    overrides: list[list[str]]
    """The grids, each a list of overrides; those of the command line replace the study's."""
    swept: list[str] = field(default_factory=list)
    shapes: list[tuple[Shape, list[Member]]]
    excluded: list[Json] = field(default_factory=list)
    """Combinations that make no sense, with the reason."""
    engine: Engine
    checkpoint_seconds: float
    """Least time between two checkpoints of a job; no result depends on it."""
    keep_checkpoint: bool
    """True to keep the last checkpoint of a job whose unsolved members a longer budget could train
    on; no result depends on it.
    """
    recompute: bool = False
    """True to compute the activations of each block again in the backward pass, for memory; no
    result depends on it.
    """
    notes: list[str] = field(default_factory=list)
    """Notes for the user on how settings were resolved."""
    recordings: Mapping[Shape, Recording] = field(default_factory=dict)
    """Data kept beside the results, by shape; shapes that are not named keep their results only."""
    auto_rates: frozenset[Shape] = frozenset()
    """Shapes whose learning rates are extended as their results call for (`member.lr=auto`)."""

    claim: str | None = None
    """Hash of the claim that the study is run for, which its launches record before they run."""

    def __post_init__(self) -> None:
        require_between("train.checkpoint_seconds", self.checkpoint_seconds, low=0, high=86400)

    @property
    def device(self) -> str:
        """`cuda` if any shape is for a GPU, else `cpu`."""
        return "cuda" if any(shape.device == "cuda" for shape, _ in self.shapes) else "cpu"

    def jobs(self) -> list[Job]:
        """The jobs of all shapes, the longest first."""
        packed = self.packed(self.shapes)
        return longest_first(itertools.chain.from_iterable(packed))

    def packed(self, groups: Sequence[tuple[Shape, Sequence[Member]]]) -> list[list[Job]]:
        """The jobs of each of these groups of members."""
        return pack(
            groups,
            most=self.engine.stack,
            workers=1 if self.study == TRAINED else self.engine.divided_among(self.device),
            sharers=self.engine.sharers(),
            recordings=self.recordings,
            recompute=self.recompute,
        )
