"""ResiDual: a post-norm stream and, beside it, the plain sum of all branches."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, final

from torch import Tensor

from resformer.residuals.base import Norm, Place, Residual, Stack, Streams


@final
@dataclass(frozen=True)
class ResidualDual(Residual[Streams]):
    """x' = N(x + F(x)), y' = y + F(x); the output is x + N(y).

    Xie et al. 2023, arXiv 2304.14802, eq. 3 and the authors' code. Both streams start at the
    embedding. Learned: nothing. Norm: post, and the last norm on y.
    """

    own_norm: ClassVar[str] = "post"
    norms: ClassVar[tuple[str, ...]] = ("post",)

    def last_norm(self, norm: str, stack: Stack) -> bool:
        """Always, on y."""
        return True

    def open(self, x_PRD: Tensor) -> Streams:
        """The embedding, as x and as y."""
        return x_PRD, x_PRD

    def read(self, carried: Streams, place: Place) -> Tensor:
        """The stream x."""
        return carried[0]

    def write(self, carried: Streams, f_PRD: Tensor, place: Place) -> Streams:
        """Both sums."""
        return carried[0] + f_PRD, carried[1] + f_PRD

    def outer(self, carried: Streams, norm: Norm, place: Place) -> Streams:
        """Of x alone."""
        return norm(carried[0]), carried[1]

    def end(self, carried: Streams, weights: Mapping[str, Tensor]) -> Tensor:
        """The stream x."""
        return carried[0]

    def close(self, carried: Streams, last: Norm, weights: Mapping[str, Tensor]) -> Tensor:
        """Both together."""
        return carried[0] + last(carried[1])
