"""Delta attention residuals: a plain stream, to which a sub-layer adds attention to outputs."""

from dataclasses import dataclass
from typing import ClassVar, final

from torch import Tensor

from resformer.numerics.parameters import ParameterSpec, zeros
from resformer.residuals.attn_res import attended
from resformer.residuals.base import Architecture, ManyStreams, Streams, SublayerContext


@final
@dataclass(frozen=True, kw_only=True)
class DeltaAttnRes(ManyStreams):
    """F_i reads x + Σ_{j<i} a_j·d_j, a = softmax over j of w_i·RMSNorm(d_j); d_0 the embedding, d_j
    = F_j's output; x' = x + F_i.

    Luo, Cai & Hu 2026, arXiv 2605.18855, per sub-layer, and the authors' code: a draft of the paper
    in the history of their repository `open-attention-residuals` has the formula (section 2.2)
    without d_0, which the released code has; the published text could not be read. F_1 reads x
    alone, as there is no other output yet. Learned: w, `width` entries per sub-layer but the first.
    Initial values: w = 0, as in the draft (the code draws w with a standard deviation of 0.02), so
    that a is uniform. RMSNorm has no gain here, since w can absorb it. With `null_source`, one more
    source per sub-layer is learned, which starts at 0. Norm: pre.
    """

    null_source: bool
    """Attend to a learned vector, too, so that a sub-layer can read x alone."""

    own_norm: ClassVar[str] = "pre"
    norms: ClassVar[tuple[str, ...]] = ("pre",)

    def sublayer_parameters(self, sublayer: int, architecture: Architecture) -> list[ParameterSpec]:
        """Query w, and the null source."""
        if sublayer == 1:
            return []
        names = ("query", "null") if self.null_source else ("query",)
        return [zeros(name, architecture.width) for name in names]

    def expand_streams(self, x_PRD: Tensor) -> Streams:
        """Start the stream x, and the history of all d beside it."""
        return x_PRD, x_PRD

    def read(self, streams: Streams, context: SublayerContext) -> Tensor:
        """Add attention to all outputs so far to the stream."""
        x_PRD, *outputs = streams
        if context.sublayer == 1:
            return x_PRD
        if self.null_source:
            outputs.append(context.sublayer_parameter("null").unsqueeze(1).expand_as(x_PRD))
        return x_PRD + attended(tuple(outputs), context.sublayer_parameter("query"))

    def write(self, streams: Streams, f_PRD: Tensor, context: SublayerContext) -> Streams:
        """Add the branch to the stream, and append it to the history."""
        return streams[0] + f_PRD, *streams[1:], f_PRD
