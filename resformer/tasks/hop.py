"""K-hop induction heads: the symbol after the last earlier occurrence, some times over."""

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
class Hop(Task):
    """The source is a number of hops k, then a word; the target at a symbol of the word is the
    symbol that k hops lead to from there. A hop goes to the last earlier occurrence of the symbol
    that it starts from, and one place on.

        inputs     4 0 1 0 2 1 2 0 1      two hops (4; symbols are 0 to 2) in 0 1 0 2 1 2 0 1
        targets    · · · · · 1 0 · 1      from the last 1: to the 2 after the 1 before it, then
                                          to the 1 after the 2 before that

    Sanford, Hsu & Telgarsky 2024, "Transformers, parallel computation, and logarithmic depth",
    arXiv 2402.09268, definition 4.1: find¹(i) = max({0} ∪ {j ≤ i : X_{j-1} = X_i}), find^k is find¹
    applied k times, and hop_k(X)_i is X at find^k(i), or none at 0. As in its appendix G.1, k is
    the first token and differs from sequence to sequence, each as likely, and no symbol of a word
    is the one before it; k is from 1 to `hops` here, without the paper's 0, which copies. Where
    hops lead to none there is no target: the paper trains on none, too, but does not count it,
    either.

    Chance is ln(symbols) nats, 1/symbols of the targets, of a predictor that sees positions only. A
    model that reads its own token only does better: the symbol that one hop leads to is never that
    at the start. With 32 symbols of 4 and 4 hops the answer is the symbol at the start for 0, 51,
    11 and 36 % of the targets of 1, 2, 3 and 4 hops. Targets of many hops are fewer, since hops
    lead to none at more places: 20 % are of 4. Depth ⌊log₂ k⌋ + 2 suffices (theorem 4.2), and grows
    with log k for all if a common conjecture holds (corollary 4.3). There, at 99 symbols of 4, k
    from 0 to 16, width 128, after 100,000 steps of 32 sequences: depth 6 learns every k, depth 5 k
    to 8, depth 4 k to 4, depth 3 k to 2 (within 1 %), depth 2 k = 1 (section 4.2, appendix G.2).
    What makes it hard: more hops, then more tokens. One hop leads from different places to
    different ones, and to none from the first occurrence of each symbol only, so that k hops exist
    at length - k × symbols places of a word at least: `length` has to be more than hops × symbols.
    Causal by itself, in place.

    The task `hops` is another: its pointers are a permutation of positions, and all are given.
    """

    length: int
    """Symbols of a word."""
    symbols: int
    """Number of different ones."""
    hops: int
    """Most hops."""

    attention: ClassVar[str] = "causal"
    always_in_place: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require_between("task.symbols", self.symbols, low=3, high=MOST_SYMBOLS)
        require_between("task.hops", self.hops, low=1, high=LONGEST)
        require(
            self.hops * self.symbols < self.length < LONGEST,
            "task.length",
            self.length,
            f"must be more than {self.hops * self.symbols}, task.hops × task.symbols, so that every"
            f" word has targets, and at most {LONGEST - 1} symbols",
        )

    @property
    def sequence_length(self) -> int:
        """One token for the number of hops, and the word."""
        return 1 + self.length

    @property
    def num_symbols(self) -> int:
        """Number of symbols, and of numbers of hops."""
        return self.symbols + self.hops

    @property
    def num_inputs(self) -> int:
        """Numbers of hops, times words without a symbol twice in a row."""
        return int(self.hops * self.symbols * (self.symbols - 1) ** (self.length - 1))

    def draw(self, key_P: Tensor, sequences: int) -> tuple[Tensor, Tensor]:
        """Draw numbers of hops, and words of which each symbol is any but that before it."""
        numbers_P, first_P, steps_P = (rng.key(key_P, part) for part in ("hops", "first", "steps"))
        hops = rng.integers(numbers_P, sequences, self.hops).unsqueeze(-1) + 1
        first = rng.integers(first_P, sequences, self.symbols).unsqueeze(-1)
        steps = rng.integers(steps_P, sequences * (self.length - 1), self.symbols - 1) + 1
        steps = steps.view(len(key_P), sequences, -1)
        word = torch.cat([first, steps], -1).cumsum(-1) % self.symbols
        targets = _after(word, hops, self.hops)
        nothing = torch.full_like(hops, IGNORE_INDEX)
        source = torch.cat([hops + self.symbols - 1, word], -1)
        return source, torch.cat([nothing, targets], -1)

    def blind_loss(self) -> float:
        """Entropy ln(symbols): the symbols of a word can be renamed at will."""
        return math.log(self.symbols)


def _after(word: Tensor, hops: Tensor, most: int) -> Tensor:
    """Symbol that hops, (..., 1) from 1 to `most`, lead to from each place of a word, (..., N) →
    (..., N); IGNORE_INDEX for none.
    """
    hop = _hop(word)
    place = hop[..., :-1]
    for number in range(2, most + 1):
        place = torch.where(hops < number, place, hop.gather(-1, place))
    nothing = torch.full_like(hops, IGNORE_INDEX)
    return torch.cat([word, nothing], -1).gather(-1, place)


def _hop(word: Tensor) -> Tensor:
    """Place that one hop leads to from each place of a word, (..., N) → (..., N + 1): N is none,
    and leads to itself.
    """
    length = word.shape[-1]
    order = word.argsort(dim=-1, stable=True)  # the places of each symbol, one after another
    ordered = word.gather(-1, order)
    again = ordered[..., 1:] == ordered[..., :-1]
    before = torch.where(again, order[..., :-1] + 1, length)
    nowhere = torch.full_like(word[..., :1], length)
    hop = torch.empty_like(word).scatter_(-1, order, torch.cat([nowhere, before], -1))
    return torch.cat([hop, nowhere], -1)
