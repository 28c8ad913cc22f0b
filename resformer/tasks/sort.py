"""Put it in order."""

import math
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import ClassVar, final

from torch import Tensor

from resformer.tasks.base import Task


@final
@dataclass(frozen=True)
class Sort(Task):
    """The target holds the tokens of the source in ascending order.

        reads     3 1 4 1
        scored    1 1 3 4

    Bidirectional by itself: each answer depends on all of the source.
    """

    attention: ClassVar[str] = "bidirectional"

    def target(self, source: Tensor) -> Tensor:
        """The source in ascending order."""
        return source.sort(dim=-1).values

    def blind_loss(self) -> float:
        """Mean over positions of the entropy of the order statistic there: 2.07 for 8 tokens of 16 symbols."""
        reached = [self._reached(value) for value in range(-1, self.symbols)]
        entropies = []
        for rank in range(self.length):
            masses = [high[rank] - low[rank] for low, high in pairwise(reached)]
            entropies.append(-sum(mass * math.log(mass) for mass in masses if mass > 0))
        return sum(entropies) / self.length

    def _reached(self, value: int) -> list[float]:
        """P(at least r tokens of the source are ≤ value) for r = 1 … length: a binomial distribution's tails."""
        share = (value + 1) / self.symbols
        exactly = [
            math.comb(self.length, k) * share**k * (1 - share) ** (self.length - k) for k in range(self.length + 1)
        ]
        return list(accumulate(reversed(exactly)))[-2::-1]
