"""Layer norm and RMSNorm over D; the backward pass computes mean and scale again."""

from typing import Any, final

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from resformer.numerics.backends.base import NormWeights
from resformer.numerics.backends.fused.launch import OPTIONS, VARIED
from resformer.numerics.backends.fused.partials import Partials
from resformer.numerics.backends.fused.product import load_tile, load_vector, store_tile
from resformer.numerics.backends.fused.tiles import NormTiles
from resformer.numerics.backends.kernels.functions import NORM_EPSILON, member_stride


@triton.jit
def _unit(
    x: tl.tensor, is_d: tl.tensor, epsilon: float, D: tl.constexpr, CENTRED: tl.constexpr
) -> tuple[tl.tensor, tl.tensor]:
    """Rows of unit variance, with mean 0 if `CENTRED`, and the factor of each row (·, 1)."""
    if CENTRED:
        x = tl.where(is_d[None, :], x - (tl.sum(x, axis=1) / D)[:, None], 0.0)
    scale = tl.rsqrt(tl.sum(x * x, axis=1) / D + epsilon)[:, None]
    return x * scale, scale


@triton.jit(**VARIED)
def _forward(
    x: tl.tensor,
    gain: tl.tensor,
    bias: tl.tensor | None,
    y: tl.tensor,
    rows: int,
    stride: int,
    epsilon: float,
    D: tl.constexpr,
    CENTRED: tl.constexpr,
    ROWS: tl.constexpr,
    WIDTH: tl.constexpr,
) -> None:
    """Norm of `ROWS` rows of a member."""
    member = tl.program_id(1).to(tl.int64)
    start, first = member * stride, member * rows * D
    r, d = tl.program_id(0) * ROWS + tl.arange(0, ROWS), tl.arange(0, WIDTH)
    is_r, is_d = r < rows, d < D
    unit, _ = _unit(load_tile(x + first, r, is_r, d, is_d, D), is_d, epsilon, D, CENTRED)
    unit *= load_vector(gain + start, d, is_d)[None, :]
    if bias is not None:
        unit += load_vector(bias + start, d, is_d)[None, :]
    store_tile(unit, y + first, r, is_r, d, is_d, D)


@triton.jit(**VARIED)
def _backward(
    g: tl.tensor,
    x: tl.tensor,
    gain: tl.tensor,
    bias: tl.tensor | None,
    g_x: tl.tensor,
    partial: tl.tensor,
    rows: int,
    stride: int,
    epsilon: float,
    SIZE: tl.constexpr,
    D: tl.constexpr,
    CENTRED: tl.constexpr,
    ROWS: tl.constexpr,
    WIDTH: tl.constexpr,
) -> None:
    """Gradient of x in `ROWS` rows of a member, and what these add to those of gain and bias, which
    lie in `partial` one after the other.
    """
    member = tl.program_id(1).to(tl.int64)
    start, first = member * stride, member * rows * D
    partial += (member * tl.num_programs(0) + tl.program_id(0)) * SIZE
    r, d = tl.program_id(0) * ROWS + tl.arange(0, ROWS), tl.arange(0, WIDTH)
    is_r, is_d = r < rows, d < D
    g_tile = load_tile(g + first, r, is_r, d, is_d, D)
    unit, scale = _unit(load_tile(x + first, r, is_r, d, is_d, D), is_d, epsilon, D, CENTRED)
    tl.store(partial + d, tl.sum(g_tile * unit, axis=0), mask=is_d)
    if bias is not None:
        tl.store(partial + D + d, tl.sum(g_tile, axis=0), mask=is_d)
    pulled = g_tile * load_vector(gain + start, d, is_d)[None, :]
    slope = pulled - unit * (tl.sum(pulled * unit, axis=1) / D)[:, None]
    if CENTRED:
        slope -= (tl.sum(pulled, axis=1) / D)[:, None]
    store_tile(slope * scale, g_x + first, r, is_r, d, is_d, D)


def norm(x_PRD: Tensor, weights: NormWeights, kind: str, tiles: NormTiles) -> Tensor:
    """Norm of a kind, layer or rms, in float32, as autocast has it."""
    y_PRD: Tensor = _Norm.apply(x_PRD.contiguous(), tiles, kind, *weights[:2])  # type: ignore[no-untyped-call]
    return y_PRD


@final
class _Norm(Function):
    @staticmethod
    def forward(
        ctx: Any,
        x_PRD: Tensor,
        tiles: NormTiles,
        kind: str,
        gain_PD: Tensor,
        bias_PD: Tensor | None,
    ) -> Tensor:
        members, rows, width = x_PRD.shape
        y_PRD = torch.empty_like(x_PRD, dtype=torch.float32)
        ctx.numbers = (rows, member_stride((gain_PD, bias_PD)), NORM_EPSILON[kind])
        ctx.constants = {
            "D": width,
            "CENTRED": kind == "layer",
            "ROWS": tiles.rows,
            "WIDTH": tiles.width,
            **OPTIONS,
        }
        ctx.groups = triton.cdiv(rows, tiles.rows)
        arguments = (x_PRD, gain_PD, bias_PD, y_PRD, *ctx.numbers)
        _forward[ctx.groups, members](*arguments, **ctx.constants)
        ctx.save_for_backward(x_PRD, gain_PD, bias_PD)
        return y_PRD

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g_PRD: Tensor) -> Any:
        x_PRD, *weights = ctx.saved_tensors
        g_x, partials = torch.empty_like(x_PRD), Partials(weights, ctx.groups)
        _backward[ctx.groups, len(x_PRD)](
            g_PRD.contiguous(),
            x_PRD,
            *weights,
            g_x,
            partials.tensor_PGN,
            *ctx.numbers,
            SIZE=partials.size,
            **ctx.constants,
        )
        return g_x, None, None, *partials.added()
