"""Manifold-constrained hyper-connections: streams are mixed by a doubly stochastic matrix."""

from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from resformer.errors import require
from resformer.numerics.elementwise import sigmoid
from resformer.numerics.parameters import ParameterSpec, constant, identity, zeros
from resformer.residuals.base import (
    Architecture,
    ParallelStreams,
    Streams,
    SublayerContext,
    inverse_rms,
    weighted,
)

_ROUNDS = 20
READ = {"apart": 1.0, "published": 3.0}
"""Initial c_a of the stream that a sub-layer reads, by the start; -c_a of the others."""
_DIAGONAL = {"apart": 8.0, "published": 6.0}
"""Initial distance of c_M on the diagonal from c_M off it."""
_OFF_DIAGONAL = {"apart": -8.0, "published": -3.0}


@final
@dataclass(frozen=True, kw_only=True)
class Mhc(ParallelStreams):
    """n = `streams` streams H; F reads Σ_j a_j·H_j, and H_k' = Σ_j M_kj·H_j + b_k·F, per sub-layer
    and token.

    Xie et al. 2025, arXiv 2512.24880, eq. 7 to 9: with u the n streams of a token end to end,
    divided by their root mean square, a = σ(s·u·φ_a + c_a), b = 2σ(t·u·φ_b + c_b), and M =
    exp(r·u·φ_M + c_M) made doubly stochastic by 20 rounds of Sinkhorn and Knopp, columns first. The
    streams start as n copies of the embedding; the output is their sum after the final norm.
    Learned: all φ, c, s, t, r. Initial values: s = t = r = `dynamic` = 0.01 (table 5), φ = 0, c_b =
    0 (so that b = 1). Streams that are treated alike would stay equal for ever, so that sub-layer i
    reads mostly stream i mod n, by `start`:

    * `apart`: c_a = 1 for that stream and -1 for the others, c_M = 0 on the diagonal and -8 off it,
      as in the code of Yang & Gao 2026 for their comparison (arXiv 2601.05732), whose c_b is that
      c_a, too;
    * `published`: c_a = 3 and -3, c_M = 3 on the diagonal and -3 off it. Attributed to an appendix
      A.6 of the paper by PaddleFleet (pull requests 1848 and 1849 of August 2026); versions 1 and 2
      of the paper give no φ and c and have no such appendix, and a later one could not be read.

    Both are pre-norm at first, up to scales that the norms remove: as b = 1, streams stay equal,
    and M, 3e-4 off the diagonal with `apart` and 2.5e-3 with `published`, changes nothing and has
    no gradient until b differs between streams. Norm: pre.
    """

    start: str

    fewest_streams: ClassVar[int] = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        starts = " or ".join(READ)
        require(self.start in READ, "model.residual.start", self.start, f"must be {starts}")

    def sublayer_parameters(self, sublayer: int, architecture: Architecture) -> list[ParameterSpec]:
        """Parameters c, φ (a, b and the rows of M side by side), s, t and r."""
        n = self.streams
        return [
            *own_stream("read", n, sublayer, READ[self.start]),
            zeros("write", n),
            identity("mix", n, n, scale=_DIAGONAL[self.start]),
            *dynamic_parameters(n * architecture.width, 2 * n + n * n, self.dynamic),
        ]

    def flops_per_row(self, architecture: Architecture) -> int:
        """Count the products with φ."""
        n = self.streams
        return architecture.sublayers * 2 * n * architecture.width * (2 * n + n * n)

    def read(self, streams: Streams, context: SublayerContext) -> Tensor:
        """Weighted sum of the streams by a."""
        return weighted(read_weights(streams, context), streams)

    def mixing(self, streams: Streams, context: SublayerContext) -> Tensor:
        """Doubly stochastic matrices M."""
        n = self.streams
        c_Pnn = context.sublayer_parameter("mix") + _OFF_DIAGONAL[self.start]
        dynamic_PRN = dynamic(streams, context, "mix")
        return doubly_stochastic(
            c_Pnn.unsqueeze(1) + dynamic_PRN.view(*dynamic_PRN.shape[:2], n, n)
        )

    def write(self, streams: Streams, f_PRD: Tensor, context: SublayerContext) -> Streams:
        """Mix the streams by M, and add the branch to each by b."""
        b_PRn = write_weights(context.sublayer_parameter("write"), streams, context)
        return mixed_and_added(self.mixing(streams, context), streams, b_PRn, f_PRD)


def own_stream(name: str, n: int, sublayer: int, value: float) -> list[ParameterSpec]:
    """Parameters of n streams, one each: `value` for stream i mod n, its opposite for others."""
    own = sublayer % n
    return [constant(f"{name}{j}", 1, value=value if j == own else -value) for j in range(n)]


def dynamic_parameters(rows: int, columns: int, scale: float) -> list[ParameterSpec]:
    """Parameters φ, s, t and r."""
    scales = [constant(f"scale_{part}", 1, value=scale) for part in ("read", "write", "mix")]
    return [zeros("dynamic", rows, columns), *scales]


def dynamic(streams: Streams, context: SublayerContext, part: str) -> Tensor:
    """Dynamic part of the logits of a (`read`), b (`write`) or M (`mix`), a column per logit."""
    n = len(streams)
    columns = {"read": slice(0, n), "write": slice(n, 2 * n), "mix": slice(2 * n, None)}[part]
    u_PRN = torch.cat(streams, -1)
    u_PRN = u_PRN * inverse_rms(u_PRN).unsqueeze(-1)
    scale_P11 = context.sublayer_parameter(f"scale_{part}").unsqueeze(1)
    return torch.bmm(u_PRN, context.sublayer_parameter("dynamic")[..., columns]) * scale_P11


def by_stream(name: str, streams: Streams, context: SublayerContext) -> Tensor:
    """Parameters of `own_stream` side by side, (P, n)."""
    return torch.cat([context.sublayer_parameter(f"{name}{j}") for j in range(len(streams))], 1)


def read_weights(streams: Streams, context: SublayerContext) -> Tensor:
    """Weights a, (P, R, n)."""
    c_P1n = by_stream("read", streams, context).unsqueeze(1)
    return sigmoid(c_P1n + dynamic(streams, context, "read"))


def write_weights(c_Pn: Tensor, streams: Streams, context: SublayerContext) -> Tensor:
    """Weights b, (P, R, n)."""
    return 2 * sigmoid(c_Pn.unsqueeze(1) + dynamic(streams, context, "write"))


def mixed_and_added(
    M_PRnn: Tensor, streams: Streams, b_PRn: Tensor, f_PRD: Tensor
) -> tuple[Tensor, ...]:
    """Streams Σ_j M_kj·H_j + b_k·F."""
    return tuple(
        weighted(M_PRnn[..., k, :], streams) + b_PRn[..., k : k + 1] * f_PRD
        for k in range(len(streams))
    )


def doubly_stochastic(logits: Tensor) -> Tensor:
    """exp(logits) (..., n, n), columns and rows scaled to sums of 1 in turn (Sinkhorn & Knopp
    1967), 20 times; in logarithms, since in float32 exp(89) is infinite and exp(-104) is 0.
    """
    for _ in range(_ROUNDS):
        logits = logits - logits.logsumexp(-2, keepdim=True)
        logits = logits - logits.logsumexp(-1, keepdim=True)
    return logits.exp()
