"""Exponent of the gradient of one token's loss before training."""

from dataclasses import dataclass
from typing import final

from resformer.claims.exponent import Exponent
from resformer.claims.tokens import tokens_of
from resformer.model.shape import Shape
from resformer.numerics.parameters import unpack

_TOKENS = 32


@final
@dataclass(frozen=True, kw_only=True)
class TokenGradient(Exponent):
    """Exponent of the norm of the gradient of one token's loss by the last FFN's second matrix,
    mean over 32 tokens (Xiong et al. 2020, arXiv 2002.04745, theorem 1 is about the loss at one
    position).
    """

    @property
    def measured(self) -> str:
        """The measure, in words."""
        return "gradient of one token's loss by the last FFN's second matrix (norm)"

    def value(self, shape: Shape, seed: int) -> float:
        """Norm of the gradient, mean over tokens."""
        tokens = tokens_of(shape, seed, _TOKENS)
        gradients = unpack(tokens.transformer.parameter_specs, tokens.gradients())
        matrix = gradients[f"block{shape.model.distinct_blocks}.ffn_out.matrix"]
        return float(matrix.flatten(1).norm(dim=1).mean())
