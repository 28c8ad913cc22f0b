"""Gradient-preserving activation scaling: the stream shrinks, its gradients do not."""

from dataclasses import dataclass
from typing import ClassVar, final

from torch import Tensor

from resformer.numerics.elementwise import sigmoid
from resformer.numerics.parameters import ParameterSpec, constant
from resformer.residuals.base import Architecture, OneStream, SublayerContext, check_magnitude


@final
@dataclass(frozen=True, kw_only=True)
class Gpas(OneStream):
    """x' = y - SiLU(a)·stopgrad(y), y = x + F(x), one learned scalar a per block, shared by its two
    sub-layers.

    Chen et al. 2025, arXiv 2506.22049, and the authors' code. Forward, y is scaled by 1 - SiLU(a);
    backward, gradients pass to y as they are, whatever a is. Initial value: a = `initial`, 0 there,
    so that training starts as `add`. The code clips the joint gradient norm of all gates at 0.01 in
    its runs of 7 billion parameters and one of 1 billion; here gates are clipped with everything
    else. Norm: pre or sandwich. The authors' form for post-norm (DeepNorm, Mix-LN), which scales
    the skip before the sum, is left out. Formulas are from the code; of the paper only the abstract
    could be read.
    """

    initial: float

    own_norm: ClassVar[str] = "pre"
    norms: ClassVar[tuple[str, ...]] = ("pre", "sandwich")

    def __post_init__(self) -> None:
        check_magnitude(self, "initial")

    def block_parameters(self, block: int, architecture: Architecture) -> list[ParameterSpec]:
        """Scalar a."""
        return [constant("gate", 1, value=self.initial)]

    def write(self, x_PRD: Tensor, f_PRD: Tensor, context: SublayerContext) -> Tensor:
        """Add the branch to the stream, and scale the sum without its gradient."""
        y_PRD, a_P11 = x_PRD + f_PRD, context.block_parameter("gate").unsqueeze(1)
        return y_PRD - a_P11 * sigmoid(a_P11) * y_PRD.detach()
