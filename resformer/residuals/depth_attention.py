"""Depth-attention: a query attends to the keys of earlier blocks, whose values join its own."""

from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from resformer.errors import require_between
from resformer.keys import NORMS
from resformer.residuals.base import (
    Architecture,
    ManyStreams,
    Projections,
    Streams,
    SublayerContext,
    weighted,
)


@final
@dataclass(frozen=True, kw_only=True)
class DepthAttention(ManyStreams):
    """x' = x + F(x), where attention of block l mixes w_l = Σ_j a_j·w_j + a_l·v_l instead of its
    own values v_l.

    a is the softmax of q_l·k_j / √K over j, per head and token, with keys of that token only; j are
    the blocks 1, 1 + s, 1 + 2s, … before l, and l itself. Zeng et al. 2026, arXiv 2606.05014, and
    the authors' code: mixed values w, not v, are kept for later blocks, s = `stride` is half of the
    blocks if it is null, and keys are kept as normalised in their own block. Queries and keys are
    those before rotary positions, which turn both of one token alike and do not change their
    product. Learned: nothing. Norm: any; its own is `pre`. Formulas are from the code; of the paper
    only the abstract could be read.
    """

    stride: int | None
    """s; None for half of the blocks."""

    own_norm: ClassVar[str] = "pre"
    norms: ClassVar[tuple[str, ...]] = NORMS
    shapes_attention: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.stride is not None:
            require_between(
                "model.residual.stride", self.stride, low=1, high=1024, unit=" blocks, or null"
            )

    def is_kept(self, block: int, architecture: Architecture) -> bool:
        """True if later blocks attend to this one."""
        stride = self.stride or max(1, architecture.depth // 2)
        return (block - 1) % stride == 0

    def attention_projections(
        self, streams: Streams, projections: Projections, context: SublayerContext
    ) -> tuple[Streams, Projections]:
        """Mix the values of earlier blocks into those of this one, and keep its key and values
        beside the stream, if later blocks attend to it.
        """
        query, key, value = projections
        keys, values = (*streams[1::2], key), (*streams[2::2], value)
        if len(keys) > 1:
            value = _mixed(query, keys, values, context.architecture.heads)
        if self.is_kept(context.block, context.architecture):
            streams = (*streams, key, value)
        return streams, projections._replace(value=value)

    def write(self, streams: Streams, f_PRD: Tensor, context: SublayerContext) -> Streams:
        """Add the branch to the stream."""
        return streams[0] + f_PRD, *streams[1:]


def _mixed(query_PRD: Tensor, keys: Streams, values: Streams, heads: int) -> Tensor:
    """Values that the query of each token and head attends to, (P, R, D)."""
    scale = (query_PRD.shape[-1] // heads) ** -0.5
    scores = [_by_head(query_PRD * k_PRD, heads).sum(-1) * scale for k_PRD in keys]
    a_PRHj = torch.stack(scores, -1).softmax(-1)
    return weighted(a_PRHj, tuple(_by_head(v_PRD, heads) for v_PRD in values)).flatten(-2)


def _by_head(x_PRD: Tensor, heads: int) -> Tensor:
    return x_PRD.view(*x_PRD.shape[:2], heads, -1)
