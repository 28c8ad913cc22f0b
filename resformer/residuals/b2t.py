"""Bottom-to-top: post-norm blocks with one more skip around the whole block."""

from dataclasses import dataclass
from typing import ClassVar, final

from torch import Tensor

from resformer.residuals.base import ManyStreams, Norm, Streams, SublayerContext


@final
@dataclass(frozen=True)
class B2t(ManyStreams):
    """y = N(x + A(x)), x' = N(x + y + FFN(y)), x the input of the block.

    Takase et al. 2023, "B2T connection", arXiv 2206.00330, and the authors' code, which also starts
    all matrices smaller by L^(-1/2); here they start as with `add`. Learned: nothing. Norm: post.
    """

    own_norm: ClassVar[str] = "post"
    norms: ClassVar[tuple[str, ...]] = ("post",)

    def expand_streams(self, x_PRD: Tensor) -> Streams:
        """Start the stream that sub-layers read, and the block's input beside it."""
        return x_PRD, x_PRD

    def write(self, streams: Streams, f_PRD: Tensor, context: SublayerContext) -> Streams:
        """Add the branch: to x for y, to x and y for x', the input of the next block."""
        y_PRD, x_PRD = streams
        if context.is_attention:
            return y_PRD + f_PRD, x_PRD
        sum_PRD = x_PRD + y_PRD + f_PRD
        return sum_PRD, sum_PRD

    def apply_post_norm(self, streams: Streams, norm: Norm, context: SublayerContext) -> Streams:
        """Normalise y, or x' as the stream and as the input of the next block."""
        normed_PRD = norm(streams[0])
        return normed_PRD, streams[1] if context.is_attention else normed_PRD
