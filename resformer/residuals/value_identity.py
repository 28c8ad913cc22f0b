"""Value-identity: no skip around attention, whose values and outputs start as the identity."""

from dataclasses import dataclass
from typing import ClassVar, final

from torch import Tensor

from resformer.residuals.base import OneStream, ParameterGroup, SublayerContext


@final
@dataclass(frozen=True)
class ValueIdentity(OneStream):
    """Attention without skip, x' = Attn(N(x)), its pattern as it is; the FFN keeps one, x' = x +
    FFN(N(x)).

    The control of `shaped` and `value_skipinit` (He et al. 2023, arXiv 2302.10322): their start
    without their patterns. Initial values: value and output matrices the identity. Learned:
    nothing. Norm: pre.
    """

    own_norm: ClassVar[str] = "pre"
    norms: ClassVar[tuple[str, ...]] = ("pre",)

    def starts_as_identity(self, group: ParameterGroup, block: int) -> bool:
        """Return True for value and output."""
        return group in ("value", "output")

    def write(self, x_PRD: Tensor, f_PRD: Tensor, context: SublayerContext) -> Tensor:
        """Replace the stream by attention, or add the FFN to it."""
        return f_PRD if context.is_attention else x_PRD + f_PRD
