"""Orthogonal updates: only what is orthogonal to the stream is added to it."""

from dataclasses import dataclass
from typing import ClassVar, final

from torch import Tensor

from resformer.residuals.base import OneStream, SublayerContext

_EPSILON = 1e-6


@final
@dataclass(frozen=True)
class Orthogonal(OneStream):
    """x' = x + f - (x·f / (|x|² + ε))·x, f = F(N(x)), per token.

    Oh et al. 2025, "Revisiting residual connections", arXiv 2505.11881, the feature-wise form of
    the authors' code, their default, with its ε = 1e-6. Their global form, which takes the products
    over all tokens of a sequence together, is left out. Learned: nothing. Norm: pre.
    """

    own_norm: ClassVar[str] = "pre"
    norms: ClassVar[tuple[str, ...]] = ("pre",)

    def write(self, x_PRD: Tensor, f_PRD: Tensor, context: SublayerContext) -> Tensor:
        """Add the part of the branch that is orthogonal to the stream."""
        product_PR1 = (x_PRD * f_PRD).sum(-1, keepdim=True)
        square_PR1 = x_PRD.square().sum(-1, keepdim=True) + _EPSILON
        return x_PRD + (f_PRD - product_PR1 / square_PR1 * x_PRD)
