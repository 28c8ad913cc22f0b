"""Backend in Triton's kernels, for a GPU: a sub-layer of all members in one launch.

What no kernel computes, torch's operations do: float64, the norms dyt and derf, norms of several
streams at once, and shapes beyond the limits in `tiles`. Shapes and settings alone decide that.
"""

import torch
from torch import Tensor

from resformer.numerics.backends import eager
from resformer.numerics.backends.base import (
    AdamWSettings,
    AttentionSettings,
    AttentionWeights,
    FfnWeights,
    NormWeights,
)
from resformer.numerics.backends.fused import attend as attention
from resformer.numerics.backends.fused import ffn as feed_forward
from resformer.numerics.backends.fused import norm as norms
from resformer.numerics.backends.fused import update
from resformer.numerics.backends.fused.launch import precision_of
from resformer.numerics.backends.fused.tiles import attention_tiles, ffn_tiles, norm_tiles
from resformer.numerics.backends.kernels.functions import NORM_EPSILON

_MOST_PARAMETERS = 1 << 26
"""Most parameters of a member whose gradient is clipped: its norm is that of one tile of sums."""


def attend(x_PRD: Tensor, weights: AttentionWeights, settings: AttentionSettings) -> Tensor:
    """Multi-head attention; the backward pass computes projections and softmax again."""
    precision, heads = precision_of(x_PRD), settings.heads
    tiles = attention_tiles(
        tokens=settings.tokens,
        heads=heads,
        head_width=x_PRD.shape[-1] // heads,
        precision=precision,
    )
    if tiles is None or _is_double(weights.query.matrix_PDE):
        return eager.attend(x_PRD, weights, settings)
    return attention.attend(x_PRD, weights, settings, tiles, precision)


def ffn(x_PRD: Tensor, weights: FfnWeights, activation: str) -> Tensor:
    """FFN; the backward pass computes the hidden layer again."""
    matrix_PDF = weights.ffn_in.matrix_PDE
    precision = precision_of(x_PRD)
    tiles = ffn_tiles(
        width=matrix_PDF.shape[1],
        hidden=matrix_PDF.shape[2],
        gated=weights.gate is not None,
        precision=precision,
    )
    if tiles is None or _is_double(matrix_PDF):
        return eager.ffn(x_PRD, weights, activation)
    return feed_forward.ffn(x_PRD, weights, activation, tiles, precision)


def norm(x_PRD: Tensor, weights: NormWeights, kind: str) -> Tensor:
    """Norm of a kind over D."""
    tiles = norm_tiles(width=x_PRD.shape[-1])
    known = kind in NORM_EPSILON and x_PRD.dim() == 3 and not _is_double(weights.gain_PD)
    if tiles is None or not known:
        return eager.norm(x_PRD, weights, kind)
    return norms.norm(x_PRD, weights, kind, tiles)


def clip(grad_PN: Tensor, most: float | None) -> Tensor:
    """Clip each member's gradient, in place; returns the norms before, (P,)."""
    if _is_double(grad_PN) or grad_PN.shape[1] > _MOST_PARAMETERS:
        return eager.clip(grad_PN, most)
    return update.clip(grad_PN, most)


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
    move = eager.adamw if _is_double(flat_PN) else update.adamw
    move(flat_PN, grad_PN, exp_avg_PN, exp_avg_sq_PN, lr_P, settings, number)


def _is_double(tensor: Tensor) -> bool:
    return tensor.dtype == torch.float64
