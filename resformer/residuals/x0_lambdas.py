"""Residual and x0 lambdas: before every block, a learned mix of the stream with the embedding."""

from dataclasses import dataclass, replace
from typing import ClassVar, final

from torch import Tensor

from resformer.errors import require_between
from resformer.numerics.parameters import Factors, ParameterSpec, constant
from resformer.residuals.base import (
    Architecture,
    ManyStreams,
    Streams,
    SublayerContext,
    check_magnitude,
)


@final
@dataclass(frozen=True, kw_only=True)
class X0Lambdas(ManyStreams):
    """x ← r_l·x + z_l·x_0 before block l, x_0 the embedding; x' = x + F(x) in its two sub-layers.

    nanochat (Karpathy 2026; `dev/LOG.md`, 2026-01-11, and `gpt.py` at 92d63d4), after
    modded-nanogpt. Learned: r and z, a scalar each per block, at learning rates of their own:
    `stream_rate` = 0.01 and `embedding_rate` = 1 times that of the member, since a product of r
    over all blocks needs a rate about 100 times smaller. Initial values as there: r falls evenly
    from `stream_first` = 1.15 to `stream_last` = 1.05, z from `embedding_first` = 0.2 to
    `embedding_last` = 0.05; with r = 1, z = 0, the first version, training starts as `add`.
    Different from nanochat: x_0 is not normalised, so that models compare with `add`; relative to
    its head's, the rates there are 0.625 and 62.5, and z has a β₁ of 0.96. Left out: its last step,
    which subtracts a share of the stream at half depth. Norm: pre.
    """

    stream_first: float
    stream_last: float
    embedding_first: float
    embedding_last: float
    stream_rate: float
    embedding_rate: float

    own_norm: ClassVar[str] = "pre"
    norms: ClassVar[tuple[str, ...]] = ("pre",)

    def __post_init__(self) -> None:
        for setting in ("stream_first", "stream_last", "embedding_first", "embedding_last"):
            check_magnitude(self, setting)
        for setting in ("stream_rate", "embedding_rate"):
            require_between(
                f"model.residual.{setting}", getattr(self, setting), low=0.0, high=1000.0
            )

    def block_parameters(self, block: int, architecture: Architecture) -> list[ParameterSpec]:
        """Scalars r and z."""
        share = (block - 1) / max(architecture.depth - 1, 1)
        r = self.stream_first + share * (self.stream_last - self.stream_first)
        z = self.embedding_first + share * (self.embedding_last - self.embedding_first)
        return [
            replace(constant("stream", 1, value=r), factors=Factors(lr=self.stream_rate)),
            replace(constant("embedding", 1, value=z), factors=Factors(lr=self.embedding_rate)),
        ]

    def expand_streams(self, x_PRD: Tensor) -> Streams:
        """Start x from the embedding, and keep the embedding beside it."""
        return x_PRD, x_PRD

    def read(self, streams: Streams, context: SublayerContext) -> Tensor:
        """Read the stream, mixed with the embedding at the start of a block."""
        x_PRD, x0_PRD = streams
        if not context.is_attention:
            return x_PRD
        r_P11 = context.block_parameter("stream").unsqueeze(1)
        z_P11 = context.block_parameter("embedding").unsqueeze(1)
        return r_P11 * x_PRD + z_P11 * x0_PRD

    def write(self, streams: Streams, f_PRD: Tensor, context: SublayerContext) -> Streams:
        """Add the branch to the stream as the sub-layer reads it."""
        return self.read(streams, context) + f_PRD, streams[1]
