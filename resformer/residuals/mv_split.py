"""MV-Split: the mean of a branch over tokens joins the stream apart from its deviations."""

from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from resformer.numerics.parameters import ParameterSpec, constant
from resformer.residuals.base import Architecture, OneStream, SublayerContext, check_magnitude


@final
@dataclass(frozen=True, kw_only=True)
class MvSplit(OneStream):
    """x' = x + β⊙(f - mean f) + α⊙(mean f - mean x), f = F(x), means over the tokens of a sequence.

    Lu 2026, arXiv 2605.06169, eq. 7 and 8, where x' passes a norm, as with `post`. Learned: α and
    β, `width` entries each per sub-layer. Initial values: α = `mean` = 0, as there; β =
    `deviation_at_one_block`·L^(-½), which with 1 is the 0.03 of the paper's 1,000 blocks (table 3;
    its 400 blocks start at β = 1, their output matrices at 0). The paper's model is bidirectional.
    In a causal one the means here are over the tokens up to a token's own: the first token has no
    deviation and moves by α alone. Norm: post; `pre` is not in the paper.
    """

    mean: float
    deviation_at_one_block: float

    own_norm: ClassVar[str] = "post"
    norms: ClassVar[tuple[str, ...]] = ("post", "pre")
    mixes_tokens: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for setting in ("mean", "deviation_at_one_block"):
            check_magnitude(self, setting)

    def sublayer_parameters(self, sublayer: int, architecture: Architecture) -> list[ParameterSpec]:
        """Gains α and β."""
        deviation = self.deviation_at_one_block * architecture.depth**-0.5
        return [
            constant("mean", architecture.width, value=self.mean),
            constant("deviation", architecture.width, value=deviation),
        ]

    def write(self, x_PRD: Tensor, f_PRD: Tensor, context: SublayerContext) -> Tensor:
        """Add the branch's deviations to the stream, and replace a part of its mean."""
        mean_f_PRD = _token_mean(f_PRD, context.architecture)
        mean_x_PRD = _token_mean(x_PRD, context.architecture)
        alpha_P1D = context.sublayer_parameter("mean").unsqueeze(1)
        beta_P1D = context.sublayer_parameter("deviation").unsqueeze(1)
        return x_PRD + beta_P1D * (f_PRD - mean_f_PRD) + alpha_P1D * (mean_f_PRD - mean_x_PRD)


def _token_mean(x_PRD: Tensor, architecture: Architecture) -> Tensor:
    """Mean over the tokens of each row's sequence, in a causal model over those up to its own."""
    # In bfloat16 sums over many tokens would round.
    x_PRD = x_PRD.to(torch.promote_types(x_PRD.dtype, torch.float32))
    x_PBTD = x_PRD.view(len(x_PRD), -1, architecture.tokens, architecture.width)
    if not architecture.causal:
        return x_PBTD.mean(2, keepdim=True).expand_as(x_PBTD).flatten(1, 2)
    tokens_T = torch.arange(1, architecture.tokens + 1, dtype=x_PRD.dtype, device=x_PRD.device)
    return (x_PBTD.cumsum(2) / tokens_T.unsqueeze(-1)).flatten(1, 2)
