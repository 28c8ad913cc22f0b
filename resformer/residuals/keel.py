"""KEEL: post-norm with a scaled skip, and a norm before the branch as well."""

from dataclasses import dataclass
from typing import ClassVar, final

from torch import Tensor

from resformer.residuals.base import Architecture, OneStream, SublayerContext


@final
@dataclass(frozen=True)
class Keel(OneStream):
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

    def write(self, x_PRD: Tensor, f_PRD: Tensor, context: SublayerContext) -> Tensor:
        """Add the branch to the stream, scaled from the second block on."""
        return x_PRD * (context.architecture.sublayers if context.block > 1 else 1) + f_PRD
