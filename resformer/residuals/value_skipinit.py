"""Value-SkipInit: no skip around attention, which starts as the identity and lets its weights in
later.
"""

from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from resformer.numerics.parameters import ParameterSpec, ones, zeros
from resformer.residuals.base import Group, OneStream, Place, Stack


@final
@dataclass(frozen=True)
class ValueSkipInit(OneStream):
    """Attention without skip, x' = Attn(N(x)), that mixes with αI + βA; the FFN keeps one, x' = x +
    FFN(N(x)).

    He et al. 2023, arXiv 2302.10322, as He & Hofmann 2024 (arXiv 2311.01906, eq. 4) give it.
    Learned: α and β per head. Initial values: α = 1, β = 0; value and output matrices start at the
    identity, where the paper draws random orthogonal ones, and the FFN keeps its skip, which the
    paper replaces by a shaped activation. Norm: pre.
    """

    own_norm: ClassVar[str] = "pre"
    norms: ClassVar[tuple[str, ...]] = ("pre",)
    shapes_attention: ClassVar[bool] = True

    def weights(self, stack: Stack) -> list[ParameterSpec]:
        """α and β of every block."""
        return [
            weight
            for block in range(1, stack.depth + 1)
            for weight in (
                ones(f"{_block(block)}.alpha", stack.heads),
                zeros(f"{_block(block)}.beta", stack.heads),
            )
        ]

    def identity(self, group: Group, block: int) -> bool:
        """Value and output."""
        return group in ("value", "output")

    def mix(self, a_PBHTT: Tensor, place: Place) -> Tensor:
        """αI + βA."""
        alpha, beta = (
            place.weights[f"{_block(place.block)}.{part}"][:, None, :, None, None]
            for part in ("alpha", "beta")
        )
        identity_TT = torch.eye(a_PBHTT.shape[-1], dtype=a_PBHTT.dtype, device=a_PBHTT.device)
        return alpha * identity_TT + beta * a_PBHTT

    def write(self, carried: Tensor, f_PRD: Tensor, place: Place) -> Tensor:
        """Attention alone, or the sum with the FFN."""
        return f_PRD if place.attends else carried + f_PRD


def _block(block: int) -> str:
    return f"block{block}.value_skipinit"
