"""MUDD: query, key, value and stream each get a sum of all blocks' outputs, weighted by token."""

from dataclasses import dataclass
from typing import ClassVar, final

import torch
import torch.nn.functional as nnf
from torch import Tensor

from resformer.numerics.elementwise import rsqrt
from resformer.numerics.parameters import ParameterSpec, normal, ones, zeros
from resformer.residuals.base import Architecture, ManyStreams, Streams, SublayerContext, weighted

_EPSILON = 1e-6
_WAYS = 4
"""Stream, query, key and value."""


@final
@dataclass(frozen=True)
class Mudd(ManyStreams):
    """Block l reads four streams, x for its sums x' = x + F(x), and q, k and v for the inputs of
    query, key and value; behind it each becomes Σ_{j=0…l} A_j·X_j, X_0 the embedding, X_j the
    output of block j.

    Weights A are one per token, stream and j: A = GELU(RMSNorm(X_l)·W₁)·W₂ + b, W₁ with as many
    columns as there are A. Behind the last block there is x alone. Xiao et al. 2025, arXiv
    2502.12170, and the authors' code. Learned: W₁, W₂ and b; RMSNorm has no gain. Initial values as
    there: W₁ normal with variance 1/D, W₂ = 0, b = 1 for X_l and 0 for the others, which is
    pre-norm. Different from there: q, k and v share the norm before attention, whose gain is one
    per stream in the code. Left out: FFNs that widen with depth, and the norms around the sums that
    the largest models have. Parameters grow with L³. Norm: pre. Formulas are from the code, of the
    paper only the abstract could be read.
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
        """Start the four streams from the embedding, with the history of outputs beside them."""
        return (x_PRD,) * (_WAYS + 1)

    def attention_inputs(
        self, streams: Streams, x_PRD: Tensor, context: SublayerContext
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Streams q, k and v."""
        _, q_PRD, k_PRD, v_PRD = streams[:_WAYS]
        return q_PRD, k_PRD, v_PRD

    def write(self, streams: Streams, f_PRD: Tensor, context: SublayerContext) -> Streams:
        """Add the branch to x; behind a block sum all outputs anew."""
        x_PRD = streams[0] + f_PRD
        if context.is_attention:
            return x_PRD, *streams[1:]
        outputs = (*streams[_WAYS:], x_PRD)
        A_PRn = _weights(x_PRD, context)
        ways = _ways(context.block, context.architecture)
        return *(weighted(a_PRj, outputs) for a_PRj in A_PRn.chunk(ways, -1)), *outputs


def _ways(block: int, architecture: Architecture) -> int:
    """Streams that are summed behind a block."""
    return _WAYS if block < architecture.depth else 1


def _weights(x_PRD: Tensor, context: SublayerContext) -> Tensor:
    """Weights A of all outputs, those of a stream side by side, (P, R, streams·(l + 1))."""
    unit_PRD = x_PRD * rsqrt(x_PRD.square().mean(-1, keepdim=True) + _EPSILON)
    hidden_PRn = nnf.gelu(torch.bmm(unit_PRD, context.block_parameter("in")))
    parts = [context.block_parameter("earlier"), context.block_parameter("own")]
    b_P1n = torch.cat(parts, -1).flatten(1).unsqueeze(1)
    return torch.baddbmm(b_P1n, hidden_PRn, context.block_parameter("out"))
