"""Sizes of the kernels' tiles, and their limits: by shapes and precision only, never by timing.

They are chosen for NVIDIA's sm_90 by what its compiler makes of the kernels, ahead of time: by the
instructions for each row, and by what it spills to memory of a thread's 255 registers. The larger a
thread's part of a product, the fewer loads come with a multiplication. None of it has been timed on
a GPU.
"""

from dataclasses import dataclass
from typing import final

_LEAST = 16
"""Least side of a factor of a matrix product."""
_PART = 32
"""Most terms that a product in registers sums, see `product`."""
_GROUP = 256
"""Rows of a member that one program goes through for the gradients of weights. With fewer, more
processors share the rows of few members; but each program stores a gradient of its own, as large as
some 130 rows of activations in an FFN of width 32.
"""
_WINDOWS = (16, 32)
_MOST_ATTENTION, _MOST_FFN, _MOST_NORM = 64, 128, 1024
"""Most columns. Attention keeps the gradients of four matrices in registers, an FFN those of 32
columns of two or three.
"""
_MOST_SCORES = 8192
"""Most scores at a time, of all heads and pairs of tokens of the windows: 32 for each thread of 8
warps, and the backward pass keeps three tiles of them.
"""
_NORM_NUMBERS = 2048
"""Numbers in the tile of a norm: 16 for each thread of 4 warps, as many again for its gradient."""


@final
@dataclass(frozen=True, kw_only=True)
class AttentionTiles:
    """Tiles of attention."""

    window: int
    """Tokens of a window, a power of two: whole sequences, and some idle ones."""
    windows: int
    """Windows at a time."""
    heads: int
    head_width: int
    """Heads and columns of a head, rounded up to powers of two."""
    width: int
    """D, rounded up."""
    part: int
    """Terms that a product sums at a time."""
    blocks: int
    """Times that a program of the backward pass takes so many windows."""
    warps: int

    def rows(self, tokens: int) -> int:
        """Rows at a time, of sequences of so many tokens."""
        return self.windows * (self.window // tokens * tokens)


@final
@dataclass(frozen=True, kw_only=True)
class FfnTiles:
    """Tiles of an FFN."""

    rows: int
    """Rows at a time."""
    group: int
    """Rows that a program of the backward pass takes, one after the other."""
    width: int
    """D, rounded up."""
    chunk: int
    """Columns of the hidden layer at a time."""
    part: int
    """Terms that a product sums at a time."""
    warps: int


@final
@dataclass(frozen=True, kw_only=True)
class NormTiles:
    """Tiles of a norm."""

    rows: int
    """Rows at a time."""
    width: int
    """D, rounded up."""


def attention_tiles(
    *, tokens: int, heads: int, head_width: int, precision: str
) -> AttentionTiles | None:
    """Tiles of attention; None if torch is to compute it.

    In float32 products, 32 rows of width 32 take all registers of 4 warps in the backward pass, and
    some hundred bytes of each thread are spilled; half as many rows spill none, but take an eighth
    more instructions for a row. With tensor cores 64 rows do. With more than half of the most
    scores, 4 warps spill more than a thousand bytes, 8 two hundred (seven in float32 products).
    """
    width = heads * head_width
    wide_heads = _power_of_two(heads)
    wide_head = max(2 * _power_of_two((head_width + 1) // 2), _LEAST // wide_heads)
    wide = max(_power_of_two(width), wide_heads * wide_head, _LEAST)
    if tokens > max(_WINDOWS) or wide > _MOST_ATTENTION:
        return None
    window = min(
        (size for size in _WINDOWS if size >= tokens),
        key=lambda size: _cost_of_token(tokens, width, size),
    )
    exact = precision == "ieee"
    windows = max(1, (1024 if exact else 2048) // max(wide, 32) // window)
    windows = min(windows, _MOST_SCORES // (wide_heads * window * window))
    if not windows:
        return None
    many_scores = 2 * wide_heads * windows * window * window > _MOST_SCORES
    return AttentionTiles(
        window=window,
        windows=windows,
        heads=wide_heads,
        head_width=wide_head,
        width=max(_power_of_two(width), _LEAST),
        part=min(_PART, max(_power_of_two(width), _LEAST)),
        blocks=max(1, _GROUP // (windows * window)),
        warps=8 if many_scores or (exact and wide > 32) else 4,
    )


def ffn_tiles(*, width: int, hidden: int, gated: bool, precision: str) -> FfnTiles | None:
    """Tiles of an FFN; None if torch is to compute it.

    A chunk of 64 takes a fifth less instructions for a row than one of 32; with a gate in float32
    products, or wider rows, it would spill hundreds of bytes in the backward pass.
    """
    wide = max(_power_of_two(width), _LEAST)
    if wide > _MOST_FFN:
        return None
    chunk = 32 if wide > 64 or (gated and precision == "ieee") else 64
    return FfnTiles(
        rows=32,
        group=_GROUP,
        width=wide,
        chunk=min(chunk, max(_power_of_two(hidden), _LEAST)),
        part=min(_PART, wide),
        warps=4 if wide <= 32 else 8,
    )


def norm_tiles(*, width: int) -> NormTiles | None:
    """Tiles of a norm; None if torch is to compute it."""
    wide = _power_of_two(width)
    return NormTiles(rows=_NORM_NUMBERS // wide, width=wide) if wide <= _MOST_NORM else None


def _cost_of_token(tokens: int, width: int, window: int) -> float:
    """Multiplications for a token in projections and scores, idle tokens' among them."""
    return (4 * width * width + 2 * window * width) * window / (window // tokens * tokens)


def _power_of_two(number: int) -> int:
    """The least power of two that is not smaller."""
    return 1 << (number - 1).bit_length()
