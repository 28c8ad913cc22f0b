"""Multi-gate residuals: several streams, which gates pull towards every sub-layer's output."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from resformer.errors import require_between
from resformer.numerics.elementwise import sigmoid
from resformer.numerics.parameters import ParameterSpec, constant, zeros
from resformer.residuals.attn_res import attended, scores
from resformer.residuals.base import Architecture, ManyStreams, Streams, SublayerContext

_OUTPUT = "output.multi_gate.query"


@final
@dataclass(frozen=True, kw_only=True)
class MultiGate(ManyStreams):
    """Streams s, up to n = `streams`; F reads Σ_j a_j·s_j, a = softmax over j of w·N(s_j)/√D, and
    s_j' = s_j + β_j·(F - s_j), β_j = σ(v·N(s_j)/√D + b_j), N an RMSNorm without gain.

    Zheng et al. 2026, arXiv 2605.23259, eq. 1 and the independent gates, per sub-layer. The first
    stream is the embedding, the outputs of the first n - 1 sub-layers are the others; gates begin
    behind these. The output is read as one more sub-layer would. Learned: w, v, b. Initial values:
    w = v = 0; b such that σ(b) = σ(b_21)·√(21/M), M the sub-layers with gates, b_21 =
    `gate_bias_at_21_sublayers` = -3. That is eq. 14, which starts the forget gate of the paper's
    other, competitive gates at the same β. Of the paper only abstract and introduction could be
    checked; the rest is from two accounts of it, a note of the project `katgpt-rs` and the code of
    `burn-mamba`, which agree but for the first streams: an earlier version of that code starts all
    n from the embedding. Norm: pre.
    """

    streams: int
    """n."""
    gate_bias_at_21_sublayers: float
    """Initial b of a network with gates at 21 sub-layers."""

    own_norm: ClassVar[str] = "pre"
    norms: ClassVar[tuple[str, ...]] = ("pre",)

    def __post_init__(self) -> None:
        require_between("model.residual.streams", self.streams, low=2, high=16)
        # From -1.28 on, σ(b) of one sub-layer would be above 1.
        setting = "gate_bias_at_21_sublayers"
        require_between(f"model.residual.{setting}", getattr(self, setting), low=-20, high=-1.5)

    def gate_bias(self, architecture: Architecture) -> float:
        """Initial b."""
        gated = architecture.sublayers - self.streams + 1
        return -math.log((gated / 21) ** 0.5 * (math.exp(-self.gate_bias_at_21_sublayers) + 1) - 1)

    def parameters(self, architecture: Architecture) -> list[ParameterSpec]:
        """Parameters of every sub-layer, and the query w of the output."""
        return [*super().parameters(architecture), zeros(_OUTPUT, architecture.width)]

    def sublayer_parameters(self, sublayer: int, architecture: Architecture) -> list[ParameterSpec]:
        """Query w, but of the first sub-layer, which reads one stream; v and b of the gates."""
        query = [zeros("query", architecture.width)] if sublayer > 1 else []
        if sublayer < self.streams:
            return query
        bias = constant("bias", self.streams, value=self.gate_bias(architecture))
        return [*query, zeros("gate", architecture.width), bias]

    def read(self, streams: Streams, context: SublayerContext) -> Tensor:
        """Attend to the streams."""
        if context.sublayer == 1:
            return streams[0]
        return attended(streams, _scaled(context.sublayer_parameter("query")))

    def write(self, streams: Streams, f_PRD: Tensor, context: SublayerContext) -> Streams:
        """Append the branch as a stream until there are n, then pull each stream towards it."""
        if context.sublayer < self.streams:
            return *streams, f_PRD
        begun = [0, *context.kept(1, self.streams - 1)]
        bias_Pn = context.sublayer_parameter("bias")
        bias_Pn = torch.cat([bias_Pn[:, j : j + 1] for j in begun], 1)
        scores_PRn = scores(streams, _scaled(context.sublayer_parameter("gate")))
        beta_PRn = sigmoid(scores_PRn + bias_Pn.unsqueeze(1))
        return tuple(
            s_PRD + beta_PRn[..., j : j + 1] * (f_PRD - s_PRD) for j, s_PRD in enumerate(streams)
        )

    def stream_output(self, streams: Streams, parameters: Mapping[str, Tensor]) -> Tensor:
        """Attend to the streams."""
        return attended(streams, _scaled(parameters[_OUTPUT]))


def _scaled(w_PD: Tensor) -> Tensor:
    """Weights w/√D."""
    scaled_PD: Tensor = w_PD * w_PD.shape[-1] ** -0.5
    return scaled_PD
