"""Stable ResNet: every branch is scaled down by a power of the depth."""

from dataclasses import dataclass
from typing import ClassVar, final

from resformer.errors import require_between
from resformer.residuals.base import SublayerContext, WeightedSum


@final
@dataclass(frozen=True, kw_only=True)
class Scaled(WeightedSum):
    """x' = x + b·F(x), b = S^(-exponent), S = 2L the number of sub-layers.

    `exponent` = 1/2 is Stable ResNet (Hayou et al. 2021, arXiv 2010.12859, uniform scaling) and the
    forward pass of depth-muP (Yang et al. 2024, arXiv 2310.02244), which also scales Adam's rate by
    L^(-1/2); 1 is the forward pass of CompleteP with a base depth of one sub-layer (Dey et al.
    2025, arXiv 2505.01618), which also scales Adam's epsilon. Rates and epsilon are not scaled
    here. Learned: nothing. Norm: pre or none.
    """

    exponent: float

    own_norm: ClassVar[str] = "pre"
    norms: ClassVar[tuple[str, ...]] = ("pre", "none")

    def __post_init__(self) -> None:
        require_between("model.residual.exponent", self.exponent, low=0, high=4)

    def branch_weight(self, context: SublayerContext) -> float:
        """Constant b."""
        return float(context.architecture.sublayers**-self.exponent)
