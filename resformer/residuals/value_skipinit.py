"""Value-SkipInit: no skip around attention, which starts as the identity."""

from dataclasses import dataclass
from typing import final

from torch import Tensor

from resformer.numerics.parameters import ParameterSpec, ones, zeros
from resformer.residuals.base import (
    Architecture,
    ParameterGroup,
    SkiplessAttention,
    SublayerContext,
)


@final
@dataclass(frozen=True)
class ValueSkipInit(SkiplessAttention):
    """Attention without skip, x' = Attn(N(x)), whose pattern is αI + βA; the FFN keeps one, x' =
    x + FFN(N(x)).

    He et al. 2023, arXiv 2302.10322, as He & Hofmann 2024 (arXiv 2311.01906, eq. 4) give it.
    Learned: α and β per head. Initial values: α = 1, β = 0; value and output matrices start at the
    identity, where the paper draws random orthogonal ones, and the FFN keeps its skip, which the
    paper replaces by a shaped activation. Norm: pre.
    """

    def block_parameters(self, block: int, architecture: Architecture) -> list[ParameterSpec]:
        """Scalars α and β per head."""
        return [ones("alpha", architecture.heads), zeros("beta", architecture.heads)]

    def starts_as_identity(self, group: ParameterGroup, block: int) -> bool:
        """Return True for value and output."""
        return group in ("value", "output")

    def write(self, x_PRD: Tensor, f_PRD: Tensor, context: SublayerContext) -> Tensor:
        """Replace the stream by attention, or add the FFN to it."""
        return f_PRD if context.is_attention else x_PRD + f_PRD
