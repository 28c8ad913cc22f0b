"""Stochastic depth: branches are left out at random in training, later ones more often."""

from dataclasses import dataclass
from typing import ClassVar, final

from torch import Tensor

from resformer.errors import require
from resformer.keys import NORMS
from resformer.residuals.base import OneStream, Place


@final
@dataclass(frozen=True)
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

    def survives(self, place: Place) -> float:
        """p_l."""
        return 1 - place.block / place.stack.depth * (1 - self.survival)

    def write(self, carried: Tensor, f_PRD: Tensor, place: Place) -> Tensor:
        """The sum, with the branch if it survives."""
        if place.draw_P is None:
            return carried + f_PRD
        share = self.survives(place)
        m_P = (place.draw_P < share).to(f_PRD.dtype) / share
        return carried + m_P.view(-1, 1, 1) * f_PRD
