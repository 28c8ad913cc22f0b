"""A task draws (source, target) pairs; how a model sees them depends on its attention.

With causal attention the model reads `source ⟂ target` and predicts each target token from everything before it:

    reads     s1 s2 s3 ⟂  t1 t2
    scored          ·  ·  t1 t2 t3          (at the last three positions)

With bidirectional attention it maps source to target in place:

    reads     s1 s2 s3
    scored    t1 t2 t3

Both read the same sources. Either way the last `length` positions are scored.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from resformer import streams
from resformer.errors import require

LONGEST = 512
MOST_SYMBOLS = 4096


@dataclass(frozen=True)
class Task(ABC):
    """A task; a subclass is a frozen dataclass, and final. Its target accuracy stands in its YAML."""

    length: int
    """Tokens of a source, and of its target."""
    symbols: int
    """Different tokens a source can hold: 0 … symbols - 1."""

    attention: ClassVar[str]
    """What `model.attention=own` means for this task."""

    def __post_init__(self) -> None:
        require(1 <= self.length <= LONGEST, "task.length", self.length, f"must be from 1 to {LONGEST} tokens")
        require(2 <= self.symbols <= MOST_SYMBOLS, "task.symbols", self.symbols, f"must be from 2 to {MOST_SYMBOLS}")

    @property
    def vocabulary(self) -> int:
        """Number of token values: the symbols and the separator ⟂, which is the last one."""
        return self.symbols + 1

    @abstractmethod
    def target(self, source: Tensor) -> Tensor:
        """The right answer to each source, (..., length) → (..., length)."""

    @abstractmethod
    def blind_loss(self) -> float:
        """Cross-entropy, in nats per token, of the best predictor that sees positions only."""

    def tokens(self, attention: str) -> int:
        """How many tokens a model reads."""
        return 2 * self.length if attention == "causal" else self.length

    def draw(self, state_P: Tensor, sequences: int) -> tuple[Tensor, Tensor]:
        """Sources and targets, each (P, sequences, length) int64, from each member's stream."""
        count = sequences * self.length
        source = streams.integers(state_P, count, self.symbols).view(len(state_P), sequences, self.length)
        return source, self.target(source)

    def reads(self, source_PBS: Tensor, target_PBS: Tensor, attention: str) -> Tensor:
        """What a model reads, (P, B, T) int64; the answers are expected at its last `length` positions."""
        if attention == "bidirectional":
            return source_PBS
        separator = torch.full_like(source_PBS[..., :1], self.symbols)
        return torch.cat([source_PBS, separator, target_PBS[..., :-1]], dim=-1)
