"""SkipInit: every branch starts switched off, by a scalar of its own."""

from dataclasses import dataclass
from typing import ClassVar, final

from torch import Tensor

from resformer.errors import require
from resformer.numerics.parameters import ParameterSpec
from resformer.residuals.base import OneStream, Place, Stack


@final
@dataclass(frozen=True)
class SkipInit(OneStream):
    """x' = x + α·F(x), one learned scalar α per sub-layer.

    Initial value: α = `initial`, 0 in the paper (De & Smith 2020, arXiv 2002.10444, section 3;
    taken from secondary sources), which is about residual networks without batch norm; with `pre`
    it is our extension. ReZero has one α per block. Norm: none or pre.
    """

    initial: float

    own_norm: ClassVar[str] = "none"
    norms: ClassVar[tuple[str, ...]] = ("none", "pre")

    def __post_init__(self) -> None:
        require(
            abs(self.initial) <= 10,
            "model.residual.initial",
            self.initial,
            "must be a number from -10 to 10",
        )

    def weights(self, stack: Stack) -> list[ParameterSpec]:
        """α of every sub-layer."""
        return [
            ParameterSpec(_alpha(i), (1,), "constant", self.initial)
            for i in range(1, stack.sublayers + 1)
        ]

    def write(self, carried: Tensor, f_PRD: Tensor, place: Place) -> Tensor:
        """The sum with the branch scaled."""
        return carried + place.broadcast(_alpha(place.sublayer)) * f_PRD


def _alpha(sublayer: int) -> str:
    return f"sublayer{sublayer}.skipinit.alpha"
