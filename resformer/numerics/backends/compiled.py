"""Backend in compiled kernels, C++ on the CPU and Triton on a GPU: a sub-layer of all members in
one call.

What no kernel computes, torch's operations do: the norms dyt and derf, and norms of several streams
at once; and see `fused.backend`.
"""

from torch import Tensor

from resformer.numerics.backends import availability, eager
from resformer.numerics.backends.base import (
    AdamWSettings,
    AttentionSettings,
    AttentionWeights,
    Backend,
    FfnWeights,
    NormWeights,
)
from resformer.numerics.backends.kernels import build
from resformer.numerics.backends.kernels.functions import NORM_EPSILON, Kernels


def attend(x_PRD: Tensor, weights: AttentionWeights, settings: AttentionSettings) -> Tensor:
    """Multi-head attention."""
    return kernels(x_PRD).attend(x_PRD, weights, settings)


def ffn(x_PRD: Tensor, weights: FfnWeights, activation: str) -> Tensor:
    """FFN."""
    return kernels(x_PRD).ffn(x_PRD, weights, activation)


def norm(x_PRD: Tensor, weights: NormWeights, kind: str) -> Tensor:
    """Norm of a kind over D."""
    if kind not in NORM_EPSILON or x_PRD.dim() > 3:
        return eager.norm(x_PRD, weights, kind)
    return kernels(x_PRD).norm(x_PRD, weights, kind)


def clip(grad_PN: Tensor, most: float | None) -> Tensor:
    """Clip each member's gradient, in place; returns the norms before, (P,)."""
    return kernels(grad_PN).clip(grad_PN, most)


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
    kernels(flat_PN).adamw(flat_PN, grad_PN, exp_avg_PN, exp_avg_sq_PN, lr_P, settings, number)


def kernels(tensor: Tensor) -> Backend:
    """Kernels for tensors on this one's device, of its type. Raises Unavailable where there can be
    none.
    """
    if tensor.device.type == "cuda":
        return availability.backend()
    return Kernels(build.library(tensor.dtype))


def missing(device: str, precision: str) -> str | None:
    """Reason why no kernels compute matrix products in this precision on this device, cpu (where it
    is fp32) or cuda; None if they do.
    """
    return availability.missing(precision) if device == "cuda" else build.missing()
