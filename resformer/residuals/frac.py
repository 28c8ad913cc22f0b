"""Frac-connections: hyper-connections between parts of one stream instead of several streams."""

from dataclasses import dataclass
from typing import ClassVar, final

import torch
import torch.nn.functional as nnf
from torch import Tensor

from resformer.errors import Incompatible, require_between
from resformer.numerics.parameters import ParameterSpec, constant, identity, ones, zeros
from resformer.residuals.base import (
    Architecture,
    OneStream,
    SublayerContext,
    check_magnitude,
    total,
)


@final
@dataclass(frozen=True, kw_only=True)
class Frac(OneStream):
    """m = `fractions` parts h of x, of equal width; F reads the parts Σ_i Y_ij·h_i end to end, and
    h_j' = Σ_i A_ij·h_i + b_j·f_j, f_j the parts of F's output.

    Zhu et al. 2025, arXiv 2503.14125, eq. 7 to 15 and algorithm 2. Every weight has a static part
    and one that depends on the token: Y_ij + s·tanh(N(h_i)·W_γ)_j, A_ij + s·tanh(N(h_i)·W_α)_j,
    b_j + t·tanh(N(h_j)·w_β), N a layer norm without gain, which W can absorb. Learned: all weights,
    s and t. Initial values: Y = A = I, b = 1, all W 0, s = t = `dynamic` = 0.01, which is pre-norm.
    With `dynamic` = 0 there is the static part only. Norm: pre.
    """

    fractions: int
    """m."""
    dynamic: float
    """Initial scale of the part of each weight that depends on the token; 0 for none."""

    own_norm: ClassVar[str] = "pre"
    norms: ClassVar[tuple[str, ...]] = ("pre",)

    def __post_init__(self) -> None:
        # With one part, products with W_γ would be those of a matrix and a vector, whose bits
        # depend on the number of members.
        require_between("model.residual.fractions", self.fractions, low=2, high=16)
        check_magnitude(self, "dynamic")

    def check(self, architecture: Architecture) -> None:
        """Raise Incompatible unless the width has so many equal parts."""
        if architecture.width % self.fractions:
            raise Incompatible(
                f"model.residual.fractions={self.fractions}: must divide "
                f"model.width={architecture.width}"
            )

    def sublayer_parameters(self, sublayer: int, architecture: Architecture) -> list[ParameterSpec]:
        """Static Y, A and b, the matrices of the dynamic parts side by side (Y, A, b), s and t."""
        m = self.fractions
        static = [identity("read", m, m), identity("mix", m, m), ones("write", m)]
        if not self.dynamic:
            return static
        return [
            *static,
            zeros("dynamic", architecture.width // m, 2 * m + 1),
            constant("scale_read_and_mix", 1, value=self.dynamic),
            constant("scale_write", 1, value=self.dynamic),
        ]

    def flops_per_row(self, architecture: Architecture) -> int:
        """Count the products of the dynamic parts."""
        columns = 2 * self.fractions + 1 if self.dynamic else 0
        return architecture.sublayers * 2 * architecture.width * columns

    def read(self, x_PRD: Tensor, context: SublayerContext) -> Tensor:
        """Parts of the stream, mixed by Y."""
        m = self.fractions
        h_PRmd = _parts(x_PRD, m)
        Y_PRmm = context.sublayer_parameter("read").unsqueeze(1)
        if self.dynamic:
            scale_P111 = _scale(context, "scale_read_and_mix")
            Y_PRmm = Y_PRmm + scale_P111 * _dynamic(h_PRmd, context, slice(0, m))
        return _mixed(Y_PRmm, h_PRmd).flatten(-2)

    def write(self, x_PRD: Tensor, f_PRD: Tensor, context: SublayerContext) -> Tensor:
        """Mix the parts of the stream by A, and add those of the branch by b."""
        m = self.fractions
        h_PRmd, f_PRmd = _parts(x_PRD, m), _parts(f_PRD, m)
        A_PRmm = context.sublayer_parameter("mix").unsqueeze(1)
        b_PRm1 = context.sublayer_parameter("write")[:, None, :, None]
        if self.dynamic:
            dynamic_PRmk = _dynamic(h_PRmd, context, slice(m, None))
            A_PRmm = A_PRmm + _scale(context, "scale_read_and_mix") * dynamic_PRmk[..., :m]
            b_PRm1 = b_PRm1 + _scale(context, "scale_write") * dynamic_PRmk[..., m:]
        return (_mixed(A_PRmm, h_PRmd) + b_PRm1 * f_PRmd).flatten(-2)


def _parts(x_PRD: Tensor, m: int) -> Tensor:
    parts_PRmd: Tensor = x_PRD.unflatten(-1, (m, -1))
    return parts_PRmd


def _mixed(weights_PRmm: Tensor, h_PRmd: Tensor) -> Tensor:
    """Part j of the result is the sum over i of part i, weighted by entry ij."""
    parts = range(h_PRmd.shape[2])
    return total(weights_PRmm[..., i, :, None] * h_PRmd[..., i : i + 1, :] for i in parts)


def _dynamic(h_PRmd: Tensor, context: SublayerContext, columns: slice) -> Tensor:
    """Dynamic parts of the weights of each part before their scales, (P, R, m, columns)."""
    unit_PRmd = nnf.layer_norm(h_PRmd, h_PRmd.shape[-1:])
    matrix_Pdk = context.sublayer_parameter("dynamic")[..., columns]
    products_PNk = torch.bmm(unit_PRmd.flatten(1, 2), matrix_Pdk)
    return products_PNk.tanh().view(*h_PRmd.shape[:3], -1)


def _scale(context: SublayerContext, name: str) -> Tensor:
    return context.sublayer_parameter(name)[..., None, None]
