"""What a member consists of: named weights, their initial values, and their places in one row of
`flat_PN`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from resformer.numerics import rng


@dataclass(frozen=True)
class ParameterSpec:
    """One tensor of a member.

    `scale` is the half-width of a `uniform` draw, the standard deviation of a `normal` one, the
    value of a `constant`, or the diagonal of an `identity`. A matrix has shape (in, out).
    """

    name: str
    shape: tuple[int, ...]
    draw: Literal["uniform", "normal", "constant", "identity"]
    scale: float

    @property
    def size(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)


def xavier(name: str, fan_in: int, fan_out: int, gain: float = 1.0) -> ParameterSpec:
    """A matrix drawn uniformly in ± gain·√(6 / (in + out)) (Glorot & Bengio 2010, eq. 16)."""
    return ParameterSpec(
        name, (fan_in, fan_out), "uniform", gain * math.sqrt(6.0 / (fan_in + fan_out))
    )


def identity(matrix: ParameterSpec) -> ParameterSpec:
    """The same matrix, starting as the identity."""
    return ParameterSpec(matrix.name, matrix.shape, "identity", 1.0)


def zeros(name: str, *shape: int) -> ParameterSpec:
    """A bias."""
    return ParameterSpec(name, shape, "constant", 0.0)


def ones(name: str, *shape: int) -> ParameterSpec:
    """The gain of a norm."""
    return ParameterSpec(name, shape, "constant", 1.0)


def initial_values(weights: Sequence[ParameterSpec], seed_P: Tensor, dtype: torch.dtype) -> Tensor:
    """Initial values `flat_PN` on the CPU.

    A weight's unit draw depends on the seed and its name only and is scaled afterwards, so that
    members of other schemes and depths start from the same draw wherever they share a weight:
    comparisons are paired.
    """
    return torch.cat([_draw(weight, seed_P).to(dtype) for weight in weights], dim=1)


def _draw(weight: ParameterSpec, seed_P: Tensor) -> Tensor:
    state_P = rng.key(seed_P, f"weight {weight.name}")
    match weight.draw:
        case "uniform":
            return rng.uniform(state_P, weight.size) * weight.scale
        case "normal":
            return rng.normal(state_P, weight.size) * weight.scale
        case "constant":
            return torch.full((len(seed_P), weight.size), weight.scale, dtype=torch.float64)
        case "identity":
            return (
                (torch.eye(*weight.shape, dtype=torch.float64) * weight.scale)
                .flatten()
                .expand(len(seed_P), -1)
            )


def unpack(weights: Sequence[ParameterSpec], flat_PN: Tensor) -> Mapping[str, Tensor]:
    """Each weight by name, a view (P, *shape) of `flat_PN`; the backward of the split is one
    concatenation.
    """
    pieces = flat_PN.split_with_sizes([weight.size for weight in weights], dim=1)
    return {
        weight.name: piece.view(-1, *weight.shape) if len(weight.shape) != 1 else piece
        for weight, piece in zip(weights, pieces, strict=True)
    }
