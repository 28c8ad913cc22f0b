"""ResiDual: a post-norm stream and, beside it, the plain sum of all branches."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, final

from torch import Tensor

from resformer.residuals.base import Architecture, ManyStreams, Norm, Streams, SublayerContext


@final
@dataclass(frozen=True)
class ResidualDual(ManyStreams):
    """x' = N(x + F(x)), y' = y + F(x); the output is x + N(y).

    Xie et al. 2023, arXiv 2304.14802, eq. 3 and the authors' code. Both streams start at the
    embedding. Learned: nothing. Norm: post, and the final norm on y, whose ε is 1e-5 as everywhere
    here, 1e-7 in the authors' code: y has a variance of order 1 and more, so that the output
    differs by about 5e-6 of itself.
    """

    own_norm: ClassVar[str] = "post"
    norms: ClassVar[tuple[str, ...]] = ("post",)

    def has_final_norm(self, norm: str, architecture: Architecture) -> bool:
        """Return True: y is always normalised."""
        return True

    def expand_streams(self, x_PRD: Tensor) -> Streams:
        """Start x and y from the embedding."""
        return x_PRD, x_PRD

    def write(self, streams: Streams, f_PRD: Tensor, context: SublayerContext) -> Streams:
        """Add the branch to both streams."""
        return streams[0] + f_PRD, streams[1] + f_PRD

    def reduce_streams(
        self, streams: Streams, final_norm: Norm, parameters: Mapping[str, Tensor]
    ) -> Tensor:
        """Add the normalised y to x."""
        return streams[0] + final_norm(streams[1])
