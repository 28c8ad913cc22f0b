"""In-context linear regression: the value of a linear function at points, from those before."""

import math
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from resformer.errors import require_between
from resformer.numerics import rng
from resformer.tasks.base import LONGEST, Regression

_MOST_DIMENSIONS = 64
_VALUES = 12 * 0xFFFF + 1
"""Different values of a coordinate."""


@final
@dataclass(frozen=True, kw_only=True)
class Regress(Regression):
    """The source is points x_i of d dimensions and the values y_i = w·x_i there, in turn; the
    target at each point its value. Each sequence has weights w of its own.

        inputs     x_1 y_1 x_2 y_2 x_3          three points; a token has d + 1 numbers: x_i and 0,
        targets    y_1  ·  y_2  ·  y_3          or d times 0 and y_i

    Garg et al. 2022, "What can transformers learn in-context?", arXiv 2208.01066, sections 2 and 3:
    x_i and w are standard normal, the loss is the mean of the squared errors at all points. There
    y_i takes the place of the first coordinate of an x_i; here it has one of its own, and normal
    numbers are sums of twelve uniform ones (`rng.nearly_normal`), the same on every device. A blind
    guess is 0, its loss the variance d. Nothing does better than least squares, whose loss at point
    i is d + 1 - i, and 0 from point d + 1 on: at best a share 1 - (d + 1) / (2 · points) of the
    variance is explained, with as many points as dimensions or more. A graded score: more blocks
    are more steps of a solver. What makes it hard: the dimensions. Garg et al. train 12 blocks of
    width 256 for 500,000 steps of 64 sequences on d = 20 and 41 points, from d = 5 and 11 on (the
    authors' code), after which the loss is close to that of least squares. Causal only.
    """

    dimensions: int
    """d."""
    points: int
    """Points, and values to predict."""

    attention: ClassVar[str] = "causal"
    attentions: ClassVar[tuple[str, ...]] = ("causal",)

    def __post_init__(self) -> None:
        require_between("task.dimensions", self.dimensions, low=1, high=_MOST_DIMENSIONS)
        require_between("task.points", self.points, low=1, high=(LONGEST + 1) // 2)

    @property
    def sequence_length(self) -> int:
        """Points, with values between them."""
        return 2 * self.points - 1

    @property
    def numbers(self) -> int:
        """A number per dimension, and the value."""
        return self.dimensions + 1

    @property
    def num_inputs(self) -> int:
        """Number of points and weights."""
        return int(_VALUES ** (self.dimensions * (self.points + 1)))

    def draw(self, key_P: Tensor, sequences: int) -> tuple[Tensor, Tensor]:
        """Draw points and weights, each by a key of its own."""
        members, points, dimensions = len(key_P), self.points, self.dimensions
        x = rng.nearly_normal(rng.key(key_P, "points"), sequences * points * dimensions)
        w = rng.nearly_normal(rng.key(key_P, "weights"), sequences * dimensions)
        x, w = x.view(members, sequences, points, -1), w.view(members, sequences, 1, -1)
        value = sum(map(torch.mul, x.unbind(-1), w.unbind(-1)), torch.zeros_like(x[..., 0]))
        source = x.new_zeros(members, sequences, points, 2, dimensions + 1)
        source[..., 0, :dimensions] = x
        source[..., 1, dimensions] = value
        target = torch.stack([value, torch.full_like(value, math.nan)], -1)
        return source.flatten(2, 3)[..., :-1, :].float(), target.flatten(2)[..., :-1].float()

    def blind_loss(self) -> float:
        """Variance d of the values."""
        return float(self.dimensions)
