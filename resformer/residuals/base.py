"""The seam between the model and a residual scheme.

One sub-layer update, i = 1 … 2·depth, `F` attention for odd i and the FFN for even i:

    h = N_in(read(carried))        f = N_branch(F(h))        carried' = N_out(write(carried, f))

Which of the three norms stand is the norm placement, which the scheme may restrict.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Generic, Literal, TypeVar

import torch
from torch import Tensor

from resformer.numerics.parameters import ParameterSpec

Group = Literal["embedding", "query", "key", "value", "output", "ffn_in", "ffn_out"]
Norm = Callable[[Tensor], Tensor]
Streams = tuple[Tensor, ...]
Carried = TypeVar("Carried", Tensor, Streams)

LAST_NORM = ("pre", "sandwich", "branch")
"""Placements that leave the stream un-normalised: a last norm stands behind the stack."""


@dataclass(frozen=True)
class Stack:
    """What a scheme may ask about the whole stack."""

    depth: int
    """L, blocks."""
    width: int
    """D."""
    heads: int
    """H."""
    causal: bool
    """Whether a token attends to earlier ones only."""

    @property
    def sublayers(self) -> int:
        """S = 2·L."""
        return 2 * self.depth


@dataclass(frozen=True)
class Place:
    """Where in the stack a sub-layer stands, and the members' weights there."""

    sublayer: int
    """i, from 1 to S."""
    stack: Stack
    weights: Mapping[str, Tensor]
    """All weights of the members by name, each (P, *shape)."""
    draw_P: Tensor | None = None
    """In training, for a scheme that is `random`: uniform in [0, 1), new in every step. None in an
    evaluation.
    """

    @property
    def block(self) -> int:
        """l, from 1 to L."""
        return (self.sublayer + 1) // 2

    @property
    def attends(self) -> bool:
        """Whether this sub-layer is attention, and not the FFN."""
        return self.sublayer % 2 == 1

    def broadcast(self, name: str) -> Tensor:
        """A weight of shape (1,) or (D,) as (P, 1, 1 or D), to go with x_PRD."""
        return self.weights[name].unsqueeze(1)


class Residual(ABC, Generic[Carried]):
    """A residual scheme; a subclass is a frozen dataclass of the scheme's own settings, and final.

    What is carried is a tensor or a tuple of tensors, whose last axes are (P, R, D), R = B·T rows,
    one per token of the member's batch. Every row is treated alike and by itself.
    """

    own_norm: ClassVar[str]
    """What `model.norm=own` means for this scheme; `own` where the placement differs from sub-layer
    to sub-layer.
    """
    norms: ClassVar[Sequence[str]]
    """The norm placements it allows."""
    skips: ClassVar[bool] = False
    """Whether the skips of single sub-layers can be dropped (`model.skip`): where all there is to
    them is a sum.
    """
    random: ClassVar[bool] = False
    """Whether it wants random numbers in training."""
    shapes_attention: ClassVar[bool] = False
    """Whether it changes what attention mixes, or how: `values` and `mix`."""

    def weights(self, stack: Stack) -> list[ParameterSpec]:
        """The scheme's own learned weights for the whole stack; none by default."""
        return []

    def gain(self, group: Group, stack: Stack) -> float:
        """What the initial draw of a weight group is multiplied with; 1 by default."""
        return 1.0

    def identity(self, group: Group, block: int) -> bool:
        """Whether the matrix of this group starts as the identity, and not from its draw; by
        default it does not.
        """
        return False

    def placement(self, norm: str, sublayer: int, stack: Stack) -> str:
        """Where the norms of a sub-layer stand; by default the same everywhere."""
        return norm

    def last_norm(self, norm: str, stack: Stack) -> bool:
        """Whether a norm stands behind the stack: by default where the stream leaves it
        un-normalised.
        """
        return self.placement(norm, stack.sublayers, stack) in LAST_NORM

    def flops_per_row(self, stack: Stack) -> int:
        """Floating-point operations in matrix products that the scheme itself adds to the forward
        pass of a token.
        """
        return 0

    @abstractmethod
    def open(self, x_PRD: Tensor) -> Carried:
        """Embedding → carried."""

    @abstractmethod
    def read(self, carried: Carried, place: Place) -> Tensor:
        """Carried → the sub-layer's input x_PRD, before its norm."""

    def enter(self, h_PRD: Tensor, place: Place) -> Tensor:
        """The sub-layer's input behind its norm, as F takes it; unchanged by default."""
        return h_PRD

    def values(self, carried: Carried, v_PRD: Tensor, place: Place) -> tuple[Carried, Tensor]:
        """What is carried, and the values that attention mixes, if the scheme shapes attention;
        both unchanged.
        """
        return carried, v_PRD

    def mix(self, a_PBHTT: Tensor, place: Place) -> Tensor:
        """The weights that attention mixes its values with, if the scheme shapes attention;
        unchanged by default.

        A weight that a causal model may not have is zero.
        """
        return a_PBHTT

    @abstractmethod
    def write(self, carried: Carried, f_PRD: Tensor, place: Place) -> Carried:
        """Carried and the sub-layer's output → carried', before the outer norm."""

    @abstractmethod
    def outer(self, carried: Carried, norm: Norm, place: Place) -> Carried:
        """What is carried after the outer norm, where one stands."""

    @abstractmethod
    def end(self, carried: Carried, weights: Mapping[str, Tensor]) -> Tensor:
        """What one more sub-layer would read, x_PRD: for who looks on, the stream behind the last
        one.
        """

    @abstractmethod
    def close(self, carried: Carried, last: Norm, weights: Mapping[str, Tensor]) -> Tensor:
        """Carried → the output of the stack x_PRD. `last` is the last norm, or changes nothing
        where none stands.
        """


class OneStream(Residual[Tensor]):
    """A scheme that carries one stream x_PRD and reads all of it."""

    def open(self, x_PRD: Tensor) -> Tensor:
        """The embedding."""
        return x_PRD

    def read(self, carried: Tensor, place: Place) -> Tensor:
        """The stream."""
        return carried

    def outer(self, carried: Tensor, norm: Norm, place: Place) -> Tensor:
        """The norm of the stream."""
        return norm(carried)

    def end(self, carried: Tensor, weights: Mapping[str, Tensor]) -> Tensor:
        """The stream."""
        return carried

    def close(self, carried: Tensor, last: Norm, weights: Mapping[str, Tensor]) -> Tensor:
        """The stream behind the last norm."""
        return last(carried)


def sigmoid(x: Tensor) -> Tensor:
    """1 / (1 + exp(-x)) to the rounding of 1 (in float32 it is 0 under -17), with bits that do not
    depend on place.

    `torch.sigmoid` computes the last few elements of a tensor on the CPU apart, by another exp:
    which elements of a member those are would depend on P.
    """
    return torch.tanh(x / 2) / 2 + 0.5
