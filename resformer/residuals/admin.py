"""Admin: post-norm with a learned gain on every skip, which starts larger in deeper models."""

import math
from dataclasses import dataclass
from typing import ClassVar, final

from torch import Tensor

from resformer.numerics.parameters import ParameterSpec, constant
from resformer.residuals.base import Architecture, SublayerContext, WeightedSum


@final
@dataclass(frozen=True)
class Admin(WeightedSum):
    """x' = N(ω⊙x + F(x)), a learned ω of `width` entries per sub-layer (Liu et al. 2020, arXiv
    2004.08249, eq. 4).

    Initial value: the closed form of the authors' package, ω² = (S + 1) / ln(S + 1) - 1 in every
    sub-layer, S = 2L sub-layers. The paper measures ω on a batch instead (ω_1 = 1, ω_{i+1}² =
    Var[ω_i x_i] + Var F_i); here initial values do not depend on data. Norm: post.
    """

    own_norm: ClassVar[str] = "post"
    norms: ClassVar[tuple[str, ...]] = ("post",)

    def sublayer_parameters(self, sublayer: int, architecture: Architecture) -> list[ParameterSpec]:
        """Gains ω."""
        terms = architecture.sublayers + 1
        omega = math.sqrt(terms / math.log(terms) - 1)
        return [constant("omega", architecture.width, value=omega)]

    def skip_weight(self, context: SublayerContext) -> Tensor:
        """Gains ω."""
        return context.sublayer_parameter("omega")
