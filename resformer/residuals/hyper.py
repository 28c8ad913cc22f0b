"""Hyper-connections: several streams, and learned weights for what is read, mixed and written."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, final

import torch
import torch.nn.functional as nnf
from torch import Tensor

from resformer.errors import require
from resformer.numerics.parameters import ParameterSpec, zeros
from resformer.residuals.base import Norm, Place, Residual, Stack, Streams


@final
@dataclass(frozen=True)
class Hyper(Residual[Streams]):
    """n = `streams` streams H; F reads Σ_j a_j·H_j, and H_k' = Σ_j A_jk·H_j + b_k·F, per sub-layer
    and token.

    Zhu et al. 2025, arXiv 2409.19606, eq. 2 to 14. Every weight has a static part and one that
    depends on the token: a_j + s·tanh(N(H_j)·w_a), A_jk + s·tanh(N(H_j)·W_k), b_j +
    t·tanh(N(H_j)·w_b), N a layer norm without gain. The stack opens with n copies of the embedding
    and closes with their sum and the last norm. Learned: all of it. Initial values: b = 1, A = I, a
    the unit vector of stream i mod n, w and W 0, s = t = `dynamic` = 0.01: pre-norm, but for the
    scale of the sum. The paper also rescales output matrices by √n, of which the text leaves the
    direction open: not done here. Norm: pre.
    """

    streams: int
    dynamic: float

    own_norm: ClassVar[str] = "pre"
    norms: ClassVar[tuple[str, ...]] = ("pre",)

    def __post_init__(self) -> None:
        require(
            1 <= self.streams <= 16, "model.residual.streams", self.streams, "must be from 1 to 16"
        )
        require(
            abs(self.dynamic) <= 10,
            "model.residual.dynamic",
            self.dynamic,
            "must be a number from -10 to 10",
        )

    def weights(self, stack: Stack) -> list[ParameterSpec]:
        """Static weights, the matrices of the dynamic ones side by side (a, b, A), and s and t, of
        every sub-layer.
        """
        n, found = self.streams, list[ParameterSpec]()
        for i in range(1, stack.sublayers + 1):
            name = _hyper(i)
            found += [
                ParameterSpec(f"{name}.read{j}", (1,), "constant", float(j == i % n))
                for j in range(n)
            ]
            found += [
                ParameterSpec(f"{name}.mix", (n, n), "identity", 1.0),
                ParameterSpec(f"{name}.write", (n,), "constant", 1.0),
                zeros(f"{name}.dynamic", stack.width, n + 2),
                ParameterSpec(f"{name}.scale_read_and_mix", (1,), "constant", self.dynamic),
                ParameterSpec(f"{name}.scale_write", (1,), "constant", self.dynamic),
            ]
        return found

    def flops_per_row(self, stack: Stack) -> int:
        """Of the dynamic weights, which are computed once to read and once to write."""
        return 2 * stack.sublayers * self.streams * 2 * stack.width * (self.streams + 2)

    def open(self, x_PRD: Tensor) -> Streams:
        """The embedding in each stream."""
        return (x_PRD,) * self.streams

    def read(self, carried: Streams, place: Place) -> Tensor:
        """The weighted sum."""
        name, scale_P11 = _hyper(place.sublayer), _scale(place, "read_and_mix")
        weighted = [
            (place.broadcast(f"{name}.read{j}") + scale_P11 * dynamic_PRm[..., :1]) * carried[j]
            for j, dynamic_PRm in enumerate(self._dynamic(carried, place))
        ]
        return _total(weighted)

    def write(self, carried: Streams, f_PRD: Tensor, place: Place) -> Streams:
        """The streams mixed, and the branch in each."""
        name, dynamic = _hyper(place.sublayer), self._dynamic(carried, place)
        scale_P11, mix_Pnn, write_P1n = (
            _scale(place, "read_and_mix"),
            place.weights[f"{name}.mix"],
            place.broadcast(f"{name}.write"),
        )
        written = []
        for k in range(self.streams):
            b_PR1 = write_P1n[..., k : k + 1] + _scale(place, "write") * dynamic[k][..., 1:2]
            mixed = [
                (mix_Pnn[:, j, k].view(-1, 1, 1) + scale_P11 * dynamic_PRm[..., k + 2 : k + 3])
                * carried[j]
                for j, dynamic_PRm in enumerate(dynamic)
            ]
            written.append(_total([*mixed, b_PR1 * f_PRD]))
        return tuple(written)

    def outer(self, carried: Streams, norm: Norm, place: Place) -> Streams:
        """Of every stream; no placement that it allows has one."""
        return tuple(map(norm, carried))

    def end(self, carried: Streams, weights: Mapping[str, Tensor]) -> Tensor:
        """The mean of the streams."""
        return _total(carried) / self.streams

    def close(self, carried: Streams, last: Norm, weights: Mapping[str, Tensor]) -> Tensor:
        """The norm of the sum."""
        return last(_total(carried))

    def _dynamic(self, carried: Streams, place: Place) -> list[Tensor]:
        """Tanh of the products of each stream, (P, R, 2 + n) each: for a, for b, and for its row of
        A.
        """
        products_PDm = place.weights[f"{_hyper(place.sublayer)}.dynamic"]
        return [
            torch.bmm(nnf.layer_norm(x_PRD, x_PRD.shape[-1:]), products_PDm).tanh()
            for x_PRD in carried
        ]


def _scale(place: Place, of: str) -> Tensor:
    return place.broadcast(f"{_hyper(place.sublayer)}.scale_{of}")


def _total(parts: Sequence[Tensor]) -> Tensor:
    return functools.reduce(torch.add, parts)


def _hyper(sublayer: int) -> str:
    return f"sublayer{sublayer}.hyper"
