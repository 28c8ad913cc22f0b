"""Shaped attention: no skip around attention, which starts as the identity instead."""

from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from resformer.errors import require
from resformer.numerics.parameters import ParameterSpec, ones
from resformer.residuals.base import Group, OneStream, Place, Stack


@final
@dataclass(frozen=True)
class Shaped(OneStream):
    """Attention without skip, x' = Attn(N(x)), that mixes with αI + βA - γC; the FFN keeps one, x'
    = x + b·FFN(N(x)).

    A are the usual weights, C those of zero logits: uniform, over t tokens in the t-th row of a
    causal model (Noci et al. 2023, arXiv 2306.17759; He & Hofmann 2024, arXiv 2311.01906, eq. 6 and
    the authors' code). Learned: α, β, γ per head, b per block, and all matrices (the authors found
    it better to leave value and output at the identity). Initial values: α = β = γ = 1, query
    matrices 0, so that A = C; value and output matrices the identity, but for the value matrix of
    block 1; b = `ffn_gain_at_18_blocks`·√(18 / L), 0.1 at L = 18 in the code and O(L^(-1/2)) in the
    paper. Norm: pre.
    """

    ffn_gain_at_18_blocks: float

    own_norm: ClassVar[str] = "pre"
    norms: ClassVar[tuple[str, ...]] = ("pre",)
    shapes_attention: ClassVar[bool] = True

    def __post_init__(self) -> None:
        gain = self.ffn_gain_at_18_blocks
        require(
            abs(gain) <= 10,
            "model.residual.ffn_gain_at_18_blocks",
            gain,
            "must be a number from -10 to 10",
        )

    def weights(self, stack: Stack) -> list[ParameterSpec]:
        """α, β, γ and b of every block."""
        gain = self.ffn_gain_at_18_blocks * (18 / stack.depth) ** 0.5
        return [
            weight
            for block in range(1, stack.depth + 1)
            for weight in (
                *(
                    ones(f"{_shaped(block)}.{part}", stack.heads)
                    for part in ("alpha", "beta", "gamma")
                ),
                ParameterSpec(f"{_shaped(block)}.ffn_gain", (1,), "constant", gain),
            )
        ]

    def gain(self, group: Group, stack: Stack) -> float:
        """0 for queries."""
        return 0.0 if group == "query" else 1.0

    def identity(self, group: Group, block: int) -> bool:
        """Output, and value from block 2 on."""
        return group == "output" or (group == "value" and block > 1)

    def mix(self, a_PBHTT: Tensor, place: Place) -> Tensor:
        """αI + βA - γC."""
        alpha, beta, gamma = (
            place.weights[f"{_shaped(place.block)}.{part}"][:, None, :, None, None]
            for part in ("alpha", "beta", "gamma")
        )
        identity_TT = torch.eye(a_PBHTT.shape[-1], dtype=a_PBHTT.dtype, device=a_PBHTT.device)
        return alpha * identity_TT + beta * a_PBHTT - gamma * _uniform(a_PBHTT, place.stack.causal)

    def write(self, carried: Tensor, f_PRD: Tensor, place: Place) -> Tensor:
        """Attention alone, or the sum with the FFN scaled."""
        return (
            f_PRD
            if place.attends
            else carried + place.broadcast(f"{_shaped(place.block)}.ffn_gain") * f_PRD
        )


def _uniform(a_PBHTT: Tensor, causal: bool) -> Tensor:
    """The weights of zero logits (T, T): even over what a token may see."""
    seen_TT = torch.ones_like(a_PBHTT[0, 0, 0])
    seen_TT = seen_TT.tril() if causal else seen_TT
    return seen_TT / seen_TT.sum(-1, keepdim=True)


def _shaped(block: int) -> str:
    return f"block{block}.shaped"
