"""mHC-lite: streams are mixed by a weighted mean of all permutations of them."""

import itertools
import math
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from resformer.numerics.parameters import ParameterSpec, constant
from resformer.residuals.base import (
    Architecture,
    ParallelStreams,
    Streams,
    SublayerContext,
    weighted,
)
from resformer.residuals.mhc import (
    by_stream,
    dynamic,
    dynamic_parameters,
    mixed_and_added,
    own_stream,
    read_weights,
    write_weights,
)

_OWN_STREAM, _OTHER_PERMUTATIONS = 1.0, -8.0


@final
@dataclass(frozen=True, kw_only=True)
class MhcLite(ParallelStreams):
    """Streams as in `mhc`, but M = Σ_p m_p·P_p over all n! permutation matrices P_p, m =
    softmax(r·u·φ_M + c_M): doubly stochastic to rounding without Sinkhorn and Knopp.

    Yang & Gao 2026, arXiv 2601.05732, and the authors' code, which mixes by Mᵀ, so that its columns
    of φ_M stand for the inverse permutations; the numbers of the paper's equations could not be
    checked. φ_M has n! columns, so that n = `streams` is 5 at most. Learned: all φ, c, s, t, r.
    Initial values, those of the code: s = t = r = `dynamic` = 0.01, φ = 0, c_M = 0 for the identity
    and -8 for the other permutations, c_a = c_b = 1 for stream i mod n (there a random one) and -1
    for the others, so that a sub-layer writes mostly to the stream that it reads. Norm: pre.
    """

    fewest_streams: ClassVar[int] = 2
    most_streams: ClassVar[int] = 5

    def sublayer_parameters(self, sublayer: int, architecture: Architecture) -> list[ParameterSpec]:
        """Parameters c, φ (a, b and the permutations side by side), s, t and r."""
        n, permutations = self.streams, math.factorial(self.streams)
        return [
            *own_stream("read", n, sublayer, _OWN_STREAM),
            *own_stream("write", n, sublayer, _OWN_STREAM),
            constant("identity", 1, value=0.0),
            constant("permutations", permutations - 1, value=_OTHER_PERMUTATIONS),
            *dynamic_parameters(n * architecture.width, 2 * n + permutations, self.dynamic),
        ]

    def flops_per_row(self, architecture: Architecture) -> int:
        """Count the products with φ."""
        n, permutations = self.streams, math.factorial(self.streams)
        return architecture.sublayers * 2 * n * architecture.width * (2 * n + permutations)

    def read(self, streams: Streams, context: SublayerContext) -> Tensor:
        """Weighted sum of the streams by a."""
        return weighted(read_weights(streams, context), streams)

    def mixing(self, streams: Streams, context: SublayerContext) -> Tensor:
        """Doubly stochastic matrices M."""
        n = self.streams
        biases = [context.sublayer_parameter(name) for name in ("identity", "permutations")]
        logits_PRN = torch.cat(biases, 1).unsqueeze(1) + dynamic(streams, context, "mix")
        # A sum rather than a matrix product, which autocast would round to bfloat16.
        m_PRN1 = logits_PRN.softmax(-1).unsqueeze(-1)
        M_PRM = (m_PRN1 * _permutation_matrices(n, logits_PRN)).sum(-2)
        return M_PRM.view(*logits_PRN.shape[:2], n, n)

    def write(self, streams: Streams, f_PRD: Tensor, context: SublayerContext) -> Streams:
        """Mix the streams by M, and add the branch to each by b."""
        b_PRn = write_weights(by_stream("write", streams, context), streams, context)
        return mixed_and_added(self.mixing(streams, context), streams, b_PRn, f_PRD)


def _permutation_matrices(n: int, like: Tensor) -> Tensor:
    """All permutation matrices of n streams, the identity first, a row of n·n entries each."""
    rows = torch.eye(n, dtype=like.dtype, device=like.device).unbind()
    permutations = itertools.permutations(range(n))
    return torch.cat([rows[j] for permutation in permutations for j in permutation]).view(-1, n * n)
