"""Backend in compiled kernels, for the CPU only: a sub-layer of all members in one call."""

from collections.abc import Sequence

from torch import Tensor

from resformer.numerics.backends import eager
from resformer.numerics.backends.base import AdamWSettings, AttentionSettings
from resformer.numerics.backends.kernels import functions
from resformer.numerics.backends.kernels.build import library


def attend(x_PRD: Tensor, weights: Sequence[Tensor], settings: AttentionSettings) -> Tensor:
    """Multi-head attention; the backward pass recomputes projections and softmax."""
    return functions.attend(library(x_PRD.dtype), x_PRD, weights, settings)


def ffn(x_PRD: Tensor, weights: Sequence[Tensor], activation: str) -> Tensor:
    """FFN; the kernel knows ReLU only, other activations take torch's operations."""
    if activation != "relu":
        return eager.ffn(x_PRD, weights, activation)
    return functions.ffn(library(x_PRD.dtype), x_PRD, weights)


def norm(x_PRD: Tensor, gain_PD: Tensor, bias_PD: Tensor) -> Tensor:
    """Layer norm over D; of several streams, stacked in front, in torch's operations."""
    if x_PRD.dim() > 3:
        return eager.norm(x_PRD, gain_PD, bias_PD)
    return functions.norm(library(x_PRD.dtype), x_PRD, gain_PD, bias_PD)


def update(
    flat_PN: Tensor,
    grad_PN: Tensor,
    exp_avg_PN: Tensor,
    exp_avg_sq_PN: Tensor,
    lr_P: Tensor,
    settings: AdamWSettings,
    number: Tensor,
) -> Tensor:
    """Clip and apply AdamW, in one pass over each member."""
    return functions.update(
        library(flat_PN.dtype),
        flat_PN,
        grad_PN,
        exp_avg_PN,
        exp_avg_sq_PN,
        lr_P,
        settings,
        number,
    )
