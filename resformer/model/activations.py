"""Activations of every sub-layer in a forward pass."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

from torch import Tensor

from resformer.residuals.base import SublayerContext


@final
@dataclass(frozen=True, kw_only=True)
class SublayerActivations:
    """Activations of one sub-layer."""

    context: SublayerContext
    before: Any
    """Residual streams that its output joins; None if its skip was dropped."""
    x_PRD: Tensor
    """Input before any norm: the stream of the layer below."""
    f_PRD: Tensor
    """Output, after the norm of its branch if there is one."""
    a_PBHTT: Tensor | None
    """Attention pattern; None for an FFN, and where a fused kernel computed it."""
    after: Any
    """Residual streams after the sub-layer."""


@final
@dataclass(frozen=True, kw_only=True)
class Activations:
    """Logits and activations of one forward pass of P members."""

    logits_PBUV: Tensor
    sublayers: Sequence[SublayerActivations]
    """S sub-layers, in their order."""
    streams: Sequence[Tensor]
    """S + 1 layers, each (P, R, D): the embedding, then the stream behind each sub-layer."""
