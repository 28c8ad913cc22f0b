"""Kernels of a library as a backend, whose operations torch can differentiate."""

import ctypes
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, final

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from resformer.numerics.backends.base import (
    AdamWSettings,
    AttentionSettings,
    AttentionWeights,
    FfnWeights,
    NormWeights,
)
from resformer.numerics.backends.eager import LAYER_EPSILON, RMS_EPSILON, rotation

ACTIVATIONS = {"relu": 0, "gelu": 1, "silu": 2, "relu2": 3, "swiglu": 2, "geglu": 1}
"""Numbers that the kernels have for activations."""
NORM_EPSILON = {"layer": LAYER_EPSILON, "rms": RMS_EPSILON}
"""Summand of the variance by kind of norm."""
_Weight = Tensor | None
"""Weight of a layer; None where the model does not have it."""


@final
@dataclass(frozen=True)
class Kernels:
    """Backend in the kernels of a library. Norms that `NORM_EPSILON` lacks are none of theirs."""

    library: ctypes.CDLL

    def attend(
        self, x_PRD: Tensor, weights: AttentionWeights, settings: AttentionSettings
    ) -> Tensor:
        """Multi-head attention; the backward pass computes it again."""
        layers = (weights.query, weights.key, weights.value, weights.output)
        tensors = (*chain.from_iterable(layers), weights.query_gain_PK, weights.key_gain_PK)
        y_PRD: Tensor = _Attend.apply(self.library, x_PRD.contiguous(), settings, *tensors)  # type: ignore[no-untyped-call]
        return y_PRD

    def ffn(self, x_PRD: Tensor, weights: FfnWeights, activation: str) -> Tensor:
        """FFN; the backward pass computes the hidden layer again."""
        layers = (weights.ffn_in, weights.ffn_out, weights.gate or (None, None))
        tensors, kind = chain.from_iterable(layers), ACTIVATIONS[activation]
        y_PRD: Tensor = _Ffn.apply(self.library, x_PRD.contiguous(), kind, *tensors)  # type: ignore[no-untyped-call]
        return y_PRD

    def norm(self, x_PRD: Tensor, weights: NormWeights, kind: str) -> Tensor:
        """Norm of a kind over D."""
        y_PRD: Tensor = _Norm.apply(self.library, x_PRD.contiguous(), kind, *weights[:2])  # type: ignore[no-untyped-call]
        return y_PRD

    def clip(self, grad_PN: Tensor, most: float | None) -> Tensor:
        """Clip each member's gradient, in place; returns the norms before, (P,)."""
        assert grad_PN.is_contiguous()
        norm_P = grad_PN.new_empty(len(grad_PN))
        limit = math.inf if most is None else most
        self.library.clip(*grad_PN.shape, *_pointers((grad_PN, norm_P)), limit)
        return norm_P

    def adamw(
        self,
        flat_PN: Tensor,
        grad_PN: Tensor,
        exp_avg_PN: Tensor,
        exp_avg_sq_PN: Tensor,
        lr_P: Tensor,
        settings: AdamWSettings,
        number: Tensor,
    ) -> None:
        """AdamW in one pass over each member, in place."""
        tensors, step = (flat_PN, grad_PN, exp_avg_PN, exp_avg_sq_PN), int(number)
        row = flat_PN.stride(0)
        assert all(tensor.stride() == (row, 1) for tensor in tensors)
        self.library.adamw(
            *flat_PN.shape,
            row,
            *_pointers((*tensors, lr_P)),
            settings.beta1,
            settings.beta2,
            settings.eps,
            settings.weight_decay,
            1.0 - settings.beta1**step,
            (1.0 - settings.beta2**step) ** 0.5,
        )


def member_stride(weights: Sequence[_Weight]) -> int:
    """Distance from a member's weights to the next member's: all are views of one `flat_PN`."""
    steps = {weight.stride(0) for weight in weights if weight is not None}
    members = {len(weight) for weight in weights if weight is not None}
    assert members == {1} or len(steps) == 1
    return max(steps)


def _pointers(tensors: Sequence[_Weight]) -> list[int | None]:
    return [None if tensor is None else tensor.data_ptr() for tensor in tensors]


def _like(weights: Sequence[_Weight]) -> list[_Weight]:
    """Uninitialised gradient of each weight."""
    return [None if weight is None else weight.new_empty(weight.shape) for weight in weights]


@final
class _Attend(Function):
    @staticmethod
    def forward(
        ctx: Any,
        kernels: ctypes.CDLL,
        x_PRD: Tensor,
        settings: AttentionSettings,
        *weights: _Weight,
    ) -> Tensor:
        members, rows, width = x_PRD.shape
        tokens, heads, causal = settings.tokens, settings.heads, int(settings.causal)
        turns: tuple[_Weight, _Weight] = (None, None)
        if settings.rotary_base is not None:
            place = (x_PRD.dtype, x_PRD.device)
            turns = rotation(tokens, width // heads, settings.rotary_base, *place)
        ctx.kernels = kernels
        ctx.shape = (members, rows // tokens, tokens, width, heads, causal, member_stride(weights))
        ctx.shape += (
            settings.scale,
            RMS_EPSILON,
            *_pointers(turns),
        )  # which are kept by `rotation`
        f_PRD = torch.empty_like(x_PRD)
        kernels.attend_forward(*ctx.shape, *_pointers((x_PRD, *weights, f_PRD)))
        ctx.save_for_backward(x_PRD, *weights)
        return f_PRD

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g_PRD: Tensor) -> Any:
        x_PRD, *weights = ctx.saved_tensors
        g_x, g_weights = torch.empty_like(x_PRD), _like(weights)
        tensors = (g_PRD.contiguous(), x_PRD, *weights, g_x, *g_weights)
        ctx.kernels.attend_backward(*ctx.shape, *_pointers(tensors))
        return None, g_x, None, *g_weights


@final
class _Ffn(Function):
    @staticmethod
    def forward(
        ctx: Any, kernels: ctypes.CDLL, x_PRD: Tensor, activation: int, *weights: _Weight
    ) -> Tensor:
        members, rows, width = x_PRD.shape
        f_PRD, first = torch.empty_like(x_PRD), weights[0]
        assert first is not None
        ctx.kernels = kernels
        ctx.shape = (members, rows, width, first.shape[2], activation, member_stride(weights))
        kernels.ffn_forward(*ctx.shape, *_pointers((x_PRD, *weights, f_PRD)))
        ctx.save_for_backward(x_PRD, *weights)
        return f_PRD

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g_PRD: Tensor) -> Any:
        x_PRD, *weights = ctx.saved_tensors
        g_x, g_weights = torch.empty_like(x_PRD), _like(weights)
        tensors = (g_PRD.contiguous(), x_PRD, *weights, g_x, *g_weights)
        ctx.kernels.ffn_backward(*ctx.shape, *_pointers(tensors))
        return None, g_x, None, *g_weights


@final
class _Norm(Function):
    @staticmethod
    def forward(
        ctx: Any, kernels: ctypes.CDLL, x_PRD: Tensor, kind: str, gain_PD: Tensor, bias_PD: _Weight
    ) -> Tensor:
        mean, scale = (x_PRD.new_empty(x_PRD.shape[:2]) for _ in range(2))
        y_PRD = torch.empty_like(x_PRD)
        ctx.kernels, ctx.has_bias = kernels, bias_PD is not None
        ctx.shape = (*x_PRD.shape, int(kind == "layer"), member_stride((gain_PD, bias_PD)))
        before, after = _pointers((x_PRD, gain_PD, bias_PD)), _pointers((mean, scale, y_PRD))
        kernels.norm_forward(*ctx.shape, *before, NORM_EPSILON[kind], *after)
        ctx.save_for_backward(x_PRD, gain_PD, mean, scale)
        return y_PRD

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g_PRD: Tensor) -> Any:
        x_PRD, gain_PD, mean, scale = ctx.saved_tensors
        g_x, (g_gain, g_bias) = torch.empty_like(x_PRD), _like((gain_PD, gain_PD))
        g_bias = g_bias if ctx.has_bias else None
        tensors = (g_PRD.contiguous(), x_PRD, gain_PD, mean, scale, g_x, g_gain, g_bias)
        ctx.kernels.norm_backward(*ctx.shape, *_pointers(tensors))
        return None, g_x, None, g_gain, g_bias
