"""The residual connection of the original transformer."""

from dataclasses import dataclass
from typing import ClassVar, final

from resformer.keys import NORMS
from resformer.residuals.base import IdentitySkip


@final
@dataclass(frozen=True)
class Add(IdentitySkip):
    """x' = x + F(x).

    With `post` the block of Vaswani et al. 2017 (arXiv 1706.03762, section 3.1), with `pre` that of
    Xiong et al. 2020 (arXiv 2002.04745, table 1), with `sandwich` that of Ding et al. 2021 (arXiv
    2105.13290, fig. 3). Learned: nothing. Norm: any; its own is `post`.
    """

    own_norm: ClassVar[str] = "post"
    norms: ClassVar[tuple[str, ...]] = NORMS
    goes_with_parametrisations: ClassVar[bool] = True
