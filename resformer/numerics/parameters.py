"""Parameters of a member: their names and shapes, their initial values, and their places in one row
of `flat_PN`.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Self, final

import torch
from torch import Tensor

from resformer.numerics import rng

Role = Literal["embedding", "matrix", "vector", "gate", "last", "head", "head_bias"]
"""Place of a parameter in a model: its embeddings, the matrices of its blocks, their biases and
norms, what a residual scheme learns, the last norm, the head.
"""


Draw = Callable[[Tensor, str, tuple[int, ...]], Tensor]
"""Seeds (P,), name and shape of a parameter → its initial values (P, *shape), float64."""


@final
@dataclass(frozen=True, kw_only=True)
class Factors:
    """Factors on an optimiser's settings for some of the parameters."""

    lr: float = 1.0
    eps: float = 1.0
    weight_decay: float = 1.0

    def __mul__(self, other: Self) -> Self:
        return replace(
            self,
            lr=self.lr * other.lr,
            eps=self.eps * other.eps,
            weight_decay=self.weight_decay * other.weight_decay,
        )


@final
@dataclass(frozen=True, kw_only=True)
class ParameterSpec:
    """Name, shape and initial distribution of one parameter tensor of a member, and how an
    optimiser treats it.

    `scale` is the half-width of a `uniform` draw, the standard deviation of a `normal` one, the
    value of a `constant`, or the diagonal of an `identity`; a parameter of a `module` is drawn by
    its class, and other draws are functions. A matrix has shape (in, out).
    """

    name: str
    shape: tuple[int, ...]
    draw: Literal["uniform", "normal", "constant", "identity", "module"] | Draw
    scale: float
    role: Role = "gate"
    factors: Factors = Factors()

    @property
    def size(self) -> int:
        """Number of entries."""
        return math.prod(self.shape)

    def within(self, owner: str) -> Self:
        """Return the parameter under its full name, `owner.name`."""
        return replace(self, name=f"{owner}.{self.name}")


def xavier(name: str, fan_in: int, fan_out: int, gain: float = 1.0) -> ParameterSpec:
    """Matrix drawn uniformly in ± gain·√(6 / (in + out)) (Glorot & Bengio 2010, eq. 16)."""
    scale = gain * math.sqrt(6.0 / (fan_in + fan_out))
    return ParameterSpec(name=name, shape=(fan_in, fan_out), draw="uniform", scale=scale)


def normal(name: str, *shape: int, scale: float) -> ParameterSpec:
    """Normal draw with mean 0 and standard deviation `scale`."""
    return ParameterSpec(name=name, shape=shape, draw="normal", scale=scale)


def identity(name: str, *shape: int, scale: float = 1.0) -> ParameterSpec:
    """Matrix that starts as `scale` times the identity."""
    return ParameterSpec(name=name, shape=shape, draw="identity", scale=scale)


def constant(name: str, *shape: int, value: float) -> ParameterSpec:
    """Parameter whose entries all start at one value."""
    return ParameterSpec(name=name, shape=shape, draw="constant", scale=value)


def zeros(name: str, *shape: int) -> ParameterSpec:
    """Parameter that starts at 0, such as a bias."""
    return constant(name, *shape, value=0.0)


def ones(name: str, *shape: int) -> ParameterSpec:
    """Parameter that starts at 1, such as the gain of a norm."""
    return constant(name, *shape, value=1.0)


def initial_values(specs: Sequence[ParameterSpec], seed_P: Tensor, dtype: torch.dtype) -> Tensor:
    """Initial values `flat_PN` on the CPU.

    The unit draw of a parameter depends on the seed and its name only and is scaled afterwards, so
    that members of other schemes and depths start from the same draw wherever they share a
    parameter: comparisons are paired.
    """
    return torch.cat([_draw(spec, seed_P).to(dtype) for spec in specs], dim=1)


def _draw(spec: ParameterSpec, seed_P: Tensor) -> Tensor:
    key_P = rng.key(seed_P, f"weight {spec.name}")
    match spec.draw:
        case "uniform":
            return rng.uniform(key_P, spec.size) * spec.scale
        case "normal":
            return rng.normal(key_P, spec.size) * spec.scale
        case "constant":
            return torch.full((len(seed_P), spec.size), spec.scale, dtype=torch.float64)
        case "module":
            raise ValueError(f"{spec.name} is drawn by its class")
        case "identity":
            eye = torch.eye(*spec.shape, dtype=torch.float64) * spec.scale
            return eye.flatten().expand(len(seed_P), -1)
        case draw:
            return draw(seed_P, spec.name, spec.shape).flatten(1)


def unpack(specs: Sequence[ParameterSpec], flat_PN: Tensor) -> Mapping[str, Tensor]:
    """Parameters by name, each a view (P, *shape) of `flat_PN`; the backward of the split is one
    concatenation.
    """
    pieces = flat_PN.split_with_sizes([spec.size for spec in specs], dim=1)
    return {
        spec.name: piece.view(-1, *spec.shape) if len(spec.shape) != 1 else piece
        for spec, piece in zip(specs, pieces, strict=True)
    }
