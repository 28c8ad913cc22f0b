"""The residual connection of the original transformer."""

from dataclasses import dataclass
from typing import ClassVar, final

from torch import Tensor

from resformer.keys import NORMS
from resformer.residuals.base import OneStream, SublayerContext


@final
@dataclass(frozen=True)
class Add(OneStream):
    """x' = x + F(x).

    With `post` the block of Vaswani et al. 2017 (arXiv 1706.03762, section 3.1), with `pre` that of
    Xiong et al. 2020 (arXiv 2002.04745, table 1), with `sandwich` that of Ding et al. 2021 (arXiv
    2105.13290, fig. 3). Learned: nothing. Norm: any; its own is `post`.
    """

    own_norm: ClassVar[str] = "post"
    norms: ClassVar[tuple[str, ...]] = NORMS
    skips: ClassVar[bool] = True

    def write(self, x_PRD: Tensor, f_PRD: Tensor, context: SublayerContext) -> Tensor:
        """Add the branch to the stream."""
        return x_PRD + f_PRD
