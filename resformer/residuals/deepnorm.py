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
        return (
            (8 * stack.depth) ** -0.25 if group in ("value", "output", "ffn_in", "ffn_out") else 1.0
        )

    def write(self, carried: Tensor, f_PRD: Tensor, place: Place) -> Tensor:
        """The sum with the skip scaled."""
        alpha: float = (2 * place.stack.depth) ** 0.25
        return carried * alpha + f_PRD
