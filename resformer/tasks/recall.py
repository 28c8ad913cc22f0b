"""Associative recall: key-value pairs, then every key again."""

import math
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from resformer.errors import require, require_between
from resformer.numerics import rng
from resformer.tasks.base import IGNORE_INDEX, LONGEST, MOST_SYMBOLS, Task


@final
@dataclass(frozen=True, kw_only=True)
class Recall(Task):
    """Associative recall with many queries: pairs of a key and its value, then all keys in another
    order. With `rebinds`, each key is bound so many times more, to any value, in any order, and a
    query asks for its last value.

        inputs     2 17 5 11 9 13 5 9 2      three pairs of 10 symbols: keys under 10, values above
        targets    ·  · · ·  · ·  11 13 17

        inputs     5 11 2 17 5 12 2 14 5 2   two pairs, rebound once
        targets    · ·  · ·  · ·  · ·  12 14

    Arora et al. 2024, "Zoology", arXiv 2312.04927, section 3 (MQAR), here with one query per key;
    rebinding is not in that paper. Keys are `pairs` different ones of `symbols`, values any of as
    many others. Chance is ln(symbols) nats, 1/symbols of the targets; any value of the right key
    is right in about 1/(1 + rebinds). What makes it hard: more pairs, more symbols, and rebinding,
    since the latest of equal keys counts. Two blocks can do it without (one puts each value beside
    its key, one looks the key up: Olsson et al. 2022, arXiv 2209.11895), so that more depth should
    not help. Causal by itself, as there; a bidirectional model also maps in place, and finds it
    harder.
    """

    pairs: int
    """Keys with a value, and queries."""
    symbols: int
    """Different keys, and as many different values."""
    rebinds: int
    """Times that each key is bound again."""

    attention: ClassVar[str] = "causal"
    always_in_place: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require_between("task.pairs", self.pairs, low=1, high=LONGEST // 3)
        require(
            max(2, self.pairs) <= self.symbols <= MOST_SYMBOLS,
            "task.symbols",
            self.symbols,
            f"must be from 2 to {MOST_SYMBOLS}, and at least task.pairs={self.pairs}, since "
            "keys are different",
        )
        most = (LONGEST // self.pairs - 3) // 2
        require_between("task.rebinds", self.rebinds, low=0, high=most)

    @property
    def bindings(self) -> int:
        """Pairs of a key and a value in a source."""
        return self.pairs * (1 + self.rebinds)

    @property
    def sequence_length(self) -> int:
        """Two tokens per binding, key and value, and a query per key."""
        return 2 * self.bindings + self.pairs

    @property
    def num_symbols(self) -> int:
        """Number of keys and values."""
        return 2 * self.symbols

    @property
    def num_inputs(self) -> int:
        """Number of sets of keys, times orders of the bindings, values, orders of the queries."""
        alike = int(math.factorial(1 + self.rebinds) ** self.pairs)
        orders = math.factorial(self.bindings) // alike
        values = int(self.symbols**self.bindings)
        sets = math.comb(self.symbols, self.pairs)
        return sets * orders * values * math.factorial(self.pairs)

    def draw(self, key_P: Tensor, sequences: int) -> tuple[Tensor, Tensor]:
        """Draw keys, values and the orders of bindings and queries, each by a key of its own."""
        drawn_shape = (len(key_P), sequences)
        keys_P, values_P, orders_P = (
            rng.key(key_P, part) for part in ("keys", "values", "queries")
        )
        keys = rng.permutations(keys_P, sequences, self.symbols)[..., : self.pairs]
        values = (
            rng.integers(values_P, sequences * self.bindings, self.symbols).view(*drawn_shape, -1)
            + self.symbols
        )
        bound = self._bound(key_P, sequences)
        bindings = torch.stack([keys.gather(2, bound), values], -1).flatten(2)
        # Of equal keys, the stable order has the last binding last.
        last = bound.argsort(dim=-1, stable=True)[..., self.rebinds :: 1 + self.rebinds]
        order = rng.permutations(orders_P, sequences, self.pairs)
        source = torch.cat([bindings, keys.gather(2, order)], -1)
        ignored = torch.full_like(bindings, IGNORE_INDEX)
        return source, torch.cat([ignored, values.gather(2, last.gather(2, order))], -1)

    def _bound(self, key_P: Tensor, sequences: int) -> Tensor:
        """Number of the key that each binding binds, (P, sequences, bindings): in any order, but as
        drawn if each is bound once.
        """
        if not self.rebinds:
            once = torch.arange(self.pairs, device=key_P.device)
            return once.expand(len(key_P), sequences, -1)
        bindings_P = rng.key(key_P, "bindings")
        return rng.permutations(bindings_P, sequences, self.bindings) % self.pairs

    def blind_loss(self) -> float:
        """Entropy ln(symbols): every value is equally likely at every query."""
        return math.log(self.symbols)
