"""The seam between a model that computes and what is measured of it, layer by layer.

Layer 0 is the embedding, layer i the stream behind sub-layer i: what the next sub-layer reads, or
would read.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, final

import torch
from torch import Tensor

from resformer.model.hooks import Seen
from resformer.model.transformer import Transformer


@final
@dataclass
class Observed:
    """One forward pass, and the gradients of its loss; P members."""

    transformer: Transformer
    sequences: int
    """B."""
    seen: list[Seen] = field(default_factory=list)
    """By sub-layer."""
    streams: list[Tensor] = field(default_factory=list)
    """By layer, each (P, R, D)."""
    gradients: Mapping[str, Tensor] = field(default_factory=dict)
    """Of the loss by each weight, (P, *shape)."""

    def sublayer(self, seen: Seen) -> None:
        """As a watcher of the model."""
        self.seen.append(seen)
        self.streams.append(seen.x_PRD)

    def output(self, x_PRD: Tensor) -> None:
        """As a watcher of the model."""
        self.streams.append(x_PRD)

    def by_sequence(self, layer: int) -> Tensor:
        """The stream of a layer, (P, B, T, D)."""
        x_PRD = self.streams[layer]
        return x_PRD.reshape(len(x_PRD), self.sequences, -1, x_PRD.shape[-1])

    def nowhere(self) -> Tensor:
        """A measure of which there is none yet: NaN in every layer, (S + 1, P)."""
        first = self.streams[0]
        return torch.full(
            (len(self.streams), len(first)), torch.nan, dtype=first.dtype, device=first.device
        )


class Probe(ABC):
    """A kind of measure; a subclass is final and has no state."""

    measures: ClassVar[Mapping[str, str]]
    """Its columns, each with what it is, in a few words."""

    @abstractmethod
    def measure(self, observed: Observed) -> dict[str, Tensor]:
        """Every column, (S + 1, P): a number per layer and member, NaN in layers that have none."""
