"""The seam between the model and a residual scheme.

One sub-layer update, i = 1 … 2·depth, `F` attention for odd i and the FFN for even i:

    h = N_in(read(carried))        f = N_branch(F(h))        carried' = N_out(write(carried, f))

Which of the three norms stand is the norm placement, which the scheme may restrict.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from resformer.weights import Weight

Group = Literal["query", "key", "value", "output", "ffn_in", "ffn_out"]


@dataclass(frozen=True)
class Place:
    """Where in the stack a sub-layer stands, and the member's weights there."""

    sublayer: int
    """i, from 1 to 2·depth."""
    depth: int
    """Number of blocks."""
    weights: Mapping[str, Tensor]
    """All weights of the members by name, each (P, *shape)."""

    @property
    def block(self) -> int:
        """l, from 1 to depth."""
        return (self.sublayer + 1) // 2

    def broadcast(self, name: str) -> Tensor:
        """A weight of shape (1,) or (D,) as (P, 1, 1 or D), to go with x_PRD."""
        return self.weights[name].unsqueeze(1)


class Residual(ABC):
    """A residual scheme; a subclass is a frozen dataclass of the scheme's own settings, and final.

    What is carried is a tensor whose last axes are (P, R, D), R = B·T rows, one per token of the member's batch; a
    scheme with several streams stacks them in front.
    """

    own_norm: ClassVar[str]
    """What `model.norm=own` means for this scheme."""
    norms: ClassVar[Sequence[str]]
    """The norm placements it allows."""

    def weights(self, depth: int, width: int) -> list[Weight]:
        """The scheme's own learned weights for the whole stack; none by default."""
        return []

    def gain(self, group: Group, depth: int) -> float:
        """What the initial draw of a weight group is multiplied with; 1 by default."""
        return 1.0

    def open(self, x_PRD: Tensor) -> Tensor:
        """Embedding → carried."""
        return x_PRD

    def read(self, carried: Tensor, place: Place) -> Tensor:
        """Carried → the sub-layer's input x_PRD, before its norm."""
        return carried

    @abstractmethod
    def write(self, carried: Tensor, f_PRD: Tensor, place: Place) -> Tensor:
        """Carried and the sub-layer's output → carried', before the outer norm."""

    def close(self, carried: Tensor) -> Tensor:
        """Carried → the output of the stack x_PRD, before the last norm."""
        return carried
