"""DeepNorm: post-norm with a scaled skip and smaller initial values."""

from dataclasses import dataclass
from typing import ClassVar, final

from resformer.residuals.base import Architecture, ParameterGroup, SublayerContext, WeightedSum


@final
@dataclass(frozen=True)
class DeepNorm(WeightedSum):
    """x' = N(α·x + F(x)), α = (2L)^¼, L the number of blocks (Wang et al. 2022, arXiv 2203.00555,
    fig. 2).

    Initial gain β = (8L)^(-¼) on value, output and both FFN matrices, 1 on query and key. The paper
    draws Xavier-normal; here every scheme shares one Xavier-uniform draw, so that comparisons are
    paired. Learned: nothing. Norm: post.
    """

    own_norm: ClassVar[str] = "post"
    norms: ClassVar[tuple[str, ...]] = ("post",)

    def gain(self, group: ParameterGroup, architecture: Architecture) -> float:
        """Gain β for value, output and FFN, else 1."""
        lighter = group in ("value", "output", "ffn_in", "ffn_out")
        return beta(architecture.depth) if lighter else 1.0

    def skip_weight(self, context: SublayerContext) -> float:
        """Constant α."""
        return alpha(context.architecture.depth)


def alpha(depth: float) -> float:
    """Factor on the skip, (2L)^¼."""
    return float((2 * depth) ** 0.25)


def beta(depth: float) -> float:
    """Initial gain, (8L)^(-¼)."""
    return float((8 * depth) ** -0.25)
