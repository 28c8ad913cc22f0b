"""ProRes: branches come in during training, by default those of the first blocks first."""

from dataclasses import dataclass
from typing import ClassVar, final

from torch import Tensor

from resformer.errors import require, require_between
from resformer.keys import NORMS
from resformer.residuals.base import OneStream, SublayerContext

_ORDERS = ("linear", "equal", "reverse")


@final
@dataclass(frozen=True, kw_only=True)
class ProRes(OneStream):
    """x' = x + α(l, t)·F(x), l the number of the block, from 1, t the training step; α rises
    linearly from 0 to 1 and stays there.

    Chen et al. 2026, arXiv 2603.05369, eq. 3 and table 5, with T = `warmup_steps`: α = min(t /
    (T·l), 1) with `order` = linear, min(t / T, 1) with equal, min(t / (T·(L + 1 - l)), 1) with
    reverse. T = 1000 there, in 100,000 steps; the best T·L, the step at which the last block has
    come in, is a tenth to two fifths of the training (table 6). Both sub-layers of a block share α
    (the authors' code), which stands behind the branch's own norm and before the norm of the sum
    (table 1). In an evaluation t is the number of steps taken, so that before any training no
    branch is there. The code counts steps from 0; here the first step has t = 1, so that it moves
    every weight. Learned: nothing. Left out: LNS and DeepNorm with it, which the paper has, too.
    Norm: any; its own is `pre`.
    """

    order: str
    warmup_steps: int

    own_norm: ClassVar[str] = "pre"
    norms: ClassVar[tuple[str, ...]] = NORMS

    def __post_init__(self) -> None:
        orders = f"must be one of {', '.join(_ORDERS)}"
        require(self.order in _ORDERS, "model.residual.order", self.order, orders)
        require_between("model.residual.warmup_steps", self.warmup_steps, low=1, high=10**6)

    def last_step(self, context: SublayerContext) -> int:
        """Step from which α of this block is 1."""
        block, depth = context.block, context.architecture.depth
        lengths = {"linear": block, "equal": 1, "reverse": depth + 1 - block}
        return self.warmup_steps * lengths[self.order]

    def write(self, x_PRD: Tensor, f_PRD: Tensor, context: SublayerContext) -> Tensor:
        """Add the branch, as far as it has come in, to the stream."""
        # A tensor without axes leaves the dtype of its product to the branch.
        alpha = (context.step.double() / self.last_step(context)).clamp(max=1.0)
        return x_PRD + alpha * f_PRD
