"""Cumulative attention residuals: sub-layers attend to the states of the stream behind blocks."""

import math
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from resformer.errors import require
from resformer.numerics.parameters import ParameterSpec, constant, zeros
from resformer.residuals.attn_res import scores
from resformer.residuals.base import (
    Architecture,
    ManyStreams,
    Streams,
    SublayerContext,
    check_magnitude,
    weighted,
)


@final
@dataclass(frozen=True, kw_only=True)
class CumulativeAttnRes(ManyStreams):
    """F_i reads Σ_j a_j·s_j + a_x·x, a = softmax of w_i·RMSNorm(s_j) and w_i·RMSNorm(x) + β_i; s_0
    the embedding, s_j the stream x behind block j of layers; x' = x + F_i.

    What Luo, Cai & Hu 2026, arXiv 2605.18855, compare `delta_attn_res` with as "AttnRes" over
    cumulative states, which is not `attn_res` nor `block_attn_res` (Kimi Team 2026, 2603.15031):
    those attend to outputs and sums of them, as the authors say themselves since. By the authors'
    code (repository `open-attention-residuals`, `modeling_attnres.py`), where β is the recency
    bias; the published text could not be read. The L layers, attention and FFN each, are cut into
    at most `blocks` = 8 blocks of ⌈L / `blocks`⌉; behind a block x is both s_j and itself, as in
    the code. Learned: w, `width` entries, and β per sub-layer but the first, which reads x alone.
    Initial values: w = 0 and β = `recency_bias` = 0 as in their training from scratch, so that a is
    uniform (3 or 10 where they convert trained models). RMSNorm has no gain here, since w can
    absorb it. Norm: pre.
    """

    blocks: int
    """Largest number of blocks of layers."""
    recency_bias: float
    """Initial β."""

    own_norm: ClassVar[str] = "pre"
    norms: ClassVar[tuple[str, ...]] = ("pre",)

    def __post_init__(self) -> None:
        require(self.blocks >= 1, "model.residual.blocks", self.blocks, "must be at least 1")
        check_magnitude(self, "recency_bias")

    def sublayer_parameters(self, sublayer: int, architecture: Architecture) -> list[ParameterSpec]:
        """Query w and recency bias β."""
        if sublayer == 1:
            return []
        bias = constant("recency_bias", 1, value=self.recency_bias)
        return [zeros("query", architecture.width), bias]

    def expand_streams(self, x_PRD: Tensor) -> Streams:
        """Start the stream x, and the states s beside it."""
        return x_PRD, x_PRD

    def read(self, streams: Streams, context: SublayerContext) -> Tensor:
        """Attend to the states and to the stream as it is."""
        x_PRD, *states = streams
        if context.sublayer == 1:
            return x_PRD
        values = (*states, x_PRD)
        scores_PRj = scores(values, context.sublayer_parameter("query"))
        beta_P11 = context.sublayer_parameter("recency_bias").unsqueeze(1)
        biased_PRj = torch.cat([scores_PRj[..., :-1], scores_PRj[..., -1:] + beta_P11], -1)
        return weighted(biased_PRj.softmax(-1), values)

    def write(self, streams: Streams, f_PRD: Tensor, context: SublayerContext) -> Streams:
        """Add the branch to the stream; behind a block keep its state."""
        x_PRD = streams[0] + f_PRD
        length = math.ceil(context.architecture.depth / self.blocks)
        last = 2 * length * math.ceil(context.block / length)
        if context.kept(context.sublayer + 1, last):
            return x_PRD, *streams[1:]
        return x_PRD, *streams[1:], x_PRD
