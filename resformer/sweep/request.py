"""A request, resolved:
the shapes of a sweep with their members, the engine, and what was left out.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, final

from resformer.engines.base import Engine
from resformer.model.shape import Member, Recording, Shape
from resformer.plan import jobs

Json = dict[str, Any]


@final
@dataclass(frozen=True)
class Request:
    """What was asked, resolved."""

    study: str
    overrides: list[list[str]]
    """The grids, each a list of overrides, after the command line replaced the study's."""
    swept: list[str]
    shapes: list[tuple[Shape, list[Member]]]
    excluded: list[Json]
    """Combinations that make no sense, with the reason."""
    engine: Engine
    checkpoint_seconds: float
    """At least so much time passes between two checkpoints of a job; no result depends on it."""
    notes: list[str]
    """What the user should know of how it was resolved."""
    recordings: Mapping[Shape, Recording] = field(default_factory=dict)
    """What is kept beside the results, by shape; of other shapes nothing."""

    @property
    def device(self) -> str:
        """What its workers are for: a GPU, if any of it is."""
        return "cuda" if any(shape.device == "cuda" for shape, _ in self.shapes) else "cpu"

    def jobs(self) -> list[jobs.Job]:
        """All of it as jobs, the longest first."""
        return jobs.pack(self.shapes, self.engine.stack, self.engine.sharers(), self.recordings)
