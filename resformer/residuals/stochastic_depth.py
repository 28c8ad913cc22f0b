"""Stochastic depth: branches are left out at random in training, later ones more often."""

from dataclasses import dataclass
from typing import ClassVar, final

from torch import Tensor

from resformer.errors import require
from resformer.keys import NORMS
from resformer.residuals.base import OneStream, SublayerContext


@final
@dataclass(frozen=True, kw_only=True)
class StochasticDepth(OneStream):
    """x' = x + m·F(x), m = 1/p_l with probability p_l, else 0, in training; x' = x + F(x) in an
    evaluation.

    p_l = 1 - (l / L)·(1 - p_L), l the number of the block, from 1, p_L = `survival` (Huang et al.
    2016, arXiv 1603.09382, eq. 4; 0.5 there). Drawn anew for every member, step and sub-layer, the
    same for the whole batch of a member, as there; divided by p_l in training rather than
    multiplied in an evaluation, as is usual since. Learned: nothing. Norm: any; its own is `post`.
    """

    survival: float

    own_norm: ClassVar[str] = "post"
    norms: ClassVar[tuple[str, ...]] = NORMS
    random: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require(
            0 < self.survival <= 1,
            "model.residual.survival",
            self.survival,
            "must be above 0 and at most 1",
        )

    def survival_probability(self, context: SublayerContext) -> float:
        """Probability p_l that the branch survives."""
        return 1 - context.block / context.architecture.depth * (1 - self.survival)

    def write(self, x_PRD: Tensor, f_PRD: Tensor, context: SublayerContext) -> Tensor:
        """Add the branch, if it survives, to the stream."""
        if context.draw_P is None:
            return x_PRD + f_PRD
        p = self.survival_probability(context)
        m_P = (context.draw_P < p).to(f_PRD.dtype) / p
        return x_PRD + m_P.view(-1, 1, 1) * f_PRD
