"""DeepNorm: post-norm with a heavier skip and a lighter start."""

from dataclasses import dataclass
from typing import ClassVar, final

from torch import Tensor

from resformer.residuals.base import Group, OneStream, Place, Stack


@final
@dataclass(frozen=True)
class DeepNorm(OneStream):
    """x' = N(α·x + F(x)), α = (2L)^¼, L the number of blocks (Wang et al. 2022, arXiv 2203.00555,
    fig. 2).

    Initial gain β = (8L)^(-¼) on value, output and both FFN matrices, 1 on query and key. The paper
    draws Xavier-normal; here every scheme shares one Xavier-uniform draw, so that comparisons are
    paired. Learned: nothing. Norm: post.
    """

    own_norm: ClassVar[str] = "post"
    norms: ClassVar[tuple[str, ...]] = ("post",)

    def gain(self, group: Group, stack: Stack) -> float:
        """β where it stands, else 1."""
        return beta(stack.depth) if group in ("value", "output", "ffn_in", "ffn_out") else 1.0

    def write(self, carried: Tensor, f_PRD: Tensor, place: Place) -> Tensor:
        """The sum with the skip scaled."""
        return carried * alpha(place.stack.depth) + f_PRD


def alpha(depth: float) -> float:
    """Factor of the skip of a stack of this depth in blocks."""
    return float((2 * depth) ** 0.25)


def beta(depth: float) -> float:
    """Initial gain of a stack of this depth in blocks."""
    return float((8 * depth) ** -0.25)
