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
    order.

        inputs     2 17 5 11 9 13 5 9 2      three pairs of 10 symbols: keys under 10, values above
        targets    ·  · · ·  · ·  11 13 17

    Arora et al. 2024, "Zoology", arXiv 2312.04927, section 3 (MQAR), here with one query per key.
    Keys are `pairs` different ones of `symbols`, values any of as many others. What makes it hard:
    more pairs, more symbols. Two blocks can do it (one puts each value beside its key, one looks
    the key up: Olsson et al. 2022, arXiv 2209.11895), so that more depth should not help. Causal by
    itself, as there; a bidirectional model also maps in place, and finds it harder.
    """

    pairs: int
    """Keys with a value, and queries."""
    symbols: int
    """Different keys, and as many different values."""

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

    @property
    def sequence_length(self) -> int:
        """Three tokens per pair: key, value and query."""
        return 3 * self.pairs

    @property
    def num_symbols(self) -> int:
        """Number of keys and values."""
        return 2 * self.symbols

    @property
    def num_inputs(self) -> int:
        """Number of ordered keys, times values, times orders of the queries."""
        values = int(self.symbols**self.pairs)
        return math.perm(self.symbols, self.pairs) * values * math.factorial(self.pairs)

    def draw(self, key_P: Tensor, sequences: int) -> tuple[Tensor, Tensor]:
        """Draw keys, values and the order of the queries, each by a key of its own."""
        drawn_shape = (len(key_P), sequences)
        keys_P, values_P, orders_P = (
            rng.key(key_P, part) for part in ("keys", "values", "queries")
        )
        keys = rng.permutations(keys_P, sequences, self.symbols)[..., : self.pairs]
        values = (
            rng.integers(values_P, sequences * self.pairs, self.symbols).view(*drawn_shape, -1)
            + self.symbols
        )
        order = rng.permutations(orders_P, sequences, self.pairs)
        source = torch.cat([torch.stack([keys, values], -1).flatten(2), keys.gather(2, order)], -1)
        ignored = torch.full_like(source[..., : 2 * self.pairs], IGNORE_INDEX)
        return source, torch.cat([ignored, values.gather(2, order)], -1)

    def blind_loss(self) -> float:
        """Entropy ln(symbols): every value is equally likely at every query."""
        return math.log(self.symbols)
