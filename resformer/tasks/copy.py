"""Copy: repeat the source."""

import math
from dataclasses import dataclass
from typing import ClassVar, final

from torch import Tensor

from resformer.tasks.base import SequenceToSequence


@final
@dataclass(frozen=True)
class Copy(SequenceToSequence):
    """The target is the source.

        inputs     3 1 4 1 ⟂ 3 1 4
        targets            3 1 4 1

    Causal by itself: each target has to be fetched from `length` positions back. In place it would
    be trivial.
    """

    attention: ClassVar[str] = "causal"

    def target(self, source: Tensor) -> Tensor:
        """Return the source."""
        return source

    def blind_loss(self) -> float:
        """Entropy ln(symbols): every symbol is equally likely at every position."""
        return math.log(self.symbols)
