"""Value residual: every attention also mixes the values of the first one (ResFormer)."""

from dataclasses import dataclass
from typing import ClassVar, final

from torch import Tensor

from resformer.keys import NORMS
from resformer.residuals.base import (
    ManyStreams,
    Projections,
    Streams,
    SublayerContext,
    check_magnitude,
    total,
)


@final
@dataclass(frozen=True, kw_only=True)
class ValueResidual(ManyStreams):
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
            check_magnitude(self, setting)

    def attention_projections(
        self, streams: Streams, projections: Projections, context: SublayerContext
    ) -> tuple[Streams, Projections]:
        """Keep V_1 beside the stream, and mix it into the values of the other blocks."""
        own_PRD = projections.value
        if context.block == 1:
            return (streams[0], own_PRD), projections
        first = [self.first * first_PRD for first_PRD in streams[1:]]
        mixed_PRD = total([*first, self.own * own_PRD])
        return streams, projections._replace(value=mixed_PRD)

    def write(self, streams: Streams, f_PRD: Tensor, context: SublayerContext) -> Streams:
        """Add the branch to the stream."""
        return streams[0] + f_PRD, *streams[1:]
