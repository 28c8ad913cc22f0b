"""LayerNorm scaling: the output of a norm shrinks with the number of the block."""

from dataclasses import dataclass
from typing import ClassVar, final

from resformer.residuals.base import IdentitySkip, SublayerContext


@final
@dataclass(frozen=True)
class Lns(IdentitySkip):
    """x' = x + F(N(x) / √l), l the number of the block, from 1, the same in its two sub-layers.

    Sun et al. 2025, "The curse of depth in large language models", arXiv 2502.05795, eq. 8, and the
    authors' code. Learned: nothing. Norm: pre.
    """

    own_norm: ClassVar[str] = "pre"
    norms: ClassVar[tuple[str, ...]] = ("pre",)

    def input_scale(self, context: SublayerContext) -> float:
        """Factor l^(-1/2)."""
        return float(context.block**-0.5)
