"""Task: draws (source, target) pairs, which a model sees according to its attention.

With causal attention the model reads `source ⟂ target` and predicts each target token from
everything before it:

    inputs     s1 s2 s3 ⟂  t1 t2
    targets          ·  ·  t1 t2 t3         (at the last three positions)

With bidirectional attention it maps source to target in place:

    inputs     s1 s2 s3
    targets    t1 t2 t3

Both read the same sources. Either way the last positions have the targets. A task whose targets
would give each other away is read in place by both. A target of -1 (`IGNORE_INDEX`) does not count.
Tokens are symbols, or of a `Regression` vectors of real numbers.
"""

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor

from resformer.errors import require_between
from resformer.keys import ATTENTIONS, in_message
from resformer.numerics import rng

LONGEST = 512
MOST_SYMBOLS = 4096
IGNORE_INDEX = -1
"""Target that does not count in loss and accuracy."""


@dataclass(frozen=True)
class Task(ABC):
    """Task; a subclass is final, and a frozen dataclass of the settings that set its difficulty.
    Its target accuracy is in its YAML.
    """

    attention: ClassVar[str]
    """Attention that `model.attention=own` means for this task."""
    attentions: ClassVar[Sequence[str]] = ATTENTIONS
    """Attentions that do not give the targets away."""
    always_in_place: ClassVar[bool] = False
    """True if a causal model, too, maps source to target in place."""
    from_last: ClassVar[bool] = False
    """True if all targets are decoded from the output at the last token."""

    def resolved(self) -> Self:
        """The task with settings that tell its data apart filled in, such as the digest of a
        file.
        """
        return self

    @property
    @abstractmethod
    def sequence_length(self) -> int:
        """Number of tokens of a source; its target has as many."""

    @property
    @abstractmethod
    def num_symbols(self) -> int:
        """Number of different tokens in sources and targets: 0 … num_symbols - 1."""

    @property
    @abstractmethod
    def num_inputs(self) -> int:
        """Number of different sources."""

    @property
    def num_held_out(self) -> int | None:
        """Number of different sources that training never draws, some of which are the held-out
        set; None if that is drawn as training is.
        """
        return None

    @abstractmethod
    def draw(self, key_P: Tensor, sequences: int) -> tuple[Tensor, Tensor]:
        """Draw sources and targets, each (P, sequences, sequence_length) int64, by each member's
        key.
        """

    def draw_held_out(self, key_P: Tensor, sequences: int) -> tuple[Tensor, Tensor]:
        """Draw sources and targets of the held-out set, like `draw`; at most `num_held_out`."""
        return self.draw(key_P, sequences)

    @abstractmethod
    def blind_loss(self) -> float:
        """Cross-entropy, in nats per target, of the best predictor that sees positions only."""

    @property
    def vocabulary(self) -> int:
        """V: the symbols, and the separator ⟂, which is the last token."""
        return self.num_symbols + 1

    @property
    def numbers(self) -> int | None:
        """X, numbers of a token, where tokens are vectors of them; None where they are symbols."""
        return None

    @property
    def divergence_bound(self) -> float:
        """Loss, 2 · ln V, above which a member may have diverged."""
        return 2 * math.log(self.vocabulary)

    def settings_text(self) -> str:
        """Settings as a user types them."""
        return ", ".join(
            f"task.{field.name}={in_message(getattr(self, field.name))}"
            for field in dataclasses.fields(self)
        )

    def in_place(self, attention: str) -> bool:
        """Return True if a model with this attention maps source to target in place."""
        return self.always_in_place or attention == "bidirectional"

    def num_tokens(self, attention: str) -> int:
        """T: tokens that a model with this attention reads."""
        return self.sequence_length if self.in_place(attention) else 2 * self.sequence_length

    def inputs(self, source_PBU: Tensor, target_PBU: Tensor, attention: str) -> Tensor:
        """Inputs of a model, (P, B, T) int64; the targets belong to their last positions."""
        if self.in_place(attention):
            return source_PBU
        separator = torch.full_like(source_PBU[..., :1], self.num_symbols)
        return torch.cat([source_PBU, separator, target_PBU[..., :-1]], dim=-1)


@dataclass(frozen=True, kw_only=True)
class SequenceToSequence(Task):
    """Sequence-to-sequence task: the source is a uniformly random sequence of symbols, the target a
    function of it of the same length.
    """

    length: int
    """Tokens of a source, and of its target."""
    symbols: int
    """Number of different tokens: 0 … symbols - 1."""

    def __post_init__(self) -> None:
        require_between("task.length", self.length, low=1, high=LONGEST, unit=" tokens")
        require_between("task.symbols", self.symbols, low=2, high=MOST_SYMBOLS)

    @property
    def sequence_length(self) -> int:
        """The setting `length`."""
        return self.length

    @property
    def num_symbols(self) -> int:
        """The setting `symbols`."""
        return self.symbols

    @property
    def num_inputs(self) -> int:
        """Number of sequences, symbols^length."""
        return int(self.symbols**self.length)

    @abstractmethod
    def target(self, source: Tensor) -> Tensor:
        """Target of each source, (..., length) → (..., length)."""

    def draw(self, key_P: Tensor, sequences: int) -> tuple[Tensor, Tensor]:
        """Draw uniformly random sequences, and their targets."""
        symbols = rng.integers(key_P, sequences * self.length, self.symbols)
        source = symbols.view(len(key_P), sequences, self.length)
        return source, self.target(source)


@dataclass(frozen=True, kw_only=True)
class Regression(Task):
    """Task whose tokens are vectors of X real numbers and whose targets are one number each, scored
    by its squared error; a target of NaN does not count.

    Sources are (P, sequences, sequence_length, X) float32, targets (P, sequences, sequence_length)
    float32, and the blind loss is the targets' variance. What `accuracy` is of symbols is here the
    share of that variance which is explained, 1 - loss / blind loss: under 0 where the blind
    guess would be better.
    """

    always_in_place: ClassVar[bool] = True

    @property
    @abstractmethod
    def numbers(self) -> int:
        """X, numbers of a token."""

    @property
    def num_symbols(self) -> int:
        """Number of different tokens, 0: they are vectors."""
        return 0

    @property
    def vocabulary(self) -> int:
        """One output at each target: its number."""
        return 1

    @property
    def divergence_bound(self) -> float:
        """Twice the blind loss."""
        return 2 * self.blind_loss()
