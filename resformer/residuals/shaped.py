"""Shaped attention: no skip around attention, which starts as the identity instead."""

from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from resformer.numerics.parameters import ParameterSpec, ones
from resformer.residuals.base import (
    Architecture,
    ParameterGroup,
    SkiplessAttention,
    SublayerContext,
    by_head,
    mixed_with_identity,
)


@final
@dataclass(frozen=True, kw_only=True)
class Shaped(SkiplessAttention):
    """Attention without skip, x' = Attn(N(x)), whose pattern is αI + βA - γC; the FFN keeps one, x'
    = x + b·FFN(N(x)).

    A is the softmax pattern, C that of zero logits: uniform, over t tokens in the t-th row of a
    causal model (Noci et al. 2023, arXiv 2306.17759; He & Hofmann 2024, arXiv 2311.01906, eq. 6 and
    the authors' code). Learned: α, β, γ per head, b per block, and all matrices (the authors found
    it better to leave value and output at the identity, but for the value matrix of block 1, and
    learn gains of attention and of the FFN's skip, which are missing here). Initial values: α = β =
    γ = 1, query matrices 0, so that A = C; value and output matrices the identity, that of block 1
    as well; b = `ffn_gain_at_18_blocks`·√(18 / L), 0.1 at L = 18 in the code and O(L^(-1/2)) in the
    paper. Norm: pre.
    """

    shapes_attention: ClassVar[bool] = True

    def block_parameters(self, block: int, architecture: Architecture) -> list[ParameterSpec]:
        """Scalars α, β and γ per head, and b."""
        return [
            *(ones(scalar, architecture.heads) for scalar in ("alpha", "beta", "gamma")),
            *super().block_parameters(block, architecture),
        ]

    def gain(self, group: ParameterGroup, architecture: Architecture) -> float:
        """Gain 0 for queries, else 1."""
        return 0.0 if group == "query" else 1.0

    def attention_pattern(self, a_PBHTT: Tensor, context: SublayerContext) -> Tensor:
        """Pattern αI + βA - γC."""
        uniform_TT = _uniform(a_PBHTT, context.architecture.causal)
        return mixed_with_identity(a_PBHTT, context) - by_head(context, "gamma") * uniform_TT


def _uniform(a_PBHTT: Tensor, causal: bool) -> Tensor:
    """Attention pattern of zero logits, (T, T): uniform over the tokens that are not masked."""
    visible_TT = torch.ones_like(a_PBHTT[0, 0, 0])
    visible_TT = visible_TT.tril() if causal else visible_TT
    return visible_TT / visible_TT.sum(-1, keepdim=True)
