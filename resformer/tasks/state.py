"""Keep track of a state: the product of group elements, after each of them."""

import itertools
import math
import re
from dataclasses import dataclass
from functools import cache
from typing import ClassVar, final

import torch
from torch import Tensor

from resformer.errors import require
from resformer.numerics import rng
from resformer.tasks.base import LONGEST, Task

_GROUP = re.compile(r"Z([2-9]|[1-5]\d|60)|S[345]|A[45]")


@final
@dataclass(frozen=True)
class State(Task):
    """The source is a word g_1 g_2 … over a group, the target at t the product g_1·g_2 ⋯ g_t.

        reads     1 1 0 1          in Z2: the parity of what was read
        scored    1 0 0 1

    The word problem, as in Liu et al. 2023, "Transformers learn shortcuts to automata", arXiv
    2210.10749 (depth logarithmic in the length suffices, constant depth for solvable groups), and
    Merrill et al. 2024, "The illusion of state", arXiv 2404.08819 (A5 and S5 are as hard as NC¹,
    which no constant depth reaches at every length unless TC⁰ and NC¹ are one). What makes it hard:
    the length, then the group. `group` is Zn (cyclic, n from 2 to 60), Sn (all permutations, n from
    3 to 5) or An (the even ones, n 4 or 5). Bidirectional by itself; a causal model answers in
    place, too, since each answer gives the next one away.
    """

    group: str
    length: int
    """Elements of a word."""

    attention: ClassVar[str] = "bidirectional"
    always_in_place: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require(
            bool(_GROUP.fullmatch(self.group)),
            "task.group",
            self.group,
            "must be Z2 to Z60, S3 to S5, A4 or A5",
        )
        require(
            1 <= self.length <= LONGEST,
            "task.length",
            self.length,
            f"must be from 1 to {LONGEST} elements",
        )

    @property
    def positions(self) -> int:
        """As said."""
        return self.length

    @property
    def values(self) -> int:
        """The group's order."""
        return len(products(self.group))

    @property
    def sources(self) -> int:
        """Every word."""
        found: int = self.values**self.length
        return found

    def draw(self, state_P: Tensor, sequences: int) -> tuple[Tensor, Tensor]:
        """Any words, each element as likely as the other."""
        count, order = sequences * self.length, self.values
        source = rng.integers(state_P, count, order).view(len(state_P), sequences, self.length)
        table = products(self.group).to(source.device).flatten()
        states = [source[..., 0]]
        for element in source[..., 1:].unbind(-1):
            states.append(table[states[-1] * order + element])
        return source, torch.stack(states, -1)

    def blind_loss(self) -> float:
        """The logarithm of the group's order: every state is equally likely after every element."""
        return math.log(self.values)


@cache
def products(group: str) -> Tensor:
    """The group's table: entry (g, h) is g·h, first g, then h; element 0 is the identity."""
    kind, n = group[0], int(group[1:])
    if kind == "Z":
        each = torch.arange(n)
        return (each.unsqueeze(1) + each) % n
    every = [p for p in itertools.permutations(range(n)) if kind == "S" or _even(p)]
    place = {p: number for number, p in enumerate(every)}
    return torch.tensor([[place[tuple(h[point] for point in g)] for h in every] for g in every])


def _even(permutation: tuple[int, ...]) -> bool:
    return sum(a > b for a, b in itertools.combinations(permutation, 2)) % 2 == 0
