"""LayerNorm scaling: what a norm lets through shrinks with the number of the block."""

from dataclasses import dataclass
from typing import ClassVar, final

from torch import Tensor

from resformer.residuals.base import OneStream, Place


@final
@dataclass(frozen=True)
class Lns(OneStream):
    """x' = x + F(N(x) / √l), l the number of the block, from 1, the same in its two sub-layers.

    Sun et al. 2025, "The curse of depth in large language models", arXiv 2502.05795, eq. 8, and the
    authors' code. Learned: nothing. Norm: pre.
    """

    own_norm: ClassVar[str] = "pre"
    norms: ClassVar[tuple[str, ...]] = ("pre",)
    skips: ClassVar[bool] = True

    def enter(self, h_PRD: Tensor, place: Place) -> Tensor:
        """What the norm lets through, scaled."""
        scale: float = place.block**-0.5
        return h_PRD * scale

    def write(self, carried: Tensor, f_PRD: Tensor, place: Place) -> Tensor:
        """The sum."""
        return carried + f_PRD
