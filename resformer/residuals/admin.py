"""Admin: post-norm with a learned weight on every skip that starts as large as the branches before
it.
"""

import math
from dataclasses import dataclass
from typing import ClassVar, final

from torch import Tensor

from resformer.numerics.parameters import ParameterSpec
from resformer.residuals.base import OneStream, Place, Stack


@final
@dataclass(frozen=True)
class Admin(OneStream):
    """x' = N(ω⊙x + F(x)), a learned ω of `width` entries per sub-layer (Liu et al. 2020, arXiv
    2004.08249, eq. 4).

    Initial value: the closed form of the authors' package, ω² = (S + 1) / ln(S + 1) - 1 in every
    sub-layer, S = 2L sub-layers. The paper measures ω on a batch instead (ω_1 = 1, ω_{i+1}² =
    Var[ω_i x_i] + Var F_i); here initial values do not depend on data. Norm: post.
    """

    own_norm: ClassVar[str] = "post"
    norms: ClassVar[tuple[str, ...]] = ("post",)

    def weights(self, stack: Stack) -> list[ParameterSpec]:
        """ω of every sub-layer."""
        places = stack.sublayers + 1
        omega = math.sqrt(places / math.log(places) - 1)
        return [
            ParameterSpec(_omega(i), (stack.width,), "constant", omega) for i in range(1, places)
        ]

    def write(self, carried: Tensor, f_PRD: Tensor, place: Place) -> Tensor:
        """The sum with the skip scaled channel by channel."""
        return carried * place.broadcast(_omega(place.sublayer)) + f_PRD


def _omega(sublayer: int) -> str:
    return f"sublayer{sublayer}.admin.omega"
