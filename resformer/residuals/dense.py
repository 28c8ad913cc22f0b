"""DenseFormer: after every block, a learned weighted sum of all blocks' outputs."""

from dataclasses import dataclass
from typing import ClassVar, final

from torch import Tensor

from resformer.numerics.parameters import ParameterSpec, ones, zeros
from resformer.residuals.base import Architecture, ManyStreams, Streams, SublayerContext


@final
@dataclass(frozen=True)
class Dense(ManyStreams):
    """u_l = Block_l(y_{l-1}), y_l = Σ_{j=0…l} α_lj·u_j, u_0 = y_0 the embedding, Block_l two
    sub-layers x' = x + F(x).

    Pagliardini et al. 2024, arXiv 2402.02622, eq. 2 and the authors' code: what is summed are the
    blocks' own outputs, not earlier sums. Initial values: α_ll = 1, the others 0, which is
    pre-norm; learned. Norm: pre.
    """

    own_norm: ClassVar[str] = "pre"
    norms: ClassVar[tuple[str, ...]] = ("pre",)

    def block_parameters(self, block: int, architecture: Architecture) -> list[ParameterSpec]:
        """α of the embedding and of all earlier outputs, and of the block's own."""
        return [zeros("earlier", block), ones("own", 1)]

    def expand_streams(self, x_PRD: Tensor) -> Streams:
        """Start the stream x, and the history of all u beside it."""
        return x_PRD, x_PRD

    def write(self, streams: Streams, f_PRD: Tensor, context: SublayerContext) -> Streams:
        """Add the branch to x; at the end of a block sum all u."""
        x_PRD, *outputs = streams
        x_PRD = x_PRD + f_PRD
        if not context.ends_block:
            return x_PRD, *outputs
        earlier_Pl, own_P1 = context.block_parameter("earlier"), context.block_parameter("own")
        y_PRD = own_P1.unsqueeze(2) * x_PRD
        for column, u_PRD in zip([0, *context.earlier_blocks], outputs, strict=True):
            y_PRD = y_PRD + earlier_Pl[:, column].view(-1, 1, 1) * u_PRD
        return y_PRD, *outputs, x_PRD
