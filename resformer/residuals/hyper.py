"""Hyper-connections: several streams, which learned weights read, mix and write."""

from dataclasses import dataclass
from typing import final

import torch
import torch.nn.functional as nnf
from torch import Tensor

from resformer.numerics.parameters import ParameterSpec, constant, identity, ones, zeros
from resformer.residuals.base import Architecture, ParallelStreams, Streams, SublayerContext, total


@final
@dataclass(frozen=True, kw_only=True)
class Hyper(ParallelStreams):
    """n = `streams` streams H; F reads Σ_j a_j·H_j, and H_k' = Σ_j A_jk·H_j + b_k·F, per sub-layer
    and token.

    Zhu et al. 2025, arXiv 2409.19606, eq. 2 to 14. Every weight has a static part and one that
    depends on the token: a_j + s·tanh(N(H_j)·w_a), A_jk + s·tanh(N(H_j)·W_k), b_j +
    t·tanh(N(H_j)·w_b), N a layer norm without gain. The streams start as n copies of the embedding;
    the output is their sum after the final norm. Learned: all weights, s and t. Initial values: b =
    1, A = I, a the unit vector of stream i mod n, w and W 0, s = t = `dynamic` = 0.01, which is
    pre-norm up to the scale of the sum. The paper also rescales output matrices by √n without
    saying in which direction; here they are not rescaled. Norm: pre.
    """

    def sublayer_parameters(self, sublayer: int, architecture: Architecture) -> list[ParameterSpec]:
        """Static a, A and b, the matrices of the dynamic parts side by side (a, b, A), s and t."""
        n = self.streams
        return [
            *(constant(f"read{j}", 1, value=float(j == sublayer % n)) for j in range(n)),
            identity("mix", n, n),
            ones("write", n),
            zeros("dynamic", architecture.width, n + 2),
            constant("scale_read_and_mix", 1, value=self.dynamic),
            constant("scale_write", 1, value=self.dynamic),
        ]

    def flops_per_row(self, architecture: Architecture) -> int:
        """Count the products of the dynamic parts, once to read and once to write."""
        return (
            2 * architecture.sublayers * self.streams * 2 * architecture.width * (self.streams + 2)
        )

    def read(self, streams: Streams, context: SublayerContext) -> Tensor:
        """Weighted sum of the streams by a."""
        s_P11 = context.sublayer_parameter("scale_read_and_mix").unsqueeze(1)
        return total(
            (context.sublayer_parameter(f"read{j}").unsqueeze(1) + s_P11 * dynamic_PRm[..., :1])
            * streams[j]
            for j, dynamic_PRm in enumerate(_dynamic(streams, context))
        )

    def mixing(self, streams: Streams, context: SublayerContext) -> Tensor:
        """Matrices M_kj = A_jk with the dynamic part."""
        s_P111 = context.sublayer_parameter("scale_read_and_mix")[..., None, None]
        dynamic_PRnn = torch.stack([part[..., 2:] for part in _dynamic(streams, context)], -2)
        A_PRnn = context.sublayer_parameter("mix").unsqueeze(1) + s_P111 * dynamic_PRnn
        return A_PRnn.transpose(-2, -1)

    def write(self, streams: Streams, f_PRD: Tensor, context: SublayerContext) -> Streams:
        """Mix the streams by A, and add the branch to each by b."""
        dynamic = _dynamic(streams, context)
        s_P11 = context.sublayer_parameter("scale_read_and_mix").unsqueeze(1)
        mix_Pnn = context.sublayer_parameter("mix")
        write_P1n = context.sublayer_parameter("write").unsqueeze(1)
        t_P11 = context.sublayer_parameter("scale_write").unsqueeze(1)
        written = []
        for k in range(self.streams):
            b_PR1 = write_P1n[..., k : k + 1] + t_P11 * dynamic[k][..., 1:2]
            mixed = [
                (mix_Pnn[:, j, k].view(-1, 1, 1) + s_P11 * dynamic_PRm[..., k + 2 : k + 3])
                * streams[j]
                for j, dynamic_PRm in enumerate(dynamic)
            ]
            written.append(total([*mixed, b_PR1 * f_PRD]))
        return tuple(written)


def _dynamic(streams: Streams, context: SublayerContext) -> list[Tensor]:
    """Dynamic parts of each stream before their scales, (P, R, 2 + n): of a, of b, and of its row
    of A.
    """
    products_PDm = context.sublayer_parameter("dynamic")
    return [
        torch.bmm(nnf.layer_norm(x_PRD, x_PRD.shape[-1:]), products_PDm).tanh() for x_PRD in streams
    ]
