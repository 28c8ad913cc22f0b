"""DeepNorm: post-norm with a heavier skip and a lighter start."""

from dataclasses import dataclass
from typing import ClassVar, final

from torch import Tensor

from resformer.residuals.base import Group, Place, Residual


@final
@dataclass(frozen=True)
class DeepNorm(Residual):
    """x' = N(α·x + F(x)), α = (2L)^¼, L the number of blocks (Wang et al. 2022, arXiv 2203.00555, fig. 2).

    Initial gain β = (8L)^(-¼) on value, output and both FFN matrices, 1 on query and key. The paper draws
    Xavier-normal; here every scheme shares one Xavier-uniform draw, so that comparisons are paired. Learned: nothing.
    Norm: post.
    """

    own_norm: ClassVar[str] = "post"
    norms: ClassVar[tuple[str, ...]] = ("post",)

    def gain(self, group: Group, depth: int) -> float:
        """β, or 1 for query and key."""
        return 1.0 if group in ("query", "key") else (8 * depth) ** -0.25

    def write(self, carried: Tensor, f_PRD: Tensor, place: Place) -> Tensor:
        """The sum with the skip scaled."""
        alpha: float = (2 * place.depth) ** 0.25
        return carried * alpha + f_PRD
