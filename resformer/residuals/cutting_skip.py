"""Cutting the skip: no skips at all, and initial values that make up for them."""

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar, final

import torch
from torch import Tensor

from resformer.errors import require
from resformer.numerics import rng
from resformer.numerics.parameters import Draw, ParameterSpec
from resformer.residuals.base import (
    Architecture,
    ParameterGroup,
    SublayerContext,
    WeightedSum,
    check_magnitude,
)


@final
@dataclass(frozen=True, kw_only=True)
class CuttingSkip(WeightedSum):
    """x' = F(N(x)), as with `plain`, from other initial values.

    Ji et al. 2025, "Cutting the skip", arXiv 2510.00345, section 5: value and output matrices are
    orthogonal times c = `value_scale` = 3; query and key matrices of a head are U·√S and V·√S, of
    the K largest singular values, U·S·Vᵀ = α·Z + β·I, Z of normal draws with variance 1/D, α =
    `query_key_noise` = 2, β = `query_key_diagonal` = 0.6, so that tokens attend to themselves; both
    FFN matrices are orthogonal, times √(out / in) where that is above 1 (Martens et al. 2021). Of
    the paper only the abstract could be checked; the rest is from two accounts of it, of which one
    divides the heads as here. The paper trains with SOAP, and less well with AdamW. Learned:
    nothing more. Norm: pre.
    """

    value_scale: float
    """c."""
    query_key_noise: float
    """α."""
    query_key_diagonal: float
    """β."""

    own_norm: ClassVar[str] = "pre"
    norms: ClassVar[tuple[str, ...]] = ("pre",)

    def __post_init__(self) -> None:
        for setting in ("value_scale", "query_key_noise", "query_key_diagonal"):
            check_magnitude(self, setting)
        limits = "must be above 0, since equal singular values have no vectors of their own"
        require(
            self.query_key_noise > 0, "model.residual.query_key_noise", self.query_key_noise, limits
        )

    def initial_matrix(
        self, spec: ParameterSpec, group: ParameterGroup, block: int, architecture: Architecture
    ) -> ParameterSpec:
        """Orthogonal draws, and factors of one matrix per head for query and key."""
        draw: Draw
        match group:
            case "value" | "output":
                draw = partial(_orthogonal, scale=self.value_scale)
            case "query" | "key":
                draw = partial(
                    _factor,
                    of_query=group == "query",
                    block=block,
                    heads=architecture.heads,
                    noise=self.query_key_noise,
                    diagonal=self.query_key_diagonal,
                )
            case "ffn_in" | "ffn_out":
                draw = partial(
                    _orthogonal, scale=max(1.0, math.sqrt(spec.shape[1] / spec.shape[0]))
                )
            case _:
                return spec
        return replace(spec, draw=draw)

    def skip_weight(self, context: SublayerContext) -> float:
        """Weight 0: there is no skip."""
        return 0.0


def _normal(seed_P: Tensor, name: str, *shape: int) -> Tensor:
    return rng.normal(rng.key(seed_P, f"weight {name}"), math.prod(shape)).view(-1, *shape)


def _orthogonal(seed_P: Tensor, name: str, shape: tuple[int, ...], *, scale: float) -> Tensor:
    """Matrix with orthogonal columns or rows, whichever are fewer, of length `scale`; uniform over
    all of these (Mezzadri 2007, arXiv math-ph/0609050: QR of normal draws, signs as of R).
    """
    fan_in, fan_out = shape
    tall_Pio = _normal(seed_P, name, max(shape), min(shape))
    Q_Pio, R_Poo = torch.linalg.qr(tall_Pio)
    matrix_Pio: Tensor = scale * Q_Pio * R_Poo.diagonal(dim1=-2, dim2=-1).sign().unsqueeze(-2)
    return matrix_Pio if fan_in >= fan_out else matrix_Pio.mT


def _factor(
    seed_P: Tensor,
    name: str,
    shape: tuple[int, ...],
    *,
    of_query: bool,
    block: int,
    heads: int,
    noise: float,
    diagonal: float,
) -> Tensor:
    """Query or key matrix of all heads side by side: the factors of noise·Z + diagonal·I."""
    width = shape[0]
    Z_PHDD = _normal(seed_P, f"block{block}.query_key", heads, width, width) / math.sqrt(width)
    eye_DD = torch.eye(width, dtype=Z_PHDD.dtype)
    U_PHDD, S_PHD, Vt_PHDD = torch.linalg.svd(noise * Z_PHDD + diagonal * eye_DD)
    factor_PHDD = U_PHDD if of_query else Vt_PHDD.mT
    factor_PHDK: Tensor = (factor_PHDD * S_PHD.sqrt().unsqueeze(-2))[..., : width // heads]
    return factor_PHDK.transpose(1, 2).flatten(-2)
