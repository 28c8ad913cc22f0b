"""Lion: steps of one size, in the direction of the sign of a momentum."""

from dataclasses import dataclass
from typing import ClassVar, final

from resformer.optimizers.base import Optimizer, Step


@final
@dataclass(frozen=True, kw_only=True)
class Lion(Optimizer):
    """Lion (Chen et al. 2023, arXiv 2302.06675, algorithm 2): w ← w - lr · (sign(β₁ m + (1 - β₁) g)
    + λ w), m ← β₂ m + (1 - β₂) g.

    Every entry moves by the learning rate, so that good rates are three to ten times as small as
    AdamW's (section 5 there).
    """

    beta1: float
    beta2: float
    weight_decay: float
    """λ."""

    state: ClassVar[tuple[str, ...]] = ("exp_avg",)

    def move(self, step: Step) -> None:
        """Move all parameters."""
        for segment in step.layout.segments:
            columns, factors = segment.columns, segment.factors
            flat_PN, grad_PN = step.flat_PN[:, columns], step.grad_PN[:, columns]
            exp_avg_PN, lr_P1 = step.state["exp_avg"][:, columns], step.rate(factors).unsqueeze(1)
            if factors.weight_decay:
                flat_PN.mul_(1.0 - lr_P1 * (self.weight_decay * factors.weight_decay))
            direction_PN = exp_avg_PN.lerp(grad_PN, 1.0 - self.beta1).sign_()
            flat_PN.addcmul_(direction_PN, lr_P1, value=-1.0)
            exp_avg_PN.lerp_(grad_PN, 1.0 - self.beta2)
