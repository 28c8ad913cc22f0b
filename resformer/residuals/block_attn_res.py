"""Block attention residuals: sub-layers attend to the sums of blocks of outputs."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, final

from torch import Tensor

from resformer.errors import require
from resformer.numerics.parameters import ParameterSpec, zeros
from resformer.residuals.attn_res import attended
from resformer.residuals.base import Architecture, ManyStreams, Streams, SublayerContext

_OUTPUT = "last.block_attn_res.query"


@final
@dataclass(frozen=True, kw_only=True)
class BlockAttnRes(ManyStreams):
    """Every sub-layer reads Σ_n a_n·b_n, a = softmax over n of w·RMSNorm(b_n), w its own; b_0 the
    embedding, b_n the sum of the outputs of block n so far.

    Kimi Team 2026, arXiv 2603.15031, eq. 5 and 6 as others quote them, and the pseudocode of the
    authors' README, where the first sub-layer of a block reads the blocks before it and the others
    the part of their own block, too. The S sub-layers are cut into at most `blocks` = 8 blocks of
    ⌈S / `blocks`⌉ sub-layers each, the last one perhaps shorter (the paper divides evenly): with S
    blocks it is `attn_res`. The model's output is read in the same way, with its own w. Learned: w,
    `width` entries per reader but for the first sub-layer, which reads b_0 alone. Initial values: w
    = 0, so that a is uniform. RMSNorm has no gain here, since w can absorb it. Norm: pre.
    """

    blocks: int
    """Largest number of blocks of sub-layers."""

    own_norm: ClassVar[str] = "pre"
    norms: ClassVar[tuple[str, ...]] = ("pre",)

    def __post_init__(self) -> None:
        require(self.blocks >= 1, "model.residual.blocks", self.blocks, "must be at least 1")

    def parameters(self, architecture: Architecture) -> list[ParameterSpec]:
        """Queries w of the sub-layers and of the output."""
        return [*super().parameters(architecture), zeros(_OUTPUT, architecture.width)]

    def sublayer_parameters(self, sublayer: int, architecture: Architecture) -> list[ParameterSpec]:
        """Query w."""
        return [zeros("query", architecture.width)] if sublayer > 1 else []

    def read(self, streams: Streams, context: SublayerContext) -> Tensor:
        """Attend to the sums."""
        if context.sublayer == 1:
            return streams[0]
        return attended(streams, context.sublayer_parameter("query"))

    def write(self, streams: Streams, f_PRD: Tensor, context: SublayerContext) -> Streams:
        """Begin a new sum, or add the branch to that of this block."""
        length = math.ceil(context.architecture.sublayers / self.blocks)
        place = (context.sublayer - 1) % length
        if not context.kept(context.sublayer - place, context.sublayer - 1):
            return *streams, f_PRD
        return *streams[:-1], streams[-1] + f_PRD

    def stream_output(self, streams: Streams, parameters: Mapping[str, Tensor]) -> Tensor:
        """Attend to the sums of all blocks."""
        return attended(streams, parameters[_OUTPUT])
