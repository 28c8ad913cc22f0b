"""LayerScale: every channel of every branch has its own small gain."""

from dataclasses import dataclass
from typing import ClassVar, final

from torch import Tensor

from resformer.errors import require
from resformer.numerics.parameters import ParameterSpec
from resformer.residuals.base import OneStream, Place, Stack


@final
@dataclass(frozen=True)
class LayerScale(OneStream):
    """x' = x + λ⊙F(x), a learned λ of `width` entries per sub-layer.

    Initial value, by the number of blocks (Touvron et al. 2021, arXiv 2103.17239, section 2, and
    the authors' code, which leaves 19 to 23 open): `initial_to_18_blocks` = 0.1,
    `initial_to_24_blocks` = 1e-5, `initial_beyond` = 1e-6. Norm: pre.
    """

    initial_to_18_blocks: float
    initial_to_24_blocks: float
    initial_beyond: float

    own_norm: ClassVar[str] = "pre"
    norms: ClassVar[tuple[str, ...]] = ("pre",)

    def __post_init__(self) -> None:
        for setting in ("initial_to_18_blocks", "initial_to_24_blocks", "initial_beyond"):
            value = getattr(self, setting)
            require(
                abs(value) <= 10,
                f"model.residual.{setting}",
                value,
                "must be a number from -10 to 10",
            )

    def initial(self, depth: int) -> float:
        """The starting value of λ in a stack of `depth` blocks."""
        if depth <= 18:
            return self.initial_to_18_blocks
        return self.initial_to_24_blocks if depth <= 24 else self.initial_beyond

    def weights(self, stack: Stack) -> list[ParameterSpec]:
        """λ of every sub-layer."""
        return [
            ParameterSpec(_lambda(i), (stack.width,), "constant", self.initial(stack.depth))
            for i in range(1, stack.sublayers + 1)
        ]

    def write(self, carried: Tensor, f_PRD: Tensor, place: Place) -> Tensor:
        """The sum with the branch scaled channel by channel."""
        return carried + place.broadcast(_lambda(place.sublayer)) * f_PRD


def _lambda(sublayer: int) -> str:
    return f"sublayer{sublayer}.layerscale.lambda"
