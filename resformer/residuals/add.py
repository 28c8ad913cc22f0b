"""The residual connection of the original transformer."""

from dataclasses import dataclass
from typing import ClassVar, final

from torch import Tensor

from resformer.choices import NORMS
from resformer.residuals.base import Place, Residual


@final
@dataclass(frozen=True)
class Add(Residual):
    """x' = x + F(x).

    With `post` the block of Vaswani et al. 2017 (arXiv 1706.03762, section 3.1), with `pre` that of Xiong et al. 2020
    (arXiv 2002.04745, table 1). Learned: nothing. Norm: any; its own is `post`.
    """

    own_norm: ClassVar[str] = "post"
    norms: ClassVar[tuple[str, ...]] = NORMS

    def write(self, carried: Tensor, f_PRD: Tensor, place: Place) -> Tensor:
        """The sum."""
        return carried + f_PRD
