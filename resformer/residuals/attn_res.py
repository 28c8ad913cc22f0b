"""Attention residuals: every sub-layer attends to the outputs of all sub-layers before it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from resformer.numerics.parameters import ParameterSpec, zeros
from resformer.residuals.base import (
    Architecture,
    ManyStreams,
    Streams,
    SublayerContext,
    inverse_rms,
    weighted,
)

_QUERY = ".attn_res.query"


@final
@dataclass(frozen=True)
class AttnRes(ManyStreams):
    """Sub-layer i reads Σ_{j<i} a_j·v_j, a = softmax over j of w_i·RMSNorm(v_j); v_0 the embedding,
    v_j = F_j's output.

    Kimi Team 2026, arXiv 2603.15031, eq. 2 to 4, the full form. The model's output is read in the
    same way, with its own w, as the paper does in its block form. Learned: w, `width` entries per
    reader. Initial values: w = 0, so that a is uniform. RMSNorm has no gain here, since w can
    absorb it. Norm: pre.
    """

    own_norm: ClassVar[str] = "pre"
    norms: ClassVar[tuple[str, ...]] = ("pre",)

    def parameters(self, architecture: Architecture) -> list[ParameterSpec]:
        """Queries w of the output and of every sub-layer but the first, which reads v_0 alone."""
        readers = range(2, architecture.sublayers + 2)
        return [zeros(_query(reader), architecture.width) for reader in readers]

    def read(self, streams: Streams, context: SublayerContext) -> Tensor:
        """Attend to all outputs so far."""
        if context.sublayer == 1:
            return streams[0]
        return attended(streams, context.parameters[_query(context.sublayer)])

    def write(self, streams: Streams, f_PRD: Tensor, context: SublayerContext) -> Streams:
        """Append the branch to the history."""
        return *streams, f_PRD

    def stream_output(self, streams: Streams, parameters: Mapping[str, Tensor]) -> Tensor:
        """Attend to the outputs of all sub-layers."""
        readers = sum(name.endswith(_QUERY) for name in parameters)
        return attended(streams, parameters[_query(readers + 1)])


def _query(reader: int) -> str:
    return f"reader{reader}{_QUERY}"


def attended(values: Streams, w_PD: Tensor) -> Tensor:
    """Σ_j a_j·v_j, a = softmax over j of w·RMSNorm(v_j), for every row of the values."""
    return weighted(scores(values, w_PD).softmax(-1), values)


def scores(values: Streams, w_PD: Tensor) -> Tensor:
    """Scores w·RMSNorm(v_j) of the values, (P, R, number of values)."""
    w_P1D = w_PD.unsqueeze(1)
    return torch.stack([(v_PRD * w_P1D).sum(-1) * inverse_rms(v_PRD) for v_PRD in values], -1)
