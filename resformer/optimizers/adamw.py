"""AdamW: Adam with decoupled weight decay."""

from dataclasses import dataclass
from typing import ClassVar, final

from resformer.optimizers.base import Adaptive, Step


@final
@dataclass(frozen=True, kw_only=True)
class AdamW(Adaptive):
    """AdamW as `torch.optim.AdamW` (Loshchilov & Hutter 2019, arXiv 1711.05101, algorithm 2)."""

    goes_with_parametrisations: ClassVar[bool] = True

    def move(self, step: Step) -> None:
        """Move all parameters by AdamW."""
        self.move_adaptively(step, step.layout.segments)
