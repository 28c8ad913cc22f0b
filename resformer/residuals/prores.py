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

    Chen et al. 2026, arXiv 2603.05369, and the authors' code, with T = `warmup_steps`, 1000 there
    in runs of tens of thousands of steps: α = min(t / (T·l), 1) with `order` = linear, min(t / T,
    1) with equal, min(t / (T·(L + 1 - l)), 1) with reverse. Both sub-layers of a block share α,
    which stands behind the branch's own norm and before the norm of the sum. In an evaluation t is
    the number of steps taken: before any training the stack is the identity. The authors' step
    counts from 0, here from 1, so that the first step moves every weight. Learned: nothing. Norm:
    any; its own is `pre`. Their combinations with LNS and DeepNorm are left out. Formulas are from
    the code, of the paper only the abstract could be read.
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
        return (
            self.warmup_steps
            * {"linear": block, "equal": 1, "reverse": depth + 1 - block}[self.order]
        )

    def write(self, x_PRD: Tensor, f_PRD: Tensor, context: SublayerContext) -> Tensor:
        """Add the branch, as far as it has come in, to the stream."""
        # A tensor without axes leaves the dtype of its product to the branch.
        alpha = (context.step.double() / self.last_step(context)).clamp(max=1.0)
        return x_PRD + alpha * f_PRD
