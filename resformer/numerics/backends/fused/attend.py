"""Multi-head attention: projections, scores and their softmax stay in registers, and the backward
pass computes them again.

Where rows and columns of heads lie: see `heads`.
"""

from typing import Any, final

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from resformer.numerics.backends.base import AttentionSettings, AttentionWeights
from resformer.numerics.backends.eager import RMS_EPSILON, rotation
from resformer.numerics.backends.fused.heads import (
    by_head,
    columns_of,
    entries_of,
    joined,
    placed,
    placed_gradient,
    rows_of,
    widened,
)
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
from resformer.numerics.backends.fused.tiles import AttentionTiles
from resformer.numerics.backends.kernels.functions import member_stride


@triton.jit
def _projected(
    x: tl.tensor,
    row: tl.tensor,
    is_row: tl.tensor,
    matrix: tl.tensor,
    bias: tl.tensor | None,
    start: tl.tensor,
    column: tl.tensor,
    is_column: tl.tensor,
    D: tl.constexpr,
    WINDOWS: tl.constexpr,
    W: tl.constexpr,
    HEADS: tl.constexpr,
    WIDE: tl.constexpr,
    PART: tl.constexpr,
    PRECISION: tl.constexpr,
) -> tl.tensor:
    """Queries, keys or values by head."""
    y = times(x, row, is_row, matrix + start, column, is_column, D, D, PART, PRECISION)
    if bias is not None:
        y += load_vector(bias + start, column, is_column)[None, :]
    return by_head(y, WINDOWS, W, HEADS, WIDE)


@triton.jit
def _pattern(
    q: tl.tensor,
    k: tl.tensor,
    scale: float,
    T: tl.constexpr,
    CAUSAL: tl.constexpr,
    N: tl.constexpr,
    W: tl.constexpr,
    WIDE: tl.constexpr,
    PRECISION: tl.constexpr,
) -> tl.tensor:
    """Attention pattern (N, W, W): softmax over the tokens that a token may see."""
    right = tl.permute(widened(k, N, W, WIDE), (0, 2, 1))
    scores = product(widened(q, N, W, WIDE), right, PRECISION) * scale
    t = tl.arange(0, W)
    is_seen = t[:, None] // T == t[None, :] // T
    if CAUSAL:
        is_seen = is_seen & (t[None, :] <= t[:, None])
    scores = tl.where(is_seen[None, :, :], scores, float("-inf"))
    powers = tl.exp(scores - tl.max(scores, axis=2)[:, :, None])
    return powers / tl.sum(powers, axis=2)[:, :, None]


@triton.jit(**VARIED)
def _forward(
    x: tl.tensor,
    wq: tl.tensor,
    wk: tl.tensor,
    wv: tl.tensor,
    wo: tl.tensor,
    bq: tl.tensor | None,
    bk: tl.tensor | None,
    bv: tl.tensor | None,
    bo: tl.tensor | None,
    gq: tl.tensor | None,
    gk: tl.tensor | None,
    cosine: tl.tensor | None,
    sine: tl.tensor | None,
    f: tl.tensor,
    rows: int,
    stride: int,
    scale: float,
    epsilon: float,
    T: tl.constexpr,
    H: tl.constexpr,
    K: tl.constexpr,
    CAUSAL: tl.constexpr,
    PRECISION: tl.constexpr,
    WINDOWS: tl.constexpr,
    W: tl.constexpr,
    HEADS: tl.constexpr,
    WIDE: tl.constexpr,
    WIDTH: tl.constexpr,
    PART: tl.constexpr,
) -> None:
    """Attention of a block of windows of a member."""
    D: tl.constexpr = H * K
    N: tl.constexpr = WINDOWS * HEADS
    member = tl.program_id(1).to(tl.int64)
    start, first = member * stride, member * rows * D
    row, is_row = rows_of(tl.program_id(0), rows, WINDOWS, W, W // T * T)
    c, is_c = columns_of(H, K, HEADS, WIDE)
    x += first
    q = _projected(
        x, row, is_row, wq, bq, start, c, is_c, D, WINDOWS, W, HEADS, WIDE, PART, PRECISION
    )
    q = placed(q, gq, start, cosine, sine, epsilon, T, K, N, W, WIDE)
    k = _projected(
        x, row, is_row, wk, bk, start, c, is_c, D, WINDOWS, W, HEADS, WIDE, PART, PRECISION
    )
    k = placed(k, gk, start, cosine, sine, epsilon, T, K, N, W, WIDE)
    a = _pattern(q, k, scale, T, CAUSAL, N, W, WIDE, PRECISION)
    v = _projected(
        x, row, is_row, wv, bv, start, c, is_c, D, WINDOWS, W, HEADS, WIDE, PART, PRECISION
    )
    mixed = joined(product(a, v, PRECISION), WINDOWS, W, HEADS, WIDE)
    d = tl.arange(0, WIDTH)
    is_d = d < D
    y = product(mixed, load_tile(wo + start, c, is_c, d, is_d, D), PRECISION)
    if bo is not None:
        y += load_vector(bo + start, d, is_d)[None, :]
    store_tile(y, f + first, row, is_row, d, is_d, D)


@triton.jit
def _slopes(
    x: tl.tensor,
    g: tl.tensor,
    row: tl.tensor,
    is_row: tl.tensor,
    wq: tl.tensor,
    wk: tl.tensor,
    wv: tl.tensor,
    wo: tl.tensor,
    bq: tl.tensor | None,
    bk: tl.tensor | None,
    bv: tl.tensor | None,
    gq: tl.tensor | None,
    gk: tl.tensor | None,
    cosine: tl.tensor | None,
    sine: tl.tensor | None,
    start: tl.tensor,
    scale: float,
    epsilon: float,
    T: tl.constexpr,
    H: tl.constexpr,
    K: tl.constexpr,
    CAUSAL: tl.constexpr,
    PRECISION: tl.constexpr,
    WINDOWS: tl.constexpr,
    W: tl.constexpr,
    HEADS: tl.constexpr,
    WIDE: tl.constexpr,
    PART: tl.constexpr,
) -> tuple[tl.tensor, tl.tensor, tl.tensor, tl.tensor, tl.tensor, tl.tensor]:
    """Mixed values of some rows, and the gradients of queries, keys, values and both gains."""
    D: tl.constexpr = H * K
    N: tl.constexpr = WINDOWS * HEADS
    c, is_c = columns_of(H, K, HEADS, WIDE)
    q_plain = _projected(
        x, row, is_row, wq, bq, start, c, is_c, D, WINDOWS, W, HEADS, WIDE, PART, PRECISION
    )
    q = placed(q_plain, gq, start, cosine, sine, epsilon, T, K, N, W, WIDE)
    k_plain = _projected(
        x, row, is_row, wk, bk, start, c, is_c, D, WINDOWS, W, HEADS, WIDE, PART, PRECISION
    )
    k = placed(k_plain, gk, start, cosine, sine, epsilon, T, K, N, W, WIDE)
    a = _pattern(q, k, scale, T, CAUSAL, N, W, WIDE, PRECISION)
    g_mixed = times_transposed(g, row, is_row, wo + start, c, is_c, D, PART, PRECISION)
    g_mixed = by_head(g_mixed, WINDOWS, W, HEADS, WIDE)
    v = _projected(
        x, row, is_row, wv, bv, start, c, is_c, D, WINDOWS, W, HEADS, WIDE, PART, PRECISION
    )
    mixed = joined(product(a, v, PRECISION), WINDOWS, W, HEADS, WIDE)
    across = tl.permute(widened(v, N, W, WIDE), (0, 2, 1))
    g_a = product(widened(g_mixed, N, W, WIDE), across, PRECISION)
    g_scores = a * (g_a - tl.sum(a * g_a, axis=2)[:, :, None]) * scale
    g_v = joined(product(tl.permute(a, (0, 2, 1)), g_mixed, PRECISION), WINDOWS, W, HEADS, WIDE)
    g_q = product(g_scores, k, PRECISION)
    g_k = product(tl.permute(g_scores, (0, 2, 1)), q, PRECISION)
    g_q, g_gq = placed_gradient(g_q, q_plain, gq, start, cosine, sine, epsilon, T, K, N, W, WIDE)
    g_k, g_gk = placed_gradient(g_k, k_plain, gk, start, cosine, sine, epsilon, T, K, N, W, WIDE)
    g_q = joined(g_q, WINDOWS, W, HEADS, WIDE)
    g_k = joined(g_k, WINDOWS, W, HEADS, WIDE)
    return mixed, g_q, g_k, g_v, g_gq, g_gk


@triton.jit(**VARIED)
def _backward(
    g: tl.tensor,
    x: tl.tensor,
    wq: tl.tensor,
    wk: tl.tensor,
    wv: tl.tensor,
    wo: tl.tensor,
    bq: tl.tensor | None,
    bk: tl.tensor | None,
    bv: tl.tensor | None,
    bo: tl.tensor | None,
    gq: tl.tensor | None,
    gk: tl.tensor | None,
    cosine: tl.tensor | None,
    sine: tl.tensor | None,
    g_x: tl.tensor,
    partial: tl.tensor,
    rows: int,
    stride: int,
    scale: float,
    epsilon: float,
    T: tl.constexpr,
    H: tl.constexpr,
    K: tl.constexpr,
    CAUSAL: tl.constexpr,
    SIZE: tl.constexpr,
    BLOCKS: tl.constexpr,
    PRECISION: tl.constexpr,
    WINDOWS: tl.constexpr,
    W: tl.constexpr,
    HEADS: tl.constexpr,
    WIDE: tl.constexpr,
    WIDTH: tl.constexpr,
    PART: tl.constexpr,
) -> None:
    """Gradient of x in `BLOCKS` blocks of windows of a member, and what these add to the gradients
    of its weights.

    They lie in `partial` in the order of the arguments, `SIZE` numbers a program.
    """
    D: tl.constexpr = H * K
    ALL: tl.constexpr = HEADS * WIDE
    USED: tl.constexpr = W // T * T
    member = tl.program_id(1).to(tl.int64)
    start, first = member * stride, member * rows * D
    to = partial + (member * tl.num_programs(0) + tl.program_id(0)) * SIZE
    x, g, g_x = x + first, g + first, g_x + first
    c, is_c = columns_of(H, K, HEADS, WIDE)
    d = tl.arange(0, WIDTH)
    is_d = d < D
    s_wq, s_wk = tl.zeros((WIDTH, ALL), tl.float32), tl.zeros((WIDTH, ALL), tl.float32)
    s_wv, s_wo = tl.zeros((WIDTH, ALL), tl.float32), tl.zeros((ALL, WIDTH), tl.float32)
    s_bq, s_bk = tl.zeros((ALL,), tl.float32), tl.zeros((ALL,), tl.float32)
    s_bv, s_bo = tl.zeros((ALL,), tl.float32), tl.zeros((WIDTH,), tl.float32)
    s_gq, s_gk = tl.zeros((WIDE,), tl.float32), tl.zeros((WIDE,), tl.float32)
    begin = tl.program_id(0) * BLOCKS
    end = tl.minimum(begin + BLOCKS, tl.cdiv(rows, WINDOWS * USED))
    for block in range(begin, end):
        row, is_row = rows_of(block, rows, WINDOWS, W, USED)
        mixed, g_q, g_k, g_v, g_gq, g_gk = _slopes(
            x,
            g,
            row,
            is_row,
            wq,
            wk,
            wv,
            wo,
            bq,
            bk,
            bv,
            gq,
            gk,
            cosine,
            sine,
            start,
            scale,
            epsilon,
            T,
            H,
            K,
            CAUSAL,
            PRECISION,
            WINDOWS,
            W,
            HEADS,
            WIDE,
            PART,
        )
        total = product(g_q, tl.trans(load_tile(wq + start, d, is_d, c, is_c, D)), PRECISION)
        total += product(g_k, tl.trans(load_tile(wk + start, d, is_d, c, is_c, D)), PRECISION)
        total += product(g_v, tl.trans(load_tile(wv + start, d, is_d, c, is_c, D)), PRECISION)
        store_tile(total, g_x, row, is_row, d, is_d, D)
        g_tile = load_tile(g, row, is_row, d, is_d, D)
        s_wo += product(tl.trans(mixed), g_tile, PRECISION)
        s_bo += tl.sum(g_tile, axis=0)
        x_tile = tl.trans(load_tile(x, row, is_row, d, is_d, D))
        s_wq += product(x_tile, g_q, PRECISION)
        s_wk += product(x_tile, g_k, PRECISION)
        s_wv += product(x_tile, g_v, PRECISION)
        s_bq += tl.sum(g_q, axis=0)
        s_bk += tl.sum(g_k, axis=0)
        s_bv += tl.sum(g_v, axis=0)
        s_gq += g_gq
        s_gk += g_gk
    store_tile(s_wq, to, d, is_d, c, is_c, D)
    store_tile(s_wk, to + D * D, d, is_d, c, is_c, D)
    store_tile(s_wv, to + 2 * D * D, d, is_d, c, is_c, D)
    store_tile(s_wo, to + 3 * D * D, c, is_c, d, is_d, D)
    to = store_gradient(s_bq, to + 4 * D * D, c, is_c, bq, D)
    to = store_gradient(s_bk, to, c, is_c, bk, D)
    to = store_gradient(s_bv, to, c, is_c, bv, D)
    to = store_gradient(s_bo, to, d, is_d, bo, D)
    entry, is_entry = entries_of(tl.arange(0, WIDE), K, WIDE)
    to = store_gradient(s_gq, to, entry, is_entry, gq, K)
    to = store_gradient(s_gk, to, entry, is_entry, gk, K)


def attend(
    x_PRD: Tensor,
    weights: AttentionWeights,
    settings: AttentionSettings,
    tiles: AttentionTiles,
    precision: str,
) -> Tensor:
    """Multi-head attention."""
    layers = (weights.query, weights.key, weights.value, weights.output)
    tensors = (
        *(layer.matrix_PDE for layer in layers),
        *(layer.bias_PE for layer in layers),
        weights.query_gain_PK,
        weights.key_gain_PK,
    )
    f_PRD: Tensor = _Attend.apply(x_PRD.contiguous(), tiles, settings, precision, *tensors)  # type: ignore[no-untyped-call]
    return f_PRD


@final
class _Attend(Function):
    """Attention, with the weights in the order of the kernels' arguments."""

    @staticmethod
    def forward(
        ctx: Any,
        x_PRD: Tensor,
        tiles: AttentionTiles,
        settings: AttentionSettings,
        precision: str,
        *weights: Tensor | None,
    ) -> Tensor:
        members, rows, width = x_PRD.shape
        head_width = width // settings.heads
        f_PRD = torch.empty_like(x_PRD, dtype=output_dtype(precision))
        ctx.turns = (None, None)
        if settings.rotary_base is not None:
            place = (torch.float32, x_PRD.device)
            ctx.turns = rotation(settings.tokens, head_width, settings.rotary_base, *place)
        ctx.tiles = tiles
        ctx.numbers = (rows, member_stride(weights), settings.scale, RMS_EPSILON)
        ctx.constants = {
            "T": settings.tokens,
            "H": settings.heads,
            "K": head_width,
            "CAUSAL": settings.causal,
            "PRECISION": precision,
            "WINDOWS": tiles.windows,
            "W": tiles.window,
            "HEADS": tiles.heads,
            "WIDE": tiles.head_width,
            "WIDTH": tiles.width,
            "PART": tiles.part,
            "num_warps": tiles.warps,
            **OPTIONS,
        }
        grid = (triton.cdiv(rows, tiles.rows(settings.tokens)), members)
        _forward[grid](x_PRD, *weights, *ctx.turns, f_PRD, *ctx.numbers, **ctx.constants)
        ctx.save_for_backward(x_PRD, *weights)
        return f_PRD

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g_PRD: Tensor) -> Any:
        x_PRD, *weights = ctx.saved_tensors
        members, rows, _ = x_PRD.shape
        blocks = triton.cdiv(rows, ctx.tiles.rows(ctx.constants["T"]))
        groups = triton.cdiv(blocks, ctx.tiles.blocks)
        g_x, partials = torch.empty_like(x_PRD), Partials(weights, groups)
        _backward[groups, members](
            g_PRD.contiguous(),
            x_PRD,
            *weights,
            *ctx.turns,
            g_x,
            partials.tensor_PGN,
            *ctx.numbers,
            SIZE=partials.size,
            BLOCKS=ctx.tiles.blocks,
            **ctx.constants,
        )
        return g_x, None, None, None, *partials.added()
