"""Value residual: every attention also mixes the values of the first one. The paper's name for it
is ResFormer.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, final

from torch import Tensor

from resformer.errors import require
from resformer.keys import NORMS
from resformer.residuals.base import Norm, Place, Residual, Streams


@final
@dataclass(frozen=True)
class ValueResidual(Residual[Streams]):
    """x' = x + F(x), where attention in block l > 1 mixes λ₁·V_1 + λ₂·V_l instead of its own values
    V_l.

    Zhou et al. 2025, "Value residual learning", arXiv 2410.17897, eq. 6 and the authors' code: λ₁ =
    `first` = ½, λ₂ = `own` = ½, not learned. Learned: nothing. Norm: any; its own is `pre`.
    """

    first: float
    own: float

    own_norm: ClassVar[str] = "pre"
    norms: ClassVar[tuple[str, ...]] = NORMS
    shapes_attention: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for setting in ("first", "own"):
            value = getattr(self, setting)
            require(
                abs(value) <= 10,
                f"model.residual.{setting}",
                value,
                "must be a number from -10 to 10",
            )

    def open(self, x_PRD: Tensor) -> Streams:
        """The stream; V_1 joins it in the first block."""
        return (x_PRD,)

    def read(self, carried: Streams, place: Place) -> Tensor:
        """The stream."""
        return carried[0]

    def values(self, carried: Streams, v_PRD: Tensor, place: Place) -> tuple[Streams, Tensor]:
        """V_1 is kept in the first block, and mixed in later."""
        if place.block == 1:
            return (carried[0], v_PRD), v_PRD
        return carried, self.first * carried[1] + self.own * v_PRD

    def write(self, carried: Streams, f_PRD: Tensor, place: Place) -> Streams:
        """The sum."""
        return carried[0] + f_PRD, *carried[1:]

    def outer(self, carried: Streams, norm: Norm, place: Place) -> Streams:
        """Of the stream."""
        return norm(carried[0]), *carried[1:]

    def end(self, carried: Streams, weights: Mapping[str, Tensor]) -> Tensor:
        """The stream."""
        return carried[0]

    def close(self, carried: Streams, last: Norm, weights: Mapping[str, Tensor]) -> Tensor:
        """The stream."""
        return last(carried[0])
