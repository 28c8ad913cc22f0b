"""No residual connection."""

from dataclasses import dataclass
from typing import ClassVar, final

from torch import Tensor

from resformer.keys import NORMS
from resformer.residuals.base import OneStream, Place


@final
@dataclass(frozen=True)
class Plain(OneStream):
    """x' = F(x). The stack whose training error rises with depth (He et al. 2015, arXiv 1512.03385,
    fig. 1).

    Learned: nothing. Norm: any; its own is `post`.
    """

    own_norm: ClassVar[str] = "post"
    norms: ClassVar[tuple[str, ...]] = NORMS

    def write(self, carried: Tensor, f_PRD: Tensor, place: Place) -> Tensor:
        """The sub-layer's output alone."""
        return f_PRD
