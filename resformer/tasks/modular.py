"""Modular addition from a finite set: sums of pairs that were not trained on."""

import math
from dataclasses import dataclass
from functools import cache
from typing import ClassVar, final

import torch
from torch import Tensor

from resformer.errors import require_between
from resformer.numerics import rng
from resformer.tasks.base import IGNORE_INDEX, Task

_LARGEST = 1009
"""Largest modulus: a million pairs."""
_SPLIT_SEED = 0


@final
@dataclass(frozen=True, kw_only=True)
class Modular(Task):
    """The source is a pair a, b and a sign, the target at the sign a + b mod p.

        inputs     17 30 =          of p = 31, `modulus`; the sign is the token p
        targets    ·  ·  16

    Of the p² pairs, `examples` are for training, drawn again and again; the others are held out.
    Both sets are the same for all members, and a smaller training set is part of a larger one. A
    pair and its mirror b, a, which has the same sum, are two pairs, as there: of p = 31 with 480
    examples 48 % of the held-out pairs have their mirror among the examples.

    Power et al. 2022, "Grokking", arXiv 2201.02177, p = 97; Nanda et al. 2023, "Progress measures
    for grokking via mechanistic interpretability", arXiv 2301.05217, p = 113. A model may fit its
    examples and learn the rule long after, or never, so that the steps to solve are those to
    generalise; weight decay brings them down (`optimizer.weight_decay`, which this task's YAML sets
    to 1, as both do). One block is enough: Nanda et al. train one of width 128 on 30 % of the
    pairs, all of them in each step, for 40,000 steps at a rate of 1e-3, and see it generalise
    around step 10,000; the fewer the examples, the later. Chance: 1 / p, a loss of ln p. Causal by
    itself, as there; answered in place.
    """

    modulus: int
    """p."""
    examples: int
    """Pairs for training."""

    attention: ClassVar[str] = "causal"
    always_in_place: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require_between("task.modulus", self.modulus, low=2, high=_LARGEST)
        pairs = f", one less than the pairs of task.modulus={self.modulus}"
        highest = self.modulus**2 - 1
        require_between("task.examples", self.examples, low=1, high=highest, unit=pairs)

    @property
    def sequence_length(self) -> int:
        """Three tokens: a, b and the sign."""
        return 3

    @property
    def num_symbols(self) -> int:
        """The numbers 0 … p - 1 and the sign."""
        return self.modulus + 1

    @property
    def num_inputs(self) -> int:
        """Number of pairs, p²."""
        return self.modulus**2

    @property
    def num_held_out(self) -> int:
        """Number of pairs that are not for training."""
        return self.num_inputs - self.examples

    def draw(self, key_P: Tensor, sequences: int) -> tuple[Tensor, Tensor]:
        """Draw pairs of the training set, each as likely as the other."""
        return self._sums(rng.integers(key_P, sequences, self.examples))

    def draw_held_out(self, key_P: Tensor, sequences: int) -> tuple[Tensor, Tensor]:
        """Draw so many different pairs that are not for training."""
        order = rng.permutations(key_P, 1, self.num_held_out)[:, 0, :sequences]
        return self._sums(order + self.examples)

    def _sums(self, place: Tensor) -> tuple[Tensor, Tensor]:
        """Sources and targets of the pairs at these places of the shuffled table."""
        pair = _shuffled(self.modulus).to(place.device)[place]
        a, b = pair // self.modulus, pair % self.modulus
        ignored = torch.full_like(a, IGNORE_INDEX)
        source = torch.stack([a, b, torch.full_like(a, self.modulus)], -1)
        return source, torch.stack([ignored, ignored, (a + b) % self.modulus], -1)

    def blind_loss(self) -> float:
        """Entropy ln p: over all pairs, every sum is equally likely."""
        return math.log(self.modulus)


@cache
def _shuffled(modulus: int) -> Tensor:
    """All pairs a·p + b in a fixed random order, those for training first, (p²,) int64."""
    key_1 = rng.key(torch.tensor([_SPLIT_SEED]), "pairs")
    return rng.permutations(key_1, 1, modulus**2).flatten()
