"""Exponent of the change of a model's function in its first step."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import torch
from torch.autograd import functional

from resformer.claims.exponent import Exponent
from resformer.claims.tokens import tokens_of
from resformer.errors import UserError
from resformer.model.shape import Shape
from resformer.optimizers.base import Adaptive

_TOKENS = 8
_STEPS = ("gradient", "adam")
_OF: Mapping[str, tuple[str, str]] = {
    "matrices": ("block", ".matrix"),
    "norms": ("sublayer", ".norm."),
}
"""Beginning and part of the names of parameters that take the step."""


@final
@dataclass(frozen=True, kw_only=True)
class FirstStep(Exponent):
    """Exponent of the derivative of a token's logits (RMS, mean over 8 tokens) along a step of some
    of the blocks' parameters on its own loss, the limit of a learning rate of 0 (Wang et al. 2022,
    arXiv 2203.00555, section 4, bound it for SGD on the matrices).
    """

    step: str
    """`gradient`: the step of SGD; `adam`: Adam's first step, the gradient over its size."""
    of: str
    """`matrices` of the blocks, or gains and biases of their `norms`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for setting, value, choices in (("step", self.step, _STEPS), ("of", self.of, _OF)):
            if value not in choices:
                raise UserError(f"{setting}={value}: must be one of {', '.join(choices)}")

    @property
    def measured(self) -> str:
        """The measure, in words."""
        return (
            f"change of a token's logits along the {self.step} step of the {self.of} on its own "
            "loss (RMS per rate)"
        )

    def value(self, shape: Shape, seed: int) -> float:
        """Derivative of the logits along the step."""
        tokens = tokens_of(shape, seed, _TOKENS)
        owner, part = _OF[self.of]
        moves_N = torch.cat(
            [
                torch.full((spec.size,), float(spec.name.startswith(owner) and part in spec.name))
                for spec in tokens.transformer.parameter_specs
            ]
        )
        direction_PN = tokens.gradients() * moves_N
        if self.step == "adam":
            if not isinstance(shape.optimizer, Adaptive):
                raise UserError("step=adam: needs an optimizer that divides by the gradient's size")
            direction_PN = direction_PN / (direction_PN.abs() + shape.optimizer.eps)
        change_PV = functional.jvp(tokens.logits, tokens.flat_PN, direction_PN)[1]
        return float(change_PV.square().mean(dim=1).sqrt().mean())
