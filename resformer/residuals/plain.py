"""No residual connection."""

from dataclasses import dataclass
from typing import ClassVar, final

from torch import Tensor

from resformer.keys import NORMS
from resformer.residuals.base import OneStream, SublayerContext


@final
@dataclass(frozen=True)
class Plain(OneStream):
    """x' = F(x): the plain network, whose training error rises with depth (He et al. 2015, arXiv
    1512.03385, fig. 1).

    Learned: nothing. Norm: any; its own is `post`.
    """

    own_norm: ClassVar[str] = "post"
    norms: ClassVar[tuple[str, ...]] = NORMS

    def write(self, x_PRD: Tensor, f_PRD: Tensor, context: SublayerContext) -> Tensor:
        """Replace the stream by the branch."""
        return f_PRD
