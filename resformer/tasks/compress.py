"""Compression: the whole source from the output at its last token."""

import math
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from resformer.errors import require_between
from resformer.numerics import rng
from resformer.tasks.base import IGNORE_INDEX, LONGEST, MOST_SYMBOLS, Task


@final
@dataclass(frozen=True, kw_only=True)
class Compress(Task):
    """The source is a random string and a sign, the targets are the string; all of them are decoded
    from the output at the sign alone.

        inputs     3 1 4 #          # is the token 5, of `symbols` 5
        targets    3 1 4 ·          each from the output at #, with a code of its place

    Poli et al. 2024, "Mechanistic design and scaling of hybrid architectures" (MAD), arXiv
    2403.17844, and the authors' code (mad-lab): the output at the last token plus a sinusoidal code
    goes through two layers of the model's width, norm, linear, GELU, and a norm and the head. There
    the sign has a target, too, and the code is added before any norm; here behind the last norm,
    where the stream has one. What makes it hard: the length, then the symbols; the width bounds
    what one token holds. MAD's baseline has 31 tokens of 15 symbols at width 128, its hardest
    settings 255 tokens or 127 symbols. Chance: 1 / symbols, a loss of ln(symbols). Causal by
    itself, as there.
    """

    length: int
    """Tokens of a string."""
    symbols: int
    """Number of different tokens."""

    attention: ClassVar[str] = "causal"
    always_in_place: ClassVar[bool] = True
    from_last: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require_between("task.length", self.length, low=1, high=LONGEST - 1, unit=" tokens")
        require_between("task.symbols", self.symbols, low=2, high=MOST_SYMBOLS)

    @property
    def sequence_length(self) -> int:
        """The string and the sign."""
        return self.length + 1

    @property
    def num_symbols(self) -> int:
        """The symbols and the sign."""
        return self.symbols + 1

    @property
    def num_inputs(self) -> int:
        """Number of strings, symbols^length."""
        return int(self.symbols**self.length)

    def draw(self, key_P: Tensor, sequences: int) -> tuple[Tensor, Tensor]:
        """Draw uniformly random strings."""
        drawn = rng.integers(key_P, sequences * self.length, self.symbols)
        string = drawn.view(len(key_P), sequences, self.length)
        last = torch.full_like(string[..., :1], self.symbols)
        ignored = torch.full_like(last, IGNORE_INDEX)
        return torch.cat([string, last], -1), torch.cat([string, ignored], -1)

    def blind_loss(self) -> float:
        """Entropy ln(symbols): every symbol is equally likely at every position."""
        return math.log(self.symbols)
