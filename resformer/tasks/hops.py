"""Pointer chasing: the position that each pointer leads to after some hops."""

import math
from dataclasses import dataclass
from typing import ClassVar, final

from torch import Tensor

from resformer.errors import require_between
from resformer.numerics import rng
from resformer.tasks.base import LONGEST, Task


@final
@dataclass(frozen=True, kw_only=True)
class Hops(Task):
    """The source is a permutation f of 0 … length - 1, f(i) at position i; the target there is f
    applied `hops` times.

        inputs     2 0 3 1          f(0) = 2, f(1) = 0, f(2) = 3, f(3) = 1
        targets    3 2 1 0          two hops: f(f(0)) = 3, …

    Pointer chasing, related to the k-hop induction heads of Sanford, Hsu & Telgarsky 2024,
    "Transformers, parallel computation, and logarithmic depth", arXiv 2402.09268, section 4, where
    depth log₂ k suffices, and is needed if a common conjecture on parallel computation (one cycle
    or two) holds. Those are the task `hop`, where a hop has to be looked up in a word, causally;
    here each token names the next position, and all are there to be read. What makes it hard: more
    hops, then more tokens. Bidirectional by itself.
    """

    length: int
    """Tokens of a source, and of its target."""
    hops: int
    """Number of times that f is applied."""

    attention: ClassVar[str] = "bidirectional"

    def __post_init__(self) -> None:
        require_between("task.length", self.length, low=2, high=LONGEST, unit=" tokens")
        require_between("task.hops", self.hops, low=1, high=LONGEST)

    @property
    def sequence_length(self) -> int:
        """The setting `length`."""
        return self.length

    @property
    def num_symbols(self) -> int:
        """One symbol per position: each token points to a position."""
        return self.length

    @property
    def num_inputs(self) -> int:
        """Number of permutations, length!."""
        return math.factorial(self.length)

    def draw(self, key_P: Tensor, sequences: int) -> tuple[Tensor, Tensor]:
        """Draw random permutations, and apply them `hops` times."""
        source = rng.permutations(key_P, sequences, self.length)
        target = source
        for _ in range(self.hops - 1):
            target = source.gather(-1, target)
        return source, target

    def blind_loss(self) -> float:
        """Entropy of the position that a pointer leads to.

        The cycle that it is on is of each length from 1 to `length` with the same probability, and
        leads back where its length divides `hops`; otherwise every other position is equally
        likely.
        """
        back = sum(self.hops % cycle == 0 for cycle in range(1, self.length + 1)) / self.length
        away = 1 - back
        entropy = -back * math.log(back) if back else 0.0
        return entropy - away * math.log(away / (self.length - 1)) if away else entropy
