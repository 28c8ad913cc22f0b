"""Memorisation: the value of every key, by a map that only the weights can hold."""

import math
from dataclasses import dataclass
from functools import cache
from typing import ClassVar, final

import torch
from torch import Tensor

from resformer.numerics import rng
from resformer.tasks.base import SequenceToSequence

_FACTS_SEED = 0


@final
@dataclass(frozen=True, kw_only=True)
class Memorize(SequenceToSequence):
    """The source is `length` random keys of `symbols`, the target at each its value, by a map that
    never changes.

        inputs     2 0 3 2          keys under 4, values from 4 on
        targets    5 6 4 5          0 has the value 6, 2 has 5, 3 has 4, in every sequence

    Memorisation in Poli et al. 2024, "Mechanistic design and scaling of hybrid architectures",
    arXiv 2403.17844 (MAD; its code, generate_kv_map and generate_memorization_instance in
    mad/data/instances.py of athms/mad-lab): as many values as keys, each that of one key, by a
    random map that depends on the number of keys only, and so is the same for all members, in
    training and held out. The value is asked for at its key here, where MAD puts an empty token
    after it; sequences are always fresh here, where MAD repeats 256 of them.

    Chance is ln(symbols) nats, 1/symbols of the targets. MAD asks models of 2 blocks of width 128
    for about 128 to 4096 keys, 32 tokens a sequence, and raises the number of keys only, so that
    each is seen more rarely: 32 times to once an epoch, over 200 epochs. What makes it hard: more
    keys, which a batch of so many (batch × length) shows more rarely, and which are harder to tell
    apart at a small width. Each answer needs its own token only, so that neither attention nor
    depth should help: a control. Causal by itself, in place.
    """

    attention: ClassVar[str] = "causal"
    always_in_place: ClassVar[bool] = True

    @property
    def num_symbols(self) -> int:
        """Number of keys and values."""
        return 2 * self.symbols

    def target(self, source: Tensor) -> Tensor:
        """Look up the value of each key."""
        return values(self.symbols).to(source.device)[source]

    def blind_loss(self) -> float:
        """Entropy ln(symbols): every key is equally likely, and so is every value."""
        return math.log(self.symbols)


@cache
def values(symbols: int) -> Tensor:
    """Value of each key, (symbols,): a random order of symbols … 2 · symbols - 1."""
    key_1 = rng.key(torch.tensor([_FACTS_SEED]), "facts")
    return rng.permutations(key_1, 1, symbols)[0, 0] + symbols
