"""Attention residuals: every sub-layer attends to the outputs of all sub-layers before it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from resformer.numerics.parameters import ParameterSpec, zeros
from resformer.residuals.base import Norm, Place, Residual, Stack, Streams

_EPSILON = 1e-6


@final
@dataclass(frozen=True)
class AttnRes(Residual[Streams]):
    """Sub-layer i reads Σ_{j<i} a_j·v_j, a = softmax over j of w_i·RMSNorm(v_j); v_0 the embedding,
    v_j = F_j's output.

    Kimi Team 2026, arXiv 2603.15031, eq. 2 to 4, the full form. The output of the stack is read the
    same way, with a w of its own, as the paper says of its block form. A learned w of `width`
    entries per reader, 0 at first: the plain mean. RMSNorm has no gain here, which w can stand for.
    Norm: pre.
    """

    own_norm: ClassVar[str] = "pre"
    norms: ClassVar[tuple[str, ...]] = ("pre",)

    def weights(self, stack: Stack) -> list[ParameterSpec]:
        """Of every sub-layer but the first, which has v_0 alone to read, and of the output."""
        return [zeros(_query(reader), stack.width) for reader in range(2, stack.sublayers + 2)]

    def open(self, x_PRD: Tensor) -> Streams:
        """v_0."""
        return (x_PRD,)

    def read(self, carried: Streams, place: Place) -> Tensor:
        """What it attends to."""
        return _attended(carried, place.weights)

    def write(self, carried: Streams, f_PRD: Tensor, place: Place) -> Streams:
        """One more."""
        return *carried, f_PRD

    def outer(self, carried: Streams, norm: Norm, place: Place) -> Streams:
        """Of the newest; no placement that it allows has one."""
        return *carried[:-1], norm(carried[-1])

    def end(self, carried: Streams, weights: Mapping[str, Tensor]) -> Tensor:
        """What the output attends to."""
        return _attended(carried, weights)

    def close(self, carried: Streams, last: Norm, weights: Mapping[str, Tensor]) -> Tensor:
        """What the output attends to."""
        return last(_attended(carried, weights))


def _attended(carried: Streams, weights: Mapping[str, Tensor]) -> Tensor:
    """Reader i has i values to attend to."""
    if len(carried) == 1:
        return carried[0]
    w_P1D = weights[_query(len(carried))].unsqueeze(1)
    scores = [(v_PRD * w_P1D).sum(-1) * _over_rms(v_PRD) for v_PRD in carried]
    a_PRj = torch.stack(scores, -1).softmax(-1)
    read_PRD = a_PRj[..., :1] * carried[0]
    for column, v_PRD in enumerate(carried[1:], 1):
        read_PRD = read_PRD + a_PRj[..., column : column + 1] * v_PRD
    return read_PRD


def _over_rms(v_PRD: Tensor) -> Tensor:
    mean_PR: Tensor = v_PRD.square().mean(-1)
    return (mean_PR + _EPSILON).rsqrt()


def _query(reader: int) -> str:
    return f"reader{reader}.attn_res.query"
