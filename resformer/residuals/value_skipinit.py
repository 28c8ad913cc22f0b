"""Value-SkipInit: no skip around attention, which starts as the identity."""

from dataclasses import dataclass
from typing import ClassVar, final

from torch import Tensor

from resformer.numerics.parameters import ParameterSpec, ones, zeros
from resformer.residuals.base import (
    Architecture,
    SkiplessAttention,
    SublayerContext,
    mixed_with_identity,
)


@final
@dataclass(frozen=True, kw_only=True)
class ValueSkipInit(SkiplessAttention):
    """Attention without skip, x' = Attn(N(x)), whose pattern is αI + βA; the FFN keeps one, x' =
    x + b·FFN(N(x)).

    He et al. 2023, arXiv 2302.10322, as He & Hofmann 2024 (arXiv 2311.01906, eq. 4 and section 4.1)
    give it: He et al. have a shaped activation in the place of the FFN's skip. Learned: α and β per
    head, b per block. Initial values: α = 1, β = 0; b = `ffn_gain_at_18_blocks`·√(18 / L), 0.1 at
    L = 18 in the authors' code, their Value-SkipInit included, and O(L^(-1/2)) in the paper; value
    and output matrices start at the identity, where the paper draws random orthogonal ones: at a
    learning rate of 1e-3 copy at depth 16 is solved with either if b is small, and with neither if
    b = 1. Norm: pre.
    """

    shapes_attention: ClassVar[bool] = True

    def block_parameters(self, block: int, architecture: Architecture) -> list[ParameterSpec]:
        """Scalars α and β per head, and b."""
        return [
            ones("alpha", architecture.heads),
            zeros("beta", architecture.heads),
            *super().block_parameters(block, architecture),
        ]

    def attention_pattern(self, a_PBHTT: Tensor, context: SublayerContext) -> Tensor:
        """Pattern αI + βA."""
        return mixed_with_identity(a_PBHTT, context)
