"""SGD with momentum."""

from dataclasses import dataclass
from typing import ClassVar, final

from resformer.optimizers.base import Optimizer, Step


@final
@dataclass(frozen=True, kw_only=True)
class SGD(Optimizer):
    """SGD as `torch.optim.SGD` (Sutskever et al. 2013): v ← μ v + g + λ w, w ← w - lr · v."""

    momentum: float
    """μ."""
    weight_decay: float
    """λ, which joins the gradient before the momentum."""

    state: ClassVar[tuple[str, ...]] = ("momentum",)
    decoupled: ClassVar[bool] = False

    def move(self, step: Step) -> None:
        """Move all parameters."""
        for segment in step.layout.segments:
            columns, factors = segment.columns, segment.factors
            flat_PN, grad_PN = step.flat_PN[:, columns], step.grad_PN[:, columns]
            momentum_PN = step.state["momentum"][:, columns]
            if factors.weight_decay:
                grad_PN.add_(flat_PN, alpha=self.weight_decay * factors.weight_decay)
            momentum_PN.mul_(self.momentum).add_(grad_PN)
            flat_PN.addcmul_(momentum_PN, step.rate(factors).unsqueeze(1), value=-1.0)
