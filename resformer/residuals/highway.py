"""Highway: a learned gate per channel mixes the stream with the sub-layer's output."""

from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from resformer.keys import NORMS
from resformer.numerics.elementwise import sigmoid
from resformer.numerics.parameters import ParameterSpec, constant, xavier
from resformer.residuals.base import (
    Architecture,
    OneStream,
    SublayerContext,
    check_magnitude,
)


@final
@dataclass(frozen=True, kw_only=True)
class Highway(OneStream):
    """x' = T⊙F(x) + (1 - T)⊙x, T = σ(x·W + b), with a learned W and b per sub-layer.

    Srivastava et al. 2015, arXiv 1505.00387, eq. 3; there for whole layers, here for the two
    sub-layers of a block. Initial values: W Xavier-uniform, b = `gate_bias`, negative (-1 to -4 in
    section 2.2), so that T is small and most of x is carried at first. Norm: any; its own is
    `post`.
    """

    gate_bias: float

    own_norm: ClassVar[str] = "post"
    norms: ClassVar[tuple[str, ...]] = NORMS

    def __post_init__(self) -> None:
        check_magnitude(self, "gate_bias", 20)

    def sublayer_parameters(self, sublayer: int, architecture: Architecture) -> list[ParameterSpec]:
        """Matrix W and bias b of the gate."""
        width = architecture.width
        return [xavier("matrix", width, width), constant("bias", width, value=self.gate_bias)]

    def flops_per_row(self, architecture: Architecture) -> int:
        """Count the products x·W."""
        return architecture.sublayers * 2 * architecture.width**2

    def write(self, x_PRD: Tensor, f_PRD: Tensor, context: SublayerContext) -> Tensor:
        """Mix stream and branch by the gate T."""
        b_P1D = context.sublayer_parameter("bias").unsqueeze(1)
        gate_PRD = sigmoid(torch.baddbmm(b_P1D, x_PRD, context.sublayer_parameter("matrix")))
        return x_PRD + gate_PRD * (f_PRD - x_PRD)
