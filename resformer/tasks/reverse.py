"""Reverse: repeat the source from its end."""

import math
from dataclasses import dataclass
from typing import ClassVar, final

from torch import Tensor

from resformer.tasks.base import SequenceToSequence


@final
@dataclass(frozen=True)
class Reverse(SequenceToSequence):
    """The target is the source read from its end.

        inputs     3 1 4 1 ⟂ 1 4 1
        targets            1 4 1 3

    Causal by itself. The distance a target is fetched from differs from position to position: 1,
    3, 5, … back.
    """

    attention: ClassVar[str] = "causal"

    def target(self, source: Tensor) -> Tensor:
        """Return the source, last token first."""
        return source.flip(-1)

    def blind_loss(self) -> float:
        """Entropy ln(symbols): every symbol is equally likely at every position."""
        return math.log(self.symbols)
