"""Heads in registers: their rows and columns, the norm of queries and keys, and rotary positions.

Rows are those of windows of W tokens, a power of two, with whole sequences in each. The K columns
of a head lie in `WIDE`, a power of two, each half of them, which a rotation pairs with the other,
in a half; and H heads in `HEADS`. N are the heads of a block of windows.
"""

import triton
import triton.language as tl

from resformer.numerics.backends.fused.product import load_tile, load_vector


@triton.jit
def rows_of(
    block: tl.tensor,
    end: tl.tensor,
    WINDOWS: tl.constexpr,
    W: tl.constexpr,
    USED: tl.constexpr,
) -> tuple[tl.tensor, tl.tensor]:
    """Rows of a block of windows, of which `USED` tokens each are rows; True where there is one."""
    i = tl.arange(0, WINDOWS * W)
    if USED == W:
        row = block * WINDOWS * W + i
        is_row = row < end
    else:
        row = (block * WINDOWS + i // W) * USED + i % W
        is_row = (i % W < USED) & (row < end)
    return row, is_row


@triton.jit
def entries_of(k: tl.tensor, K: tl.constexpr, WIDE: tl.constexpr) -> tuple[tl.tensor, tl.tensor]:
    """Entry of a head in each of its columns; True where there is one."""
    HALF: tl.constexpr = WIDE // 2
    entry = k // HALF * ((K + 1) // 2) + k % HALF
    return entry, (k % HALF < (K + 1) // 2) & (entry < K)


@triton.jit
def columns_of(
    H: tl.constexpr, K: tl.constexpr, HEADS: tl.constexpr, WIDE: tl.constexpr
) -> tuple[tl.tensor, tl.tensor]:
    """Column of a matrix in each column of all heads; True where there is one."""
    c = tl.arange(0, HEADS * WIDE)
    if K == WIDE:
        column = c
        is_column = c < H * K
    else:
        entry, is_entry = entries_of(c % WIDE, K, WIDE)
        column = c // WIDE * K + entry
        is_column = is_entry & (c // WIDE < H)
    return column, is_column


@triton.jit
def _angles(
    cosine: tl.tensor,
    sine: tl.tensor,
    T: tl.constexpr,
    K: tl.constexpr,
    W: tl.constexpr,
    WIDE: tl.constexpr,
) -> tuple[tl.tensor, tl.tensor]:
    """Cosines and sines of the tokens of a window, (W, `WIDE`/2)."""
    t, k = tl.arange(0, W), tl.arange(0, WIDE // 2)
    return (
        load_tile(cosine, t % T, t < W, k, k < K // 2, K),
        load_tile(sine, t % T, t < W, k, k < K // 2, K),
    )


@triton.jit
def by_head(
    y: tl.tensor, WINDOWS: tl.constexpr, W: tl.constexpr, HEADS: tl.constexpr, WIDE: tl.constexpr
) -> tl.tensor:
    """Rows (`WINDOWS`·W, `HEADS`·`WIDE`) by head: (`WINDOWS`·`HEADS`, W, `WIDE`)."""
    parted = tl.permute(tl.reshape(y, (WINDOWS, W, HEADS, WIDE)), (0, 2, 1, 3))
    return tl.reshape(parted, (WINDOWS * HEADS, W, WIDE))


@triton.jit
def joined(
    y: tl.tensor, WINDOWS: tl.constexpr, W: tl.constexpr, HEADS: tl.constexpr, WIDE: tl.constexpr
) -> tl.tensor:
    """Rows (`WINDOWS`·W, `HEADS`·`WIDE`) of heads (`WINDOWS`·`HEADS`, W, `WIDE`)."""
    parted = tl.permute(tl.reshape(y, (WINDOWS, HEADS, W, WIDE)), (0, 2, 1, 3))
    return tl.reshape(parted, (WINDOWS * W, HEADS * WIDE))


@triton.jit
def widened(y: tl.tensor, N: tl.constexpr, W: tl.constexpr, WIDE: tl.constexpr) -> tl.tensor:
    """Heads y (N, W, `WIDE`) with zeros between their columns, so that these are the 16 that a
    product sums at least.
    """
    if WIDE < 16:
        is_first = tl.arange(0, 16 // WIDE) == 0
        spread = tl.where(is_first[None, None, None, :], y[:, :, :, None], 0.0)
        y = tl.reshape(spread, (N, W, 16))
    return y


@triton.jit
def _turned(
    y: tl.tensor,
    cosine: tl.tensor,
    sine: tl.tensor,
    N: tl.constexpr,
    W: tl.constexpr,
    WIDE: tl.constexpr,
) -> tl.tensor:
    """Pairs of y (N, W, `WIDE`) turned by angles (W, `WIDE`/2), as `eager` turns them; with the
    negative sines they are turned back.
    """
    first, second = tl.split(tl.permute(tl.reshape(y, (N, W, 2, WIDE // 2)), (0, 1, 3, 2)))
    c, s = cosine[None, :, :], sine[None, :, :]
    pairs = tl.join(first * c - second * s, second * c + first * s)
    return tl.reshape(tl.permute(pairs, (0, 1, 3, 2)), (N, W, WIDE))


@triton.jit
def _scale(y: tl.tensor, epsilon: float, K: tl.constexpr) -> tl.tensor:
    """Factor (N, W, 1) by which RMSNorm scales each head."""
    return tl.rsqrt(tl.sum(y * y, axis=2) / K + epsilon)[:, :, None]


@triton.jit
def _gain(gain: tl.tensor, start: tl.tensor, K: tl.constexpr, WIDE: tl.constexpr) -> tl.tensor:
    """Gain of a head's norm in each of its columns, (1, 1, `WIDE`)."""
    entry, is_entry = entries_of(tl.arange(0, WIDE), K, WIDE)
    return load_vector(gain + start, entry, is_entry)[None, None, :]


@triton.jit
def placed(
    y: tl.tensor,
    gain: tl.tensor | None,
    start: tl.tensor,
    cosine: tl.tensor | None,
    sine: tl.tensor | None,
    epsilon: float,
    T: tl.constexpr,
    K: tl.constexpr,
    N: tl.constexpr,
    W: tl.constexpr,
    WIDE: tl.constexpr,
) -> tl.tensor:
    """Queries or keys with their norm and turned, where that is asked for."""
    if gain is not None:
        y *= _scale(y, epsilon, K) * _gain(gain, start, K, WIDE)
    if cosine is not None:
        cosine_tile, sine_tile = _angles(cosine, sine, T, K, W, WIDE)
        y = _turned(y, cosine_tile, sine_tile, N, W, WIDE)
    return y


@triton.jit
def placed_gradient(
    g: tl.tensor,
    y: tl.tensor,
    gain: tl.tensor | None,
    start: tl.tensor,
    cosine: tl.tensor | None,
    sine: tl.tensor | None,
    epsilon: float,
    T: tl.constexpr,
    K: tl.constexpr,
    N: tl.constexpr,
    W: tl.constexpr,
    WIDE: tl.constexpr,
) -> tuple[tl.tensor, tl.tensor]:
    """Gradient of y, and of the gain (`WIDE`), from that of `placed`."""
    g_gain = tl.zeros((WIDE,), tl.float32)
    if cosine is not None:
        cosine_tile, sine_tile = _angles(cosine, sine, T, K, W, WIDE)
        g = _turned(g, cosine_tile, -sine_tile, N, W, WIDE)
    if gain is not None:
        scale = _scale(y, epsilon, K)
        unit = y * scale
        g_gain = tl.sum(tl.sum(g * unit, axis=1), axis=0)
        g *= _gain(gain, start, K, WIDE)
        g = (g - unit * (tl.sum(g * unit, axis=2) / K)[:, :, None]) * scale
    return g, g_gain
