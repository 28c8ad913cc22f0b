"""Kernels of a library as operations that torch can differentiate."""

import ctypes
from collections.abc import Sequence
from typing import Any, final

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from resformer.numerics.backends.base import AdamWSettings, AttentionSettings

_NORM_EPSILON = 1e-5


def attend(
    kernels: ctypes.CDLL, x_PRD: Tensor, weights: Sequence[Tensor], settings: AttentionSettings
) -> Tensor:
    """Multi-head attention; the backward pass recomputes projections and softmax."""
    y_PRD: Tensor = _Attend.apply(kernels, x_PRD.contiguous(), settings, *weights)  # type: ignore[no-untyped-call]
    return y_PRD


def ffn(kernels: ctypes.CDLL, x_PRD: Tensor, weights: Sequence[Tensor]) -> Tensor:
    """FFN with ReLU."""
    y_PRD: Tensor = _Ffn.apply(kernels, x_PRD.contiguous(), *weights)  # type: ignore[no-untyped-call]
    return y_PRD


def norm(kernels: ctypes.CDLL, x_PRD: Tensor, gain_PD: Tensor, bias_PD: Tensor) -> Tensor:
    """Layer norm over D."""
    y_PRD: Tensor = _Norm.apply(kernels, x_PRD.contiguous(), gain_PD, bias_PD)  # type: ignore[no-untyped-call]
    return y_PRD


def update(
    kernels: ctypes.CDLL,
    flat_PN: Tensor,
    grad_PN: Tensor,
    exp_avg_PN: Tensor,
    exp_avg_sq_PN: Tensor,
    lr_P: Tensor,
    settings: AdamWSettings,
    number: Tensor,
) -> Tensor:
    """Clip and apply AdamW, in one pass over each member."""
    norm_P, step = torch.empty_like(lr_P), int(number)
    tensors = (flat_PN, grad_PN.contiguous(), exp_avg_PN, exp_avg_sq_PN, lr_P, norm_P)
    assert all(tensor.is_contiguous() for tensor in tensors)
    kernels.update(
        *flat_PN.shape,
        *_pointers(tensors),
        settings.clip,
        settings.beta1,
        settings.beta2,
        settings.eps,
        settings.weight_decay,
        1.0 - settings.beta1**step,
        (1.0 - settings.beta2**step) ** 0.5,
    )
    return norm_P


def _step(weights: Sequence[Tensor]) -> int:
    """Distance from a member's weights to the next member's: all are views of one `flat_PN`."""
    step = weights[0].stride(0)
    assert len(weights[0]) == 1 or all(weight.stride(0) == step for weight in weights)
    return step


def _pointers(tensors: Sequence[Tensor]) -> list[int]:
    return [tensor.data_ptr() for tensor in tensors]


def _like(weights: Sequence[Tensor]) -> list[Tensor]:
    """Uninitialised gradient of each weight."""
    return [weight.new_empty(weight.shape) for weight in weights]


@final
class _Attend(Function):
    @staticmethod
    def forward(
        ctx: Any,
        kernels: ctypes.CDLL,
        x_PRD: Tensor,
        settings: AttentionSettings,
        *weights: Tensor,
    ) -> Tensor:
        members, rows, width = x_PRD.shape
        tokens, heads, causal = settings.tokens, settings.heads, int(settings.causal)
        ctx.kernels = kernels
        ctx.shape = (members, rows // tokens, tokens, width, heads, causal, _step(weights))
        mixed_PRD, f_PRD = (torch.empty_like(x_PRD) for _ in range(2))
        peaks = x_PRD.new_empty(members, rows, 2 * heads)
        kernels.attend_forward(*ctx.shape, *_pointers((x_PRD, *weights, mixed_PRD, peaks, f_PRD)))
        ctx.save_for_backward(x_PRD, mixed_PRD, peaks, *weights)
        return f_PRD

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g_PRD: Tensor) -> Any:
        x_PRD, mixed_PRD, peaks, *weights = ctx.saved_tensors
        g_x, g_weights = torch.empty_like(x_PRD), _like(weights)
        tensors = (g_PRD.contiguous(), x_PRD, mixed_PRD, peaks, *weights[:7], g_x, *g_weights)
        ctx.kernels.attend_backward(*ctx.shape, *_pointers(tensors))
        return None, g_x, None, *g_weights


@final
class _Ffn(Function):
    @staticmethod
    def forward(ctx: Any, kernels: ctypes.CDLL, x_PRD: Tensor, *weights: Tensor) -> Tensor:
        members, rows, width = x_PRD.shape
        f_PRD = torch.empty_like(x_PRD)
        ctx.kernels = kernels
        ctx.shape = (members, rows, width, weights[0].shape[2], _step(weights))
        kernels.ffn_forward(*ctx.shape, *_pointers((x_PRD, *weights, f_PRD)))
        ctx.save_for_backward(x_PRD, *weights)
        return f_PRD

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g_PRD: Tensor) -> Any:
        x_PRD, *weights = ctx.saved_tensors
        g_x, g_weights = torch.empty_like(x_PRD), _like(weights)
        tensors = (g_PRD.contiguous(), x_PRD, *weights[:3], g_x, *g_weights)
        ctx.kernels.ffn_backward(*ctx.shape, *_pointers(tensors))
        return None, g_x, *g_weights


@final
class _Norm(Function):
    @staticmethod
    def forward(
        ctx: Any, kernels: ctypes.CDLL, x_PRD: Tensor, gain_PD: Tensor, bias_PD: Tensor
    ) -> Tensor:
        mean, scale = (x_PRD.new_empty(x_PRD.shape[:2]) for _ in range(2))
        y_PRD = torch.empty_like(x_PRD)
        ctx.kernels = kernels
        ctx.shape = (*x_PRD.shape, _step((gain_PD, bias_PD)))
        before, after = _pointers((x_PRD, gain_PD, bias_PD)), _pointers((mean, scale, y_PRD))
        kernels.norm_forward(*ctx.shape, *before, _NORM_EPSILON, *after)
        ctx.save_for_backward(x_PRD, gain_PD, mean, scale)
        return y_PRD

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g_PRD: Tensor) -> Any:
        x_PRD, gain_PD, mean, scale = ctx.saved_tensors
        g_x, g_gain, g_bias = torch.empty_like(x_PRD), *_like((gain_PD, gain_PD))
        tensors = (g_PRD.contiguous(), x_PRD, gain_PD, mean, scale, g_x, g_gain, g_bias)
        ctx.kernels.norm_backward(*ctx.shape, *_pointers(tensors))
        return None, g_x, g_gain, g_bias
