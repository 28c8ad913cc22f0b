"""A resolved request: the shapes of a sweep with their members, the engine, the exclusions."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import final

from resformer.engines.base import Engine
from resformer.errors import require_between
from resformer.keys import Json
from resformer.model.shape import Member, Recording, Shape
from resformer.plan import jobs


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
    notes: list[str] = field(default_factory=list)
    """Notes for the user on how settings were resolved."""
    recordings: Mapping[Shape, Recording] = field(default_factory=dict)
    """Data kept beside the results, by shape; shapes that are not named keep their results only."""
    auto_rates: frozenset[Shape] = frozenset()
    """Shapes whose learning rates are extended as their results call for (`member.lr=auto`)."""

    def __post_init__(self) -> None:
        require_between("train.checkpoint_seconds", self.checkpoint_seconds, low=0, high=86400)

    @property
    def device(self) -> str:
        """`cuda` if any shape is for a GPU, else `cpu`."""
        return "cuda" if any(shape.device == "cuda" for shape, _ in self.shapes) else "cpu"

    def jobs(self) -> list[jobs.Job]:
        """The jobs of all shapes, the longest first."""
        return jobs.pack(
            self.shapes,
            most=self.engine.stack,
            sharers=self.engine.sharers(),
            recordings=self.recordings,
        )
