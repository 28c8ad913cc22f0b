"""Interface between the trace of a model and the measures of its layers.

Layer 0 is the embedding, layer i the stream behind sub-layer i: the input of the next sub-layer
before its norm.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, final

import torch
from torch import Tensor

from resformer.model.activations import SublayerActivations
from resformer.residuals.base import Residual


@final
@dataclass(frozen=True, kw_only=True)
class Trace:
    """Activations of one forward pass, and the gradients of its loss; P members."""

    residual: Residual[Any]
    sequences: int
    """B."""
    streams: Sequence[Tensor]
    """S + 1 layers, each (P, R, D)."""
    sublayers: Sequence[SublayerActivations] = ()
    gradients: Mapping[str, Tensor] = field(default_factory=dict)
    """Gradient of the loss by parameter, (P, *shape)."""

    def by_sequence(self, layer: int) -> Tensor:
        """Stream of a layer, (P, B, T, D)."""
        x_PRD = self.streams[layer]
        return x_PRD.reshape(len(x_PRD), self.sequences, -1, x_PRD.shape[-1])

    def empty_column(self) -> Tensor:
        """Column of a measure before any value is known: NaN in every layer, (S + 1, P)."""
        first = self.streams[0]
        return first.new_full((len(self.streams), len(first)), torch.nan)


class Measure(ABC):
    """Statistic of every layer; a subclass is final and has no state."""

    columns: ClassVar[Mapping[str, str]]
    """Its columns, each with a description in a few words."""

    @abstractmethod
    def compute(self, trace: Trace) -> dict[str, Tensor]:
        """Every column, (S + 1, P): a number per layer and member, NaN in layers that have none."""
