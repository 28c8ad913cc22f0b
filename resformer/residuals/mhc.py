"""Manifold-constrained hyper-connections: streams are mixed by a doubly stochastic matrix."""

from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from resformer.numerics.elementwise import sigmoid
from resformer.numerics.parameters import ParameterSpec, constant, identity, zeros
from resformer.residuals.base import (
    Architecture,
    ParallelStreams,
    Streams,
    SublayerContext,
    weighted,
)

_ROUNDS = 20
_EPSILON = 1e-6
_READ, _APART = 1.0, -8.0


@final
@dataclass(frozen=True, kw_only=True)
class Mhc(ParallelStreams):
    """n = `streams` streams H; F reads Σ_j a_j·H_j, and H_k' = Σ_j M_kj·H_j + b_k·F, per sub-layer
    and token.

    Xie et al. 2025, arXiv 2512.24880, section 4: with u the n streams of a token end to end,
    divided by their root mean square, a = σ(s·u·φ_a + c_a), b = 2σ(t·u·φ_b + c_b), and M =
    exp(r·u·φ_M + c_M) made doubly stochastic by 20 rounds of Sinkhorn and Knopp, columns first. The
    streams start as n copies of the embedding; the output is their sum after the final norm.
    Learned: all φ, c, s, t, r. Initial values: s = t = r = `dynamic` = 0.01 (table 5). The paper
    gives none for φ and c; here φ = 0, c_b = 0 (so that b = 1), c_M = 0 on the diagonal and -8 off
    it, c_a = 1 for stream i mod n and -1 for the others, since streams that are treated alike would
    stay equal for ever. This is pre-norm up to scales that the norms remove. Norm: pre.
    """

    # With one stream, products with φ would be those of a matrix and a vector, whose bits depend on
    # the number of members.
    fewest_streams: ClassVar[int] = 2

    def sublayer_parameters(self, sublayer: int, architecture: Architecture) -> list[ParameterSpec]:
        """Parameters c, φ (a, b and the rows of M side by side), s, t and r."""
        n, read = self.streams, sublayer % self.streams
        return [
            *(constant(f"read{j}", 1, value=_READ if j == read else -_READ) for j in range(n)),
            zeros("write", n),
            identity("mix", n, n, scale=-_APART),
            zeros("dynamic", n * architecture.width, 2 * n + n * n),
            constant("scale_read", 1, value=self.dynamic),
            constant("scale_write", 1, value=self.dynamic),
            constant("scale_mix", 1, value=self.dynamic),
        ]

    def flops_per_row(self, architecture: Architecture) -> int:
        """Count the products with φ."""
        n = self.streams
        return architecture.sublayers * 2 * n * architecture.width * (2 * n + n * n)

    def read(self, streams: Streams, context: SublayerContext) -> Tensor:
        """Weighted sum of the streams by a."""
        c_Pn = torch.cat([context.sublayer_parameter(f"read{j}") for j in range(self.streams)], 1)
        return weighted(sigmoid(c_Pn.unsqueeze(1) + _dynamic(streams, context, "read")), streams)

    def write(self, streams: Streams, f_PRD: Tensor, context: SublayerContext) -> Streams:
        """Mix the streams by M, and add the branch to each by b."""
        n = self.streams
        c_P1n = context.sublayer_parameter("write").unsqueeze(1)
        b_PRn = 2 * sigmoid(c_P1n + _dynamic(streams, context, "write"))
        c_Pnn = context.sublayer_parameter("mix") + _APART
        dynamic_PRN = _dynamic(streams, context, "mix")
        M_PRnn = doubly_stochastic(
            c_Pnn.unsqueeze(1) + dynamic_PRN.view(*dynamic_PRN.shape[:2], n, n)
        )
        return tuple(
            weighted(M_PRnn[..., k, :], streams) + b_PRn[..., k : k + 1] * f_PRD for k in range(n)
        )


def _dynamic(streams: Streams, context: SublayerContext, part: str) -> Tensor:
    """Dynamic part of the logits of a (`read`), b (`write`) or M (`mix`), (P, R, n or n·n)."""
    n = len(streams)
    columns = {"read": slice(0, n), "write": slice(n, 2 * n), "mix": slice(2 * n, None)}[part]
    u_PRN = torch.cat(streams, -1)
    u_PRN = u_PRN * (u_PRN.square().mean(-1, keepdim=True) + _EPSILON).rsqrt()
    scale_P11 = context.sublayer_parameter(f"scale_{part}").unsqueeze(1)
    return torch.bmm(u_PRN, context.sublayer_parameter("dynamic")[..., columns]) * scale_P11


def doubly_stochastic(logits: Tensor) -> Tensor:
    """exp(logits) (..., n, n), columns and rows scaled to sums of 1 in turn (Sinkhorn & Knopp
    1967), 20 times; in logarithms, since in float32 exp(89) is infinite and exp(-104) is 0.
    """
    for _ in range(_ROUNDS):
        logits = logits - logits.logsumexp(-2, keepdim=True)
        logits = logits - logits.logsumexp(-1, keepdim=True)
    return logits.exp()
