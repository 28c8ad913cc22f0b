"""Tiles of matrices, and their products, as all kernels call them.

A product in float32 keeps both its factors' tiles in registers, the whole inner dimension of them.
So this is cut into parts of `PART`, 32 at most, wherever the factors come from memory (or from the
cache of level 1, where a member's weights and some rows stay): with 64 and 4 warps the compiler
spills thousands of bytes a thread.
"""

import triton
import triton.language as tl


@triton.jit
def product(a: tl.tensor, b: tl.tensor, PRECISION: tl.constexpr) -> tl.tensor:
    """a·b of float32 tiles, with float32 sums; `PRECISION` of the factors: ieee, tf32 or bf16."""
    if PRECISION == "bf16":
        y = tl.dot(a.to(tl.bfloat16), b.to(tl.bfloat16))
    else:
        y = tl.dot(a, b, input_precision=PRECISION)
    return y


@triton.jit
def load_tile(
    matrix: tl.tensor,
    row: tl.tensor,
    is_row: tl.tensor,
    column: tl.tensor,
    is_column: tl.tensor,
    COLUMNS: tl.constexpr,
) -> tl.tensor:
    """Rows and columns of a row-major matrix in float32; 0 where there is no such row or column."""
    mask = is_row[:, None] & is_column[None, :]
    place = matrix + row[:, None] * COLUMNS + column[None, :]
    return tl.load(place, mask=mask, other=0.0).to(tl.float32)


@triton.jit
def store_tile(
    values: tl.tensor,
    matrix: tl.tensor,
    row: tl.tensor,
    is_row: tl.tensor,
    column: tl.tensor,
    is_column: tl.tensor,
    COLUMNS: tl.constexpr,
) -> None:
    """Store rows and columns of a row-major matrix, where there are such a row and column."""
    mask = is_row[:, None] & is_column[None, :]
    tl.store(matrix + row[:, None] * COLUMNS + column[None, :], values, mask=mask)


@triton.jit
def load_vector(vector: tl.tensor, column: tl.tensor, is_column: tl.tensor) -> tl.tensor:
    """Entries of a vector in float32; 0 where there is none."""
    return tl.load(vector + column, mask=is_column, other=0.0).to(tl.float32)


@triton.jit
def store_gradient(
    values: tl.tensor,
    to: tl.tensor,
    column: tl.tensor,
    is_column: tl.tensor,
    weight: tl.tensor | None,
    SIZE: tl.constexpr,
) -> tl.tensor:
    """Store the gradient of a weight of `SIZE` numbers, unless there is no such weight; returns
    where the next one's begins.
    """
    if weight is not None:
        tl.store(to + column, values, mask=is_column)
        to += SIZE
    return to


@triton.jit
def times(
    x: tl.tensor,
    row: tl.tensor,
    is_row: tl.tensor,
    matrix: tl.tensor,
    column: tl.tensor,
    is_column: tl.tensor,
    D: tl.constexpr,
    COLUMNS: tl.constexpr,
    PART: tl.constexpr,
    PRECISION: tl.constexpr,
) -> tl.tensor:
    """Rows of x (·, D) times columns of a matrix (D, `COLUMNS`)."""
    y = tl.zeros((row.shape[0], column.shape[0]), tl.float32)
    for first in range(0, D, PART):
        d = first + tl.arange(0, PART)
        is_d = d < D
        left = load_tile(x, row, is_row, d, is_d, D)
        y += product(left, load_tile(matrix, d, is_d, column, is_column, COLUMNS), PRECISION)
    return y


@triton.jit
def times_transposed(
    x: tl.tensor,
    row: tl.tensor,
    is_row: tl.tensor,
    matrix: tl.tensor,
    column: tl.tensor,
    is_column: tl.tensor,
    D: tl.constexpr,
    PART: tl.constexpr,
    PRECISION: tl.constexpr,
) -> tl.tensor:
    """Rows of x (·, D) times columns of the transpose of a matrix (·, D)."""
    y = tl.zeros((row.shape[0], column.shape[0]), tl.float32)
    for first in range(0, D, PART):
        d = first + tl.arange(0, PART)
        is_d = d < D
        left = load_tile(x, row, is_row, d, is_d, D)
        right = tl.trans(load_tile(matrix, column, is_column, d, is_d, D))
        y += product(left, right, PRECISION)
    return y
