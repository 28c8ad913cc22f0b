"""Gradient clipping and AdamW of each member, one pass over its numbers each."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from resformer.numerics.backends.base import AdamWSettings
from resformer.numerics.backends.fused.launch import OPTIONS

_BLOCK = 2048
"""Numbers of a program: 16 for each thread of 4 warps, which take about half of its registers."""


@triton.jit
def _add_squares(grad: tl.tensor, sums: tl.tensor, size: int, BLOCK: tl.constexpr) -> None:
    """Sum of the squares of a block of a member's gradient."""
    member = tl.program_id(1).to(tl.int64)
    n = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    value = tl.load(grad + member * size + n, mask=n < size, other=0.0)
    tl.store(sums + member * tl.num_programs(0) + tl.program_id(0), tl.sum(value * value))


@triton.jit
def _scale(
    grad: tl.tensor,
    sums: tl.tensor,
    norm: tl.tensor,
    size: int,
    most: float | None,
    BLOCK: tl.constexpr,
    BLOCKS: tl.constexpr,
) -> None:
    """Norm of a member's gradient, and a block of it scaled if that norm is over `most`."""
    member = tl.program_id(1).to(tl.int64)
    blocks = tl.num_programs(0)
    block = tl.arange(0, BLOCKS)
    value = tl.sqrt_rn(tl.sum(tl.load(sums + member * blocks + block, block < blocks, other=0.0)))
    if tl.program_id(0) == 0:
        tl.store(norm + member, value)
    if most is not None:
        factor = most / (value + 1e-6)
        if not factor >= 1.0:  # also if it is NaN
            n = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
            place = grad + member * size + n
            tl.store(place, tl.load(place, mask=n < size) * factor, mask=n < size)


@triton.jit
def _move(
    flat: tl.tensor,
    grad: tl.tensor,
    exp_avg: tl.tensor,
    exp_avg_sq: tl.tensor,
    lr: tl.tensor,
    rate: tl.tensor,
    correction: tl.tensor,
    size: int,
    stride: int,
    rest1: float,
    beta2: float,
    rest2: float,
    eps: float,
    weight_decay: float,
    BLOCK: tl.constexpr,
) -> None:
    """A block of a member's parameters and moments after the step, in place.

    `rate` is the learning rate over the correction of the first moment, `correction` the root of
    that of the second; `rest1` and `rest2` are 1 - β1 and 1 - β2, of which a difference of numbers
    in float32 would leave 14 bits where β2 is 0.999.
    """
    member = tl.program_id(1).to(tl.int64)
    n = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    is_n, place = n < size, member * stride + n
    slope = tl.load(grad + place, mask=is_n)
    first = tl.load(exp_avg + place, mask=is_n)
    second = tl.load(exp_avg_sq + place, mask=is_n)
    first += (slope - first) * rest1
    second = second * beta2 + slope * slope * rest2
    scale = tl.sqrt_rn(second) / tl.load(correction) + eps
    value = tl.load(flat + place, mask=is_n) * (1.0 - tl.load(lr + member) * weight_decay)
    tl.store(flat + place, value - first * tl.load(rate + member) / scale, mask=is_n)
    tl.store(exp_avg + place, first, mask=is_n)
    tl.store(exp_avg_sq + place, second, mask=is_n)


def clip(grad_PN: Tensor, most: float | None) -> Tensor:
    """Clip each member's gradient, in place; returns the norms before, (P,)."""
    assert grad_PN.is_contiguous()
    members, size = grad_PN.shape
    blocks = triton.cdiv(size, _BLOCK)
    sums_PB, norm_P = grad_PN.new_empty(members, blocks), grad_PN.new_empty(members)
    _add_squares[blocks, members](grad_PN, sums_PB, size, BLOCK=_BLOCK, **OPTIONS)
    constants = {"BLOCK": _BLOCK, "BLOCKS": triton.next_power_of_2(blocks), **OPTIONS}
    _scale[blocks, members](grad_PN, sums_PB, norm_P, size, most, **constants)
    return norm_P


def adamw(
    flat_PN: Tensor,
    grad_PN: Tensor,
    exp_avg_PN: Tensor,
    exp_avg_sq_PN: Tensor,
    lr_P: Tensor,
    settings: AdamWSettings,
    number: Tensor,
) -> None:
    """AdamW, in place."""
    tensors, stride = (flat_PN, grad_PN, exp_avg_PN, exp_avg_sq_PN), flat_PN.stride(0)
    assert all(tensor.stride() == (stride, 1) for tensor in tensors)
    members, size = flat_PN.shape
    steps = number.double()
    _move[triton.cdiv(size, _BLOCK), members](
        *tensors,
        lr_P,
        lr_P / (1.0 - settings.beta1**steps),
        (1.0 - settings.beta2**steps).sqrt().to(torch.float32),
        size,
        stride,
        1.0 - settings.beta1,
        settings.beta2,
        1.0 - settings.beta2,
        settings.eps,
        settings.weight_decay,
        BLOCK=_BLOCK,
        **OPTIONS,
    )
