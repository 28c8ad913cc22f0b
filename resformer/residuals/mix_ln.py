"""Mix-LN: post-norm in the first blocks, pre-norm in the others."""

import math
from dataclasses import dataclass
from typing import ClassVar, final

from resformer.errors import require_between
from resformer.residuals.base import Architecture, IdentitySkip

_ROUNDING = 1e-9
"""Added before rounding down: as floats, 0.57 · 100 is slightly under 57."""


@final
@dataclass(frozen=True, kw_only=True)
class MixLn(IdentitySkip):
    """x' = N(x + F(x)) in the first ⌊`post_share`·L⌋ blocks, x' = x + F(N(x)) in the others.

    Li et al. 2025, arXiv 2412.13795, eq. 6, with a share of 0.25, so that models of up to 3 blocks
    are all pre-norm. Learned: nothing. Norm: its own.
    """

    post_share: float

    own_norm: ClassVar[str] = "own"
    norms: ClassVar[tuple[str, ...]] = ("own",)

    def __post_init__(self) -> None:
        require_between("model.residual.post_share", self.post_share, low=0, high=1)

    def placement(self, norm: str, sublayer: int, architecture: Architecture) -> str:
        """Placement `post` in the first blocks, `pre` in the others."""
        post_blocks = math.floor(self.post_share * architecture.depth + _ROUNDING)
        return "post" if sublayer <= 2 * post_blocks else "pre"
