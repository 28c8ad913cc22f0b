"""A task draws (source, target) pairs; how a model sees them depends on its attention.

With causal attention the model reads `source ⟂ target` and predicts each target token from
everything before it:

    reads     s1 s2 s3 ⟂  t1 t2
    scored          ·  ·  t1 t2 t3          (at the last three positions)

With bidirectional attention it maps source to target in place:

    reads     s1 s2 s3
    scored    t1 t2 t3

Both read the same sources. Either way the last positions are scored, one for each of a target. A
task whose answers would give each other away is read in place by both. A target of -1 is not
scored.
"""

import dataclasses
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from resformer.errors import require
from resformer.numerics import rng

LONGEST = 512
MOST_SYMBOLS = 4096
IGNORE_INDEX = -1
"""As a target."""


@dataclass(frozen=True)
class Task(ABC):
    """A task; a subclass is a frozen dataclass of what makes it hard, and final. Its target
    accuracy is in its YAML.
    """

    attention: ClassVar[str]
    """What `model.attention=own` means for this task."""
    always_in_place: ClassVar[bool] = False
    """Whether a causal model, too, answers where it reads."""

    @property
    @abstractmethod
    def positions(self) -> int:
        """How long a source is, and its target."""

    @property
    @abstractmethod
    def values(self) -> int:
        """Different tokens a source and a target can hold: 0 … values - 1."""

    @property
    @abstractmethod
    def sources(self) -> int:
        """How many different sources there are."""

    @abstractmethod
    def draw(self, state_P: Tensor, sequences: int) -> tuple[Tensor, Tensor]:
        """Sources and targets, each (P, sequences, positions) int64, from each member's stream."""

    @abstractmethod
    def blind_loss(self) -> float:
        """Cross-entropy, in nats per scored token, of the best predictor that sees positions
        only.
        """

    @property
    def vocabulary(self) -> int:
        """Number of token values: what a source can hold, and the separator ⟂, which is the last
        one.
        """
        return self.values + 1

    def said(self) -> str:
        """Its settings as a user types them."""
        return ", ".join(
            f"task.{field.name}={getattr(self, field.name)}" for field in dataclasses.fields(self)
        )

    def in_place(self, attention: str) -> bool:
        """Whether a model with this attention answers where it reads."""
        return self.always_in_place or attention == "bidirectional"

    def tokens(self, attention: str) -> int:
        """How many tokens a model reads."""
        return self.positions if self.in_place(attention) else 2 * self.positions

    def reads(self, source_PBS: Tensor, target_PBS: Tensor, attention: str) -> Tensor:
        """What a model reads, (P, B, T) int64; the answers are expected at its last `positions`
        positions.
        """
        if self.in_place(attention):
            return source_PBS
        separator = torch.full_like(source_PBS[..., :1], self.values)
        return torch.cat([source_PBS, separator, target_PBS[..., :-1]], dim=-1)


@dataclass(frozen=True)
class SequenceToSequence(Task):
    """A task whose source is any sequence of symbols, each as likely as the other, and its target a
    function of it.
    """

    length: int
    """Tokens of a source, and of its target."""
    symbols: int
    """Different tokens a source can hold: 0 … symbols - 1."""

    def __post_init__(self) -> None:
        require(
            1 <= self.length <= LONGEST,
            "task.length",
            self.length,
            f"must be from 1 to {LONGEST} tokens",
        )
        require(
            2 <= self.symbols <= MOST_SYMBOLS,
            "task.symbols",
            self.symbols,
            f"must be from 2 to {MOST_SYMBOLS}",
        )

    @property
    def positions(self) -> int:
        """As said."""
        return self.length

    @property
    def values(self) -> int:
        """As said."""
        return self.symbols

    @property
    def sources(self) -> int:
        """Every sequence."""
        found: int = self.symbols**self.length
        return found

    @abstractmethod
    def target(self, source: Tensor) -> Tensor:
        """The right answer to each source, (..., length) → (..., length)."""

    def draw(self, state_P: Tensor, sequences: int) -> tuple[Tensor, Tensor]:
        """Any sequences."""
        count = sequences * self.length
        source = rng.integers(state_P, count, self.symbols).view(
            len(state_P), sequences, self.length
        )
        return source, self.target(source)
