"""State tracking: the product of group elements, after each of them."""

import itertools
import math
import re
from dataclasses import dataclass
from functools import cache
from typing import ClassVar, final

import torch
from torch import Tensor

from resformer.errors import require, require_between
from resformer.numerics import rng
from resformer.tasks.base import LONGEST, Task

_GROUP = re.compile(r"Z([2-9]|[1-5]\d|60)|S[345]|A[45]")


@final
@dataclass(frozen=True, kw_only=True)
class State(Task):
    """The source is a word g_1 g_2 … over a group, the target at t the product g_1·g_2 ⋯ g_t.

        inputs     1 1 0 1          in Z2: the parity of what was read
        targets    1 0 0 1

    The word problem, as in Liu et al. 2023, "Transformers learn shortcuts to automata", arXiv
    2210.10749 (depth logarithmic in the length suffices, constant depth for solvable groups), and
    Merrill et al. 2024, "The illusion of state", arXiv 2404.08819 (A5 and S5 are as hard as NC¹,
    which no constant depth reaches at every length unless TC⁰ and NC¹ are one). What makes it hard:
    the length, then the group. `group` is Zn (cyclic, n from 2 to 60), Sn (all permutations, n from
    3 to 5) or An (the even ones, n 4 or 5). Bidirectional by itself; a causal model maps in place,
    too, since each target gives the next one away.

    Chance is the logarithm of the group's order, 1/order of the targets. The published score is the
    longest length solved at each depth, read causally: models need more depth for longer words of
    the non-commutative groups, A5 and even A4 × Z5, which constant depth could do, and commutative
    Z60 is the control (section 6 of 2404.08819: least depth with 90 % of whole words right).
    Merrill & Sabharwal 2025, "A little depth goes a long way", arXiv 2503.03961, fit depth =
    4.8 log₂ length - 15.8 on A5, for depth 6 to 24 at width 512, with a curriculum from length 2 to
    1024 (numbers of a summary, not checked in the paper). There is no curriculum here; targets are
    at every prefix, as there.
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
        require_between("task.length", self.length, low=1, high=LONGEST, unit=" elements")

    @property
    def sequence_length(self) -> int:
        """The setting `length`."""
        return self.length

    @property
    def num_symbols(self) -> int:
        """Order of the group."""
        return len(products(self.group))

    @property
    def num_inputs(self) -> int:
        """Number of words, order^length."""
        return int(self.num_symbols**self.length)

    def draw(self, key_P: Tensor, sequences: int) -> tuple[Tensor, Tensor]:
        """Draw uniformly random words, and their prefix products."""
        count, order = sequences * self.length, self.num_symbols
        source = rng.integers(key_P, count, order).view(len(key_P), sequences, self.length)
        table = products(self.group).to(source.device).flatten()
        states = [source[..., 0]]
        for element in source[..., 1:].unbind(-1):
            states.append(table[states[-1] * order + element])
        return source, torch.stack(states, -1)

    def blind_loss(self) -> float:
        """Logarithm of the group's order: every state is equally likely after every element."""
        return math.log(self.num_symbols)


@cache
def products(group: str) -> Tensor:
    """Multiplication table: entry (g, h) is g·h, first g, then h; element 0 is the identity."""
    kind, n = group[0], int(group[1:])
    if kind == "Z":
        element = torch.arange(n)
        return (element.unsqueeze(1) + element) % n
    elements = [p for p in itertools.permutations(range(n)) if kind == "S" or _even(p)]
    index = {p: number for number, p in enumerate(elements)}
    return torch.tensor(
        [[index[tuple(h[point] for point in g)] for h in elements] for g in elements]
    )


def _even(permutation: tuple[int, ...]) -> bool:
    return sum(a > b for a, b in itertools.combinations(permutation, 2)) % 2 == 0
