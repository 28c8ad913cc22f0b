"""FFN: its hidden layer stays in registers, and the backward pass computes it again."""

from typing import Any, final

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from resformer.numerics.backends.fused.activation import activated, slope
from resformer.numerics.backends.fused.launch import OPTIONS, VARIED, output_dtype
from resformer.numerics.backends.fused.partials import Partials
from resformer.numerics.backends.fused.product import (
    load_tile,
    load_vector,
    product,
    store_tile,
    times,
    times_transposed,
)
from resformer.numerics.backends.fused.tiles import FfnTiles
from resformer.numerics.backends.kernels.functions import member_stride


@triton.jit
def _linear(
    x: tl.tensor,
    r: tl.tensor,
    is_r: tl.tensor,
    matrix: tl.tensor,
    bias: tl.tensor | None,
    start: tl.tensor,
    f: tl.tensor,
    is_f: tl.tensor,
    D: tl.constexpr,
    F: tl.constexpr,
    PART: tl.constexpr,
    PRECISION: tl.constexpr,
) -> tl.tensor:
    """Some rows and columns of x·W + b."""
    y = times(x, r, is_r, matrix + start, f, is_f, D, F, PART, PRECISION)
    if bias is not None:
        y += load_vector(bias + start, f, is_f)[None, :]
    return y


@triton.jit(**VARIED)
def _forward(
    x: tl.tensor,
    w_in: tl.tensor,
    w_out: tl.tensor,
    w_gate: tl.tensor | None,
    b_in: tl.tensor | None,
    b_out: tl.tensor | None,
    b_gate: tl.tensor | None,
    y: tl.tensor,
    rows: int,
    stride: int,
    D: tl.constexpr,
    F: tl.constexpr,
    ACTIVATION: tl.constexpr,
    PRECISION: tl.constexpr,
    ROWS: tl.constexpr,
    WIDTH: tl.constexpr,
    CHUNK: tl.constexpr,
    PART: tl.constexpr,
) -> None:
    """y in `ROWS` rows of a member, by `CHUNK` columns of the hidden layer at a time."""
    member = tl.program_id(1).to(tl.int64)
    start, first = member * stride, member * rows * D
    r, d = tl.program_id(0) * ROWS + tl.arange(0, ROWS), tl.arange(0, WIDTH)
    is_r, is_d = r < rows, d < D
    total = tl.zeros((ROWS, WIDTH), tl.float32)
    for chunk in range(0, F, CHUNK):
        f = chunk + tl.arange(0, CHUNK)
        is_f = f < F
        h = _linear(x + first, r, is_r, w_in, b_in, start, f, is_f, D, F, PART, PRECISION)
        if w_gate is not None:
            gate = _linear(
                x + first, r, is_r, w_gate, b_gate, start, f, is_f, D, F, PART, PRECISION
            )
            h *= activated(gate, ACTIVATION)
        else:
            h = activated(h, ACTIVATION)
        total += product(h, load_tile(w_out + start, f, is_f, d, is_d, D), PRECISION)
    if b_out is not None:
        total += load_vector(b_out + start, d, is_d)[None, :]
    store_tile(total, y + first, r, is_r, d, is_d, D)


@triton.jit(**VARIED)
def _backward(
    g: tl.tensor,
    x: tl.tensor,
    w_in: tl.tensor,
    w_out: tl.tensor,
    w_gate: tl.tensor | None,
    b_in: tl.tensor | None,
    b_out: tl.tensor | None,
    b_gate: tl.tensor | None,
    g_x: tl.tensor,
    partial: tl.tensor,
    rows: int,
    stride: int,
    D: tl.constexpr,
    F: tl.constexpr,
    SIZE: tl.constexpr,
    GROUP: tl.constexpr,
    ACTIVATION: tl.constexpr,
    PRECISION: tl.constexpr,
    ROWS: tl.constexpr,
    WIDTH: tl.constexpr,
    CHUNK: tl.constexpr,
    PART: tl.constexpr,
) -> None:
    """Gradient of x in `GROUP` rows of a member, in float32, and what these rows add to those of
    its weights.

    For each `CHUNK` of the hidden layer all rows are gone through, so that the gradients of its
    weights stay in registers. They lie in `partial` in the order of the arguments, `SIZE` numbers a
    program.
    """
    member = tl.program_id(1).to(tl.int64)
    start, first = member * stride, member * rows * D
    partial += (member * tl.num_programs(0) + tl.program_id(0)) * SIZE
    x, g, g_x = x + first, g + first, g_x + first
    begin = tl.program_id(0) * GROUP
    end = tl.minimum(begin + GROUP, rows)
    d = tl.arange(0, WIDTH)
    is_d = d < D
    for chunk in range(0, F, CHUNK):
        f = chunk + tl.arange(0, CHUNK)
        is_f = f < F
        sum_in, sum_out = tl.zeros((WIDTH, CHUNK), tl.float32), tl.zeros((CHUNK, WIDTH), tl.float32)
        sum_gate = tl.zeros((WIDTH, CHUNK), tl.float32)
        bias_in, bias_gate = tl.zeros((CHUNK,), tl.float32), tl.zeros((CHUNK,), tl.float32)
        for row in range(begin, end, ROWS):
            r = row + tl.arange(0, ROWS)
            is_r = r < end
            g_h = times_transposed(g, r, is_r, w_out + start, f, is_f, D, PART, PRECISION)
            up = _linear(x, r, is_r, w_in, b_in, start, f, is_f, D, F, PART, PRECISION)
            if w_gate is not None:
                gate = _linear(x, r, is_r, w_gate, b_gate, start, f, is_f, D, F, PART, PRECISION)
                share = activated(gate, ACTIVATION)
                h, g_up, g_gate = up * share, g_h * share, g_h * up * slope(gate, ACTIVATION)
            else:
                h, g_up, g_gate = activated(up, ACTIVATION), g_h * slope(up, ACTIVATION), g_h
            into = load_tile(w_in + start, d, is_d, f, is_f, F)
            total = product(g_up, tl.trans(into), PRECISION)
            if w_gate is not None:
                into = load_tile(w_gate + start, d, is_d, f, is_f, F)
                total += product(g_gate, tl.trans(into), PRECISION)
            if chunk > 0:
                total += load_tile(g_x, r, is_r, d, is_d, D)
            store_tile(total, g_x, r, is_r, d, is_d, D)
            tl.debug_barrier()  # other threads may read these numbers for the next chunk
            x_tile = load_tile(x, r, is_r, d, is_d, D)
            g_tile = load_tile(g, r, is_r, d, is_d, D)
            sum_in += product(tl.trans(x_tile), g_up, PRECISION)
            sum_out += product(tl.trans(h), g_tile, PRECISION)
            bias_in += tl.sum(g_up, axis=0)
            if w_gate is not None:
                sum_gate += product(tl.trans(x_tile), g_gate, PRECISION)
                bias_gate += tl.sum(g_gate, axis=0)
        to = partial
        store_tile(sum_in, to, d, is_d, f, is_f, F)
        to += D * F
        store_tile(sum_out, to, f, is_f, d, is_d, D)
        to += D * F
        if w_gate is not None:
            store_tile(sum_gate, to, d, is_d, f, is_f, F)
            to += D * F
        if b_in is not None:
            tl.store(to + f, bias_in, mask=is_f)
            to += F
        if b_out is not None:
            to += D
        if b_gate is not None:
            tl.store(to + f, bias_gate, mask=is_f)
    if b_out is not None:
        bias_out = tl.zeros((WIDTH,), tl.float32)
        for row in range(begin, end, ROWS):
            r = row + tl.arange(0, ROWS)
            bias_out += tl.sum(load_tile(g, r, r < end, d, is_d, D), axis=0)
        to = partial + (2 if w_gate is None else 3) * D * F + (0 if b_in is None else F)
        tl.store(to + d, bias_out, mask=is_d)


@final
class Ffn(Function):
    """FFN of x_PRD, with the weights in the order of the kernels' arguments."""

    @staticmethod
    def forward(
        ctx: Any,
        x_PRD: Tensor,
        tiles: FfnTiles,
        activation: str,
        precision: str,
        *weights: Tensor | None,
    ) -> Tensor:
        members, rows, width = x_PRD.shape
        assert weights[0] is not None
        y_PRD = torch.empty_like(x_PRD, dtype=output_dtype(precision))
        ctx.tiles, ctx.numbers = tiles, (rows, member_stride(weights))
        ctx.constants = {
            "D": width,
            "F": weights[0].shape[2],
            "ACTIVATION": activation,
            "PRECISION": precision,
            "ROWS": tiles.rows,
            "WIDTH": tiles.width,
            "CHUNK": tiles.chunk,
            "PART": tiles.part,
            "num_warps": tiles.warps,
            **OPTIONS,
        }
        grid = (triton.cdiv(rows, tiles.rows), members)
        _forward[grid](x_PRD, *weights, y_PRD, *ctx.numbers, **ctx.constants)
        ctx.save_for_backward(x_PRD, *weights)
        return y_PRD

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g_PRD: Tensor) -> Any:
        x_PRD, *weights = ctx.saved_tensors
        members, rows, _ = x_PRD.shape
        groups = triton.cdiv(rows, ctx.tiles.group)
        g_x, partials = torch.empty_like(x_PRD, dtype=torch.float32), Partials(weights, groups)
        _backward[groups, members](
            g_PRD.contiguous(),
            x_PRD,
            *weights,
            g_x,
            partials.tensor_PGN,
            *ctx.numbers,
            SIZE=partials.size,
            GROUP=ctx.tiles.group,
            **ctx.constants,
        )
        return g_x.to(x_PRD.dtype), None, None, None, *partials.added()
