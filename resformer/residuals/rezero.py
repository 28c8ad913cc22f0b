"""ReZero: every block starts as the identity."""

from dataclasses import dataclass
from typing import ClassVar, final

from torch import Tensor

from resformer.numerics.parameters import ParameterSpec, constant
from resformer.residuals.base import Architecture, SublayerContext, WeightedSum, check_magnitude


@final
@dataclass(frozen=True, kw_only=True)
class ReZero(WeightedSum):
    """x' = x + α·F(x), one learned scalar α per block, shared by its two sub-layers.

    Initial value: α = `initial`, 0 in the paper (Bachlechner et al. 2021, arXiv 2003.04887, eq. 3
    and the authors' code). Norm: none. The paper needs no warm-up; the training settings here are
    the same for every scheme.
    """

    initial: float

    own_norm: ClassVar[str] = "none"
    norms: ClassVar[tuple[str, ...]] = ("none",)

    def __post_init__(self) -> None:
        check_magnitude(self, "initial")

    def block_parameters(self, block: int, architecture: Architecture) -> list[ParameterSpec]:
        """Scalar α."""
        return [constant("alpha", 1, value=self.initial)]

    def branch_weight(self, context: SublayerContext) -> Tensor:
        """Scalar α."""
        return context.block_parameter("alpha")
