"""Depo: the k-th successor on a cycle whose edges are shuffled."""

import math
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from resformer.errors import require_between
from resformer.numerics import rng
from resformer.tasks.base import IGNORE_INDEX, LONGEST, Task

_MOST_QUERIES = 10


@final
@dataclass(frozen=True, kw_only=True)
class Depo(Task):
    """The source is the edges of a cycle on all names, shuffled, then queries: a number k and a
    name. The target at the name of a query is its k-th successor.

        inputs     2 1 0 2 1 0 4 2 3 0 4 1      the cycle 0 → 2 → 1 → 0; 3: one on, 4: two on
        targets    · · · · · · · 0 · 2 · 2

    Mental reasoning depth in Allen-Zhu 2025, "Physics of language models: part 4.1, architecture
    design and the magic of canon layers", arXiv 2512.17351, section 2.1 and appendix A.1: k is
    uniform from 1 to K, here `hops`, a query's name is any, and there are min(10, names) queries.
    Three things are simpler here: a name is one token, every cycle has all `length` names (there, 3
    to N; scored at N, as here), and answers are not read back.

    Chance is ln(length) nats, 1/length of the targets. There, names of 1 to 2 tokens, N = 225 to
    375 and K = 8, or of 5 to 7 tokens, N = 75 to 125 and K = 16, take models of 8 to 12 blocks and
    width 512 to 768 some 100,000 steps of 128 × 2048 tokens, and a model learns one more hop at a
    time, after numbers of steps that differ between seeds (section 3.1): many seeds are needed. In
    a causal model only queries have read all edges, so that most hops are made there. What makes it
    hard: more hops, then a longer cycle. Causal by itself, in place.
    """

    length: int
    """Names, and edges of the cycle."""
    hops: int
    """K, the furthest successor that is asked for."""

    attention: ClassVar[str] = "causal"
    always_in_place: ClassVar[bool] = True

    def __post_init__(self) -> None:
        most = (LONGEST - 2 * _MOST_QUERIES) // 2
        require_between("task.length", self.length, low=3, high=most, unit=" edges")
        require_between("task.hops", self.hops, low=1, high=self.length - 1)

    @property
    def queries(self) -> int:
        """Number of queries, 10 if there are as many names."""
        return min(_MOST_QUERIES, self.length)

    @property
    def sequence_length(self) -> int:
        """Two tokens per edge, and two per query."""
        return 2 * (self.length + self.queries)

    @property
    def num_symbols(self) -> int:
        """Number of names, and of numbers of hops."""
        return self.length + self.hops

    @property
    def num_inputs(self) -> int:
        """Number of cycles, times orders of the edges, times queries."""
        cycles = math.factorial(self.length - 1)
        queries = int((self.length * self.hops) ** self.queries)
        return cycles * math.factorial(self.length) * queries

    def draw(self, key_P: Tensor, sequences: int) -> tuple[Tensor, Tensor]:
        """Draw cycles, the order of their edges, and queries, each by a key of its own."""
        cycles_P, edges_P, starts_P, hops_P = (
            rng.key(key_P, part) for part in ("cycle", "edges", "starts", "hops")
        )
        cycle = rng.permutations(cycles_P, sequences, self.length)
        order = rng.permutations(edges_P, sequences, self.length)
        edges = torch.stack([cycle, cycle.roll(-1, -1)], -1)
        edges = edges.gather(2, order.unsqueeze(-1).expand_as(edges)).flatten(2)
        count = sequences * self.queries
        start, hops = (
            rng.integers(part_P, count, below).view(len(key_P), sequences, -1)
            for part_P, below in ((starts_P, self.length), (hops_P, self.hops))
        )
        query = torch.stack([hops + self.length, cycle.gather(2, start)], -1)
        answers = cycle.gather(2, (start + hops + 1) % self.length)
        source = torch.cat([edges, query.flatten(2)], -1)
        target = torch.full_like(source, IGNORE_INDEX)
        target[..., 2 * self.length + 1 :: 2] = answers
        return source, target

    def blind_loss(self) -> float:
        """Entropy ln(length): every name is equally likely at every query."""
        return math.log(self.length)
