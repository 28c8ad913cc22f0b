"""Highway: a learned gate says, channel by channel, how much is carried and how much is new."""

from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from resformer.errors import require
from resformer.keys import NORMS
from resformer.numerics.parameters import ParameterSpec, xavier
from resformer.residuals.base import OneStream, Place, Stack, sigmoid


@final
@dataclass(frozen=True)
class Highway(OneStream):
    """x' = T⊙F(x) + (1 - T)⊙x, T = σ(x·W + b), W and b of every sub-layer its own, learned.

    Srivastava et al. 2015, arXiv 1505.00387, eq. 3; there for whole layers, here for the two
    sub-layers of a block. Initial values: W Xavier-uniform, b = `gate_bias`, negative (-1 to -4 in
    section 2.2), so that much is carried at first. Norm: any; its own is `post`.
    """

    gate_bias: float

    own_norm: ClassVar[str] = "post"
    norms: ClassVar[tuple[str, ...]] = NORMS

    def __post_init__(self) -> None:
        require(
            abs(self.gate_bias) <= 20,
            "model.residual.gate_bias",
            self.gate_bias,
            "must be a number from -20 to 20",
        )

    def weights(self, stack: Stack) -> list[ParameterSpec]:
        """The gate of every sub-layer."""
        gates = [f"sublayer{i}.highway" for i in range(1, stack.sublayers + 1)]
        return [
            weight
            for gate in gates
            for weight in (
                xavier(f"{gate}.matrix", stack.width, stack.width),
                ParameterSpec(f"{gate}.bias", (stack.width,), "constant", self.gate_bias),
            )
        ]

    def flops_per_row(self, stack: Stack) -> int:
        """Of the gates."""
        return stack.sublayers * 2 * stack.width**2

    def write(self, carried: Tensor, f_PRD: Tensor, place: Place) -> Tensor:
        """What the gate lets through of either."""
        gate = f"sublayer{place.sublayer}.highway"
        open_PRD = sigmoid(
            torch.baddbmm(place.broadcast(f"{gate}.bias"), carried, place.weights[f"{gate}.matrix"])
        )
        return carried + open_PRD * (f_PRD - carried)
