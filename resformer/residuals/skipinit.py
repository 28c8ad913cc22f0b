"""SkipInit: a learned scalar per branch, which starts at 0."""

from dataclasses import dataclass
from typing import ClassVar, final

from torch import Tensor

from resformer.numerics.parameters import ParameterSpec, constant
from resformer.residuals.base import Architecture, SublayerContext, WeightedSum, check_magnitude


@final
@dataclass(frozen=True, kw_only=True)
class SkipInit(WeightedSum):
    """x' = x + α·F(x), one learned scalar α per sub-layer.

    Initial value: α = `initial`, 0 in the paper (De & Smith 2020, arXiv 2002.10444, section 3;
    taken from secondary sources), which is about residual networks without batch norm; with `pre`
    it is our extension. ReZero has one α per block. Norm: none or pre.
    """

    initial: float

    own_norm: ClassVar[str] = "none"
    norms: ClassVar[tuple[str, ...]] = ("none", "pre")

    def __post_init__(self) -> None:
        check_magnitude(self, "initial")

    def sublayer_parameters(self, sublayer: int, architecture: Architecture) -> list[ParameterSpec]:
        """Scalar α."""
        return [constant("alpha", 1, value=self.initial)]

    def branch_weight(self, context: SublayerContext) -> Tensor:
        """Scalar α."""
        return context.sublayer_parameter("alpha")
