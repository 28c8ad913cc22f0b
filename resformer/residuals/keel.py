"""KEEL: post-norm with a scaled skip, and a norm before the branch as well."""

from dataclasses import dataclass
from typing import ClassVar, final

from resformer.residuals.base import Architecture, SublayerContext, WeightedSum


@final
@dataclass(frozen=True)
class Keel(WeightedSum):
    """x' = N(α·x + F(N(x))), α = S = 2L, the number of sub-layers (Chen & Wei 2026, arXiv
    2601.19895).

    The first attention has neither outer norm nor α, the first FFN no α. The paper's norms have no
    bias; here they have one, which starts at 0, as with every scheme. Learned: nothing. Norm:
    pre_post, except for the first attention, which has `pre`.
    """

    own_norm: ClassVar[str] = "pre_post"
    norms: ClassVar[tuple[str, ...]] = ("pre_post",)

    def placement(self, norm: str, sublayer: int, architecture: Architecture) -> str:
        """Placement `pre` for the first attention."""
        return "pre" if sublayer == 1 else norm

    def skip_weight(self, context: SublayerContext) -> float:
        """Constant α from the second block on, 1 before."""
        return float(context.architecture.sublayers if context.block > 1 else 1)
