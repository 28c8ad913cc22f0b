"""Derived randomness: every number is a pure function of (seed, purpose, indices, position), never
of what ran before.

The generator is SplitMix64 (Steele, Lea & Flood 2014, "Fast splittable pseudorandom number
generators", OOPSLA), written in wrapping int64 arithmetic, so that it is vectorised over members
and equal on CPU and GPU. The seed, the purpose and the indices are hashed into its starting state
one after another; the position is its counter.
"""

import hashlib
import math

import torch
from torch import Tensor


def _signed(value: int) -> int:
    """Int64 with the same 64 bits."""
    return value - (1 << 64) if value >= 1 << 63 else value


_GOLDEN = _signed(0x9E3779B97F4A7C15)
_FIRST = _signed(0xBF58476D1CE4E5B9)
_SECOND = _signed(0x94D049BB133111EB)


def _shift(z: Tensor, by: int) -> Tensor:
    """Logical right shift; torch's `>>` on int64 copies the sign bit."""
    return (z >> by) & ((1 << (64 - by)) - 1)


def _mix(z: Tensor) -> Tensor:
    """SplitMix64's finaliser, a bijection of int64."""
    z = (z ^ _shift(z, 30)) * _FIRST
    z = (z ^ _shift(z, 27)) * _SECOND
    return z ^ _shift(z, 31)


def split_mix(state: Tensor, count: int) -> Tensor:
    """First `count` outputs of SplitMix64 started at each state: (P,) int64 → (P, count) int64."""
    counter = torch.arange(1, count + 1, device=state.device)
    return _mix(state.unsqueeze(1) + counter * _GOLDEN)


def key(seed_P: Tensor, purpose: str, *index: int | Tensor) -> Tensor:
    """Key of each member, (P,) int64: a hash of its seed, the purpose and the indices, from which
    the generator starts.

    An index may be a tensor of several, which broadcasts against (P,).
    """
    name = int.from_bytes(hashlib.sha256(purpose.encode()).digest()[:8], "little", signed=True)
    key_P = _mix(_mix(seed_P + _GOLDEN) ^ name)
    for value in index:
        key_P = _mix(key_P + _GOLDEN + value)
    return key_P


def integers(key_P: Tensor, count: int, below: int) -> Tensor:
    """Whole numbers in [0, below), (P, count) int64. The bias against any value is under `below` /
    2^40.
    """
    return (_shift(split_mix(key_P, count), 24) * below) >> 40


def permutations(key_P: Tensor, count: int, of: int) -> Tensor:
    """Permutations of 0 … of - 1, each as likely as the other, (P, count, of) int64: the order of
    random numbers.
    """
    return split_mix(key_P, count * of).view(len(key_P), count, of).argsort(dim=-1, stable=True)


def uniform(key_P: Tensor, count: int) -> Tensor:
    """Uniform in (-1, 1), (P, count) float64: the midpoints of 2^52 equal cells."""
    cell = _shift(split_mix(key_P, count), 12).to(torch.float64)
    return (cell + 0.5) * 2.0**-51 - 1.0


def chances(key_P: Tensor, count: int, probability: float) -> Tensor:
    """True with this probability, to 2^-40, (P, count) bool."""
    return _shift(split_mix(key_P, count), 24) < round(probability * 2**40)


def nearly_normal(key_P: Tensor, count: int) -> Tensor:
    """Numbers with mean 0 and variance 1, (P, count) float64, equal on every device: sums of twelve
    uniform ones of 16 bits each. They lie between -6 and 6, and their distribution function is
    within 0.0025 of the normal one.
    """
    pieces = split_mix(key_P, 3 * count).view(len(key_P), count, 3)
    sums = sum((_shift(pieces, 16 * place) & 0xFFFF).sum(-1) for place in range(1, 4))
    total = sums + (pieces & 0xFFFF).sum(-1)
    return (total - 6 * 0xFFFF) * 2.0**-16


def normal(key_P: Tensor, count: int) -> Tensor:
    """Standard normal, (P, count) float64, by Box and Muller's transform.

    Its logarithm and cosine differ in the last place between devices: draw on the CPU, then move.
    """
    pairs = split_mix(key_P, 2 * count)
    open_unit = (_shift(pairs[:, :count], 12).to(torch.float64) + 0.5) * 2.0**-52
    turn = _shift(pairs[:, count:], 12).to(torch.float64) * 2.0**-52
    return torch.sqrt(-2.0 * torch.log(open_unit)) * torch.cos(2.0 * math.pi * turn)
