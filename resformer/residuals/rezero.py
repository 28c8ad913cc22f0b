"""ReZero: every block starts as the identity."""

from dataclasses import dataclass
from typing import ClassVar, final

from torch import Tensor

from resformer.errors import require
from resformer.numerics.parameters import ParameterSpec
from resformer.residuals.base import OneStream, Place, Stack


@final
@dataclass(frozen=True)
class ReZero(OneStream):
    """x' = x + α·F(x), one learned scalar α per block, shared by its two sub-layers.

    Initial value: α = `initial`, 0 in the paper (Bachlechner et al. 2021, arXiv 2003.04887, eq. 3
    and the authors' code). Norm: none. The paper needs no warm-up; the training settings here are
    the same for every scheme.
    """

    initial: float

    own_norm: ClassVar[str] = "none"
    norms: ClassVar[tuple[str, ...]] = ("none",)

    def __post_init__(self) -> None:
        require(
            abs(self.initial) <= 10,
            "model.residual.initial",
            self.initial,
            "must be a number from -10 to 10",
        )

    def weights(self, stack: Stack) -> list[ParameterSpec]:
        """α of every block."""
        return [
            ParameterSpec(_alpha(block), (1,), "constant", self.initial)
            for block in range(1, stack.depth + 1)
        ]

    def write(self, carried: Tensor, f_PRD: Tensor, place: Place) -> Tensor:
        """The sum with the branch scaled."""
        return carried + place.broadcast(_alpha(place.block)) * f_PRD


def _alpha(block: int) -> str:
    return f"block{block}.rezero.alpha"
