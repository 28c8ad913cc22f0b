"""Queries and keys of heads in registers: their norm, and rotary positions.

Shapes: N heads of sequences, W tokens of a window, K head width; K here is a power of two, with the
two halves of a head, which a rotation pairs, in its two halves.
"""

import triton
import triton.language as tl


@triton.jit
def by_head(
    y: tl.tensor, WINDOWS: tl.constexpr, W: tl.constexpr, HEADS: tl.constexpr, K: tl.constexpr
) -> tl.tensor:
    """Rows (`WINDOWS`·W, `HEADS`·K) by head: (`WINDOWS`·`HEADS`, W, K)."""
    parted = tl.permute(tl.reshape(y, (WINDOWS, W, HEADS, K)), (0, 2, 1, 3))
    return tl.reshape(parted, (WINDOWS * HEADS, W, K))


@triton.jit
def joined(
    y: tl.tensor, WINDOWS: tl.constexpr, W: tl.constexpr, HEADS: tl.constexpr, K: tl.constexpr
) -> tl.tensor:
    """Rows (`WINDOWS`·W, `HEADS`·K) of what lies by head."""
    parted = tl.permute(tl.reshape(y, (WINDOWS, HEADS, W, K)), (0, 2, 1, 3))
    return tl.reshape(parted, (WINDOWS * W, HEADS * K))


@triton.jit
def widened(y: tl.tensor, N: tl.constexpr, W: tl.constexpr, K: tl.constexpr) -> tl.tensor:
    """Heads y (N, W, K) with zeros between their columns, so that these are the 16 that a product
    sums at least.
    """
    if K < 16:
        is_first = tl.arange(0, 16 // K) == 0
        spread = tl.where(is_first[None, None, None, :], y[:, :, :, None], 0.0)
        y = tl.reshape(spread, (N, W, 16))
    return y


@triton.jit
def turned(
    y: tl.tensor,
    cosine: tl.tensor,
    sine: tl.tensor,
    N: tl.constexpr,
    W: tl.constexpr,
    K: tl.constexpr,
) -> tl.tensor:
    """Pairs of y (N, W, K) turned by angles (W, K/2), as `eager` turns them; with the negative
    sines they are turned back.
    """
    first, second = tl.split(tl.permute(tl.reshape(y, (N, W, 2, K // 2)), (0, 1, 3, 2)))
    c, s = cosine[None, :, :], sine[None, :, :]
    pairs = tl.join(first * c - second * s, second * c + first * s)
    return tl.reshape(tl.permute(pairs, (0, 1, 3, 2)), (N, W, K))


@triton.jit
def scale_of(y: tl.tensor, epsilon: float, WIDTH: tl.constexpr) -> tl.tensor:
    """Factor (N, W, 1) by which RMSNorm scales each head, of which `WIDTH` entries are not 0."""
    return tl.rsqrt(tl.sum(y * y, axis=2) / WIDTH + epsilon)[:, :, None]
