"""MUDD: query, key, value and stream are sums of all blocks' outputs, weighted token by token."""

from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from resformer.numerics.elementwise import gelu
from resformer.numerics.parameters import ParameterSpec, normal, ones, zeros
from resformer.residuals.base import (
    Architecture,
    ManyStreams,
    Streams,
    SublayerContext,
    inverse_rms,
    total,
)

_WAYS = 4
"""Inputs of a block: x, q, k and v."""


@final
@dataclass(frozen=True)
class Mudd(ManyStreams):
    """Block l has four inputs: x, to which its sub-layers add, x' = x + F(x), and q, k and v, of
    which attention makes query, key and value. The inputs of the next block are Σ_{j=0…l} A_j·X_j,
    with four sets of weights A; X_0 is the embedding, X_j the output x of block j.

    A = GELU(RMSNorm(X_l)·W₁)·W₂ + b, per token, W₁ with as many columns as there are weights. Xiao
    et al. 2025, arXiv 2502.12170, eq. 5 to 8 and appendix B; behind the last block there is x
    alone, as in the authors' code. Learned: W₁, W₂ and b; RMSNorm has no gain. Initial values
    (section 3): W₁ normal with variance 1/D, W₂ = 0, b = 1 for X_l and 0 for the others, which is
    pre-norm. Different from the code: q, k and v share the gain of the norm before attention. Left
    out: FFNs that widen with depth (section 2.4) and norms around the sums (section 2.5), which the
    paper has for models that are deep and narrow. The number of parameters grows with L³. Norm:
    pre.
    """

    own_norm: ClassVar[str] = "pre"
    norms: ClassVar[tuple[str, ...]] = ("pre",)
    shapes_attention: ClassVar[bool] = True

    def block_parameters(self, block: int, architecture: Architecture) -> list[ParameterSpec]:
        """Matrices W₁ and W₂, and b of earlier outputs and of the block's own."""
        width, ways = architecture.width, _ways(block, architecture)
        weights = ways * (block + 1)
        return [
            normal("in", width, weights, scale=width**-0.5),
            zeros("out", weights, weights),
            zeros("earlier", ways, block),
            ones("own", ways, 1),
        ]

    def flops_per_row(self, architecture: Architecture) -> int:
        """Count the products with W₁ and W₂."""
        blocks = range(1, architecture.depth + 1)
        weights = [_ways(block, architecture) * (block + 1) for block in blocks]
        return sum(2 * (architecture.width + n) * n for n in weights)

    def expand_streams(self, x_PRD: Tensor) -> Streams:
        """Start the four inputs from the embedding, with the history of outputs beside them."""
        return (x_PRD,) * (_WAYS + 1)

    def attention_inputs(
        self, streams: Streams, x_PRD: Tensor, context: SublayerContext
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Inputs q, k and v."""
        _, q_PRD, k_PRD, v_PRD = streams[:_WAYS]
        return q_PRD, k_PRD, v_PRD

    def write(self, streams: Streams, f_PRD: Tensor, context: SublayerContext) -> Streams:
        """Add the branch to x; at the end of a block sum all outputs for each input of the next."""
        x_PRD = streams[0] + f_PRD
        if not context.ends_block:
            return x_PRD, *streams[1:]
        outputs = (*streams[_WAYS:], x_PRD)
        blocks = [0, *context.earlier_blocks, context.block]
        A_PRn = _weights(x_PRD, context)
        sets = A_PRn.chunk(_ways(context.block, context.architecture), -1)
        inputs = (
            total(a_PRj[..., j : j + 1] * X_PRD for j, X_PRD in zip(blocks, outputs, strict=True))
            for a_PRj in sets
        )
        return *inputs, *outputs


def _ways(block: int, architecture: Architecture) -> int:
    """Sets of weights of a block."""
    return _WAYS if block < architecture.depth else 1


def _weights(x_PRD: Tensor, context: SublayerContext) -> Tensor:
    """Weights A, (P, R, sets·(l + 1)), those of one set side by side."""
    unit_PRD = x_PRD * inverse_rms(x_PRD).unsqueeze(-1)
    hidden_PRn = gelu(torch.bmm(unit_PRD, context.block_parameter("in")))
    parts = [context.block_parameter("earlier"), context.block_parameter("own")]
    b_P1n = torch.cat(parts, -1).flatten(1).unsqueeze(1)
    return torch.baddbmm(b_P1n, hidden_PRn, context.block_parameter("out"))
