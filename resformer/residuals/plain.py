"""No residual connection."""

from dataclasses import dataclass
from typing import ClassVar, final

from resformer.keys import NORMS
from resformer.residuals.base import SublayerContext, WeightedSum


@final
@dataclass(frozen=True)
class Plain(WeightedSum):
    """x' = F(x): the plain network, whose training error rises with depth (He et al. 2015, arXiv
    1512.03385, fig. 1).

    Learned: nothing. Norm: any; its own is `post`.
    """

    own_norm: ClassVar[str] = "post"
    norms: ClassVar[tuple[str, ...]] = NORMS

    def skip_weight(self, context: SublayerContext) -> float:
        """No skip."""
        return 0.0
