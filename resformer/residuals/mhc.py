"""Manifold-constrained hyper-connections: streams are mixed by a doubly stochastic matrix."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from resformer.errors import require
from resformer.numerics.parameters import ParameterSpec, zeros
from resformer.residuals.base import Norm, Place, Residual, Stack, Streams, sigmoid

_ROUNDS = 20
_EPSILON = 1e-6
_READ, _APART = 1.0, -8.0


@final
@dataclass(frozen=True)
class Mhc(Residual[Streams]):
    """n = `streams` streams H; F reads Σ_j a_j·H_j, and H_k' = Σ_j M_kj·H_j + b_k·F, per sub-layer
    and token.

    Xie et al. 2025, arXiv 2512.24880, section 4: with u the n streams of a token end to end,
    divided by their root mean square, a = σ(s·u·φ_a + c_a), b = 2σ(t·u·φ_b + c_b), and M =
    exp(r·u·φ_M + c_M) made doubly stochastic by 20 rounds of Sinkhorn and Knopp, columns first. The
    stack opens with n copies of the embedding and closes with their sum and the last norm. Learned:
    all φ, c, s, t, r. Initial values: s = t = r = `dynamic` = 0.01 (table 5). The paper gives none
    for φ and c; here φ = 0, c_b = 0 (so that b = 1), c_M = 0 on the diagonal and -8 off it, c_a = 1
    for stream i mod n and -1 for the others, since streams that are treated alike would stay equal
    for ever: pre-norm, but for scales that norms take out. Norm: pre.
    """

    streams: int
    dynamic: float

    own_norm: ClassVar[str] = "pre"
    norms: ClassVar[tuple[str, ...]] = ("pre",)

    def __post_init__(self) -> None:
        # With one stream, products with φ would be ones of vectors, whose bits depend on the size
        # of the stack.
        require(
            2 <= self.streams <= 16, "model.residual.streams", self.streams, "must be from 2 to 16"
        )
        require(
            abs(self.dynamic) <= 10,
            "model.residual.dynamic",
            self.dynamic,
            "must be a number from -10 to 10",
        )

    def weights(self, stack: Stack) -> list[ParameterSpec]:
        """c, φ (a, b and the rows of M side by side) and s, t, r of every sub-layer."""
        n, found = self.streams, list[ParameterSpec]()
        for i in range(1, stack.sublayers + 1):
            name = _mhc(i)
            found += [
                ParameterSpec(f"{name}.read{j}", (1,), "constant", _READ if j == i % n else -_READ)
                for j in range(n)
            ]
            found += [
                zeros(f"{name}.write", n),
                ParameterSpec(f"{name}.mix", (n, n), "identity", -_APART),
                zeros(f"{name}.dynamic", n * stack.width, 2 * n + n * n),
                *(
                    ParameterSpec(f"{name}.scale_{of}", (1,), "constant", self.dynamic)
                    for of in ("read", "write", "mix")
                ),
            ]
        return found

    def flops_per_row(self, stack: Stack) -> int:
        """Of the products with φ."""
        n = self.streams
        return stack.sublayers * 2 * n * stack.width * (2 * n + n * n)

    def open(self, x_PRD: Tensor) -> Streams:
        """The embedding in each stream."""
        return (x_PRD,) * self.streams

    def read(self, carried: Streams, place: Place) -> Tensor:
        """The weighted sum."""
        static = [place.weights[f"{_mhc(place.sublayer)}.read{j}"] for j in range(self.streams)]
        logits_PRn = torch.cat(static, 1).unsqueeze(1) + self._dynamic(carried, place, "read")
        return _weighted(sigmoid(logits_PRn), carried)

    def write(self, carried: Streams, f_PRD: Tensor, place: Place) -> Streams:
        """The streams mixed, and the branch in each."""
        name, n = _mhc(place.sublayer), self.streams
        logits_PRn = place.broadcast(f"{name}.write") + self._dynamic(carried, place, "write")
        b_PRn = 2 * sigmoid(logits_PRn)
        static_Pnn, dynamic_PRN = (
            place.weights[f"{name}.mix"] + _APART,
            self._dynamic(carried, place, "mix"),
        )
        M_PRnn = doubly_stochastic(
            static_Pnn.unsqueeze(1) + dynamic_PRN.view(*dynamic_PRN.shape[:2], n, n)
        )
        return tuple(
            _weighted(M_PRnn[..., k, :], carried) + b_PRn[..., k : k + 1] * f_PRD for k in range(n)
        )

    def outer(self, carried: Streams, norm: Norm, place: Place) -> Streams:
        """Of every stream; no placement that it allows has one."""
        return tuple(map(norm, carried))

    def end(self, carried: Streams, weights: Mapping[str, Tensor]) -> Tensor:
        """The mean of the streams."""
        return functools.reduce(torch.add, carried) / self.streams

    def close(self, carried: Streams, last: Norm, weights: Mapping[str, Tensor]) -> Tensor:
        """The norm of the sum."""
        return last(functools.reduce(torch.add, carried))

    def _dynamic(self, carried: Streams, place: Place, of: str) -> Tensor:
        """What depends on the token of these logits, (P, R, n or n·n)."""
        n, name = self.streams, _mhc(place.sublayer)
        u_PRN = torch.cat(carried, -1)
        u_PRN = u_PRN * (u_PRN.square().mean(-1, keepdim=True) + _EPSILON).rsqrt()
        columns = {"read": slice(0, n), "write": slice(n, 2 * n), "mix": slice(2 * n, None)}[of]
        return torch.bmm(u_PRN, place.weights[f"{name}.dynamic"][..., columns]) * place.broadcast(
            f"{name}.scale_{of}"
        )


def doubly_stochastic(logits: Tensor) -> Tensor:
    """exp(logits) (..., n, n), columns and rows scaled to sums of 1 in turn (Sinkhorn & Knopp
    1967), 20 times.
    """
    found = logits.exp()
    for _ in range(_ROUNDS):
        found = found / found.sum(-2, keepdim=True)
        found = found / found.sum(-1, keepdim=True)
    return found


def _weighted(weights_PRn: Tensor, streams: Streams) -> Tensor:
    """Their weighted sum."""
    found = weights_PRn[..., :1] * streams[0]
    for j, x_PRD in enumerate(streams[1:], 1):
        found = found + weights_PRn[..., j : j + 1] * x_PRD
    return found


def _mhc(sublayer: int) -> str:
    return f"sublayer{sublayer}.mhc"
