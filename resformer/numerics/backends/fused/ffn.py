"""FFN: its hidden layer stays in registers, and the backward pass computes it again."""

from typing import Any, final

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from resformer.numerics.backends.base import FfnWeights
from resformer.numerics.backends.fused.activation import NUMBERS, activated, slope
from resformer.numerics.backends.fused.launch import OPTIONS, VARIED, output_dtype
from resformer.numerics.backends.fused.partials import Partials
from resformer.numerics.backends.fused.product import (
    load_tile,
    load_vector,
    product,
    store_gradient,
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
    """FFN of `ROWS` rows of a member, by `CHUNK` columns of the hidden layer at a time."""
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


@triton.jit
def _slopes(
    x: tl.tensor,
    g: tl.tensor,
    r: tl.tensor,
    is_r: tl.tensor,
    w_in: tl.tensor,
    w_out: tl.tensor,
    w_gate: tl.tensor | None,
    b_in: tl.tensor | None,
    b_gate: tl.tensor | None,
    start: tl.tensor,
    f: tl.tensor,
    is_f: tl.tensor,
    D: tl.constexpr,
    F: tl.constexpr,
    ACTIVATION: tl.constexpr,
    PART: tl.constexpr,
    PRECISION: tl.constexpr,
) -> tuple[tl.tensor, tl.tensor, tl.tensor]:
    """Some rows and columns of the hidden layer, and the gradients of the outputs of the first
    layer and the gate; the latter is of no use without a gate.
    """
    g_h = times_transposed(g, r, is_r, w_out + start, f, is_f, D, PART, PRECISION)
    up = _linear(x, r, is_r, w_in, b_in, start, f, is_f, D, F, PART, PRECISION)
    if w_gate is not None:
        gate = _linear(x, r, is_r, w_gate, b_gate, start, f, is_f, D, F, PART, PRECISION)
        share = activated(gate, ACTIVATION)
        h, g_up, g_gate = up * share, g_h * share, g_h * up * slope(gate, ACTIVATION)
    else:
        h, g_up, g_gate = activated(up, ACTIVATION), g_h * slope(up, ACTIVATION), g_h
    return h, g_up, g_gate


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
        s_in, s_out = tl.zeros((WIDTH, CHUNK), tl.float32), tl.zeros((CHUNK, WIDTH), tl.float32)
        s_gate = tl.zeros((WIDTH, CHUNK), tl.float32)
        sb_in, sb_gate = tl.zeros((CHUNK,), tl.float32), tl.zeros((CHUNK,), tl.float32)
        sb_out = tl.zeros((WIDTH,), tl.float32)
        for row in range(begin, end, ROWS):
            r = row + tl.arange(0, ROWS)
            is_r = r < end
            h, g_up, g_gate = _slopes(
                x,
                g,
                r,
                is_r,
                w_in,
                w_out,
                w_gate,
                b_in,
                b_gate,
                start,
                f,
                is_f,
                D,
                F,
                ACTIVATION,
                PART,
                PRECISION,
            )
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
            s_in += product(tl.trans(x_tile), g_up, PRECISION)
            s_out += product(tl.trans(h), g_tile, PRECISION)
            sb_in += tl.sum(g_up, axis=0)
            sb_out += tl.sum(g_tile, axis=0)
            if w_gate is not None:
                s_gate += product(tl.trans(x_tile), g_gate, PRECISION)
                sb_gate += tl.sum(g_gate, axis=0)
        store_tile(s_in, partial, d, is_d, f, is_f, F)
        store_tile(s_out, partial + D * F, f, is_f, d, is_d, D)
        to = partial + 2 * D * F
        if w_gate is not None:
            store_tile(s_gate, to, d, is_d, f, is_f, F)
            to += D * F
        to = store_gradient(sb_in, to, f, is_f, b_in, F)
        to = store_gradient(sb_out, to, d, is_d, b_out, D)
        to = store_gradient(sb_gate, to, f, is_f, b_gate, F)


def ffn(
    x_PRD: Tensor, weights: FfnWeights, activation: str, tiles: FfnTiles, precision: str
) -> Tensor:
    """FFN."""
    layers = (weights.ffn_in, weights.ffn_out, weights.gate)
    tensors = (
        *(layer and layer.matrix_PDE for layer in layers),
        *(layer and layer.bias_PE for layer in layers),
    )
    f_PRD: Tensor = _Ffn.apply(x_PRD.contiguous(), tiles, activation, precision, *tensors)  # type: ignore[no-untyped-call]
    return f_PRD


@final
class _Ffn(Function):
    """FFN, with the weights in the order of the kernels' arguments."""

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
            "ACTIVATION": NUMBERS[activation],
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
