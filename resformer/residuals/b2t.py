"""Bottom-to-top: post-norm blocks with one more skip around the whole block."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, final

from torch import Tensor

from resformer.residuals.base import Norm, Place, Residual, Streams


@final
@dataclass(frozen=True)
class B2t(Residual[Streams]):
    """y = N(x + A(x)), x' = N(x + y + FFN(y)), x the input of the block.

    Takase et al. 2023, "B2T connection", arXiv 2206.00330, and the authors' code, which also starts
    all matrices smaller by L^(-1/2); here they start as with `add`. Learned: nothing. Norm: post.
    """

    own_norm: ClassVar[str] = "post"
    norms: ClassVar[tuple[str, ...]] = ("post",)

    def open(self, x_PRD: Tensor) -> Streams:
        """The block's input, and what the next sub-layer reads."""
        return x_PRD, x_PRD

    def read(self, carried: Streams, place: Place) -> Tensor:
        """The block's input for attention, y for the FFN."""
        return carried[1]

    def write(self, carried: Streams, f_PRD: Tensor, place: Place) -> Streams:
        """The sums: y, with x kept beside it, then x', which is the input of the next block."""
        x_PRD, y_PRD = carried
        if place.attends:
            return x_PRD, y_PRD + f_PRD
        sum_PRD = x_PRD + y_PRD + f_PRD
        return sum_PRD, sum_PRD

    def outer(self, carried: Streams, norm: Norm, place: Place) -> Streams:
        """Of what was written."""
        normed_PRD = norm(carried[1])
        return carried[0] if place.attends else normed_PRD, normed_PRD

    def end(self, carried: Streams, weights: Mapping[str, Tensor]) -> Tensor:
        """The last x'."""
        return carried[1]

    def close(self, carried: Streams, last: Norm, weights: Mapping[str, Tensor]) -> Tensor:
        """The last x'."""
        return last(carried[1])
