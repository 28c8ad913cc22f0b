"""Backend in torch's own operations, for any device."""

import math
from collections.abc import Callable
from functools import cache

import torch
import torch.nn.functional as nnf
from torch import Tensor

from resformer.numerics.backends.base import (
    AdamWSettings,
    AttentionSettings,
    AttentionWeights,
    FfnWeights,
    Linear,
    NormWeights,
)
from resformer.numerics.elementwise import gelu, rsqrt, sigmoid

LAYER_EPSILON, RMS_EPSILON = 1e-5, 1e-6
_WRITTEN_OUT_TOKENS = 32


def attend(x_PRD: Tensor, weights: AttentionWeights, settings: AttentionSettings) -> Tensor:
    """Multi-head attention. Its heads have no matrices of their own, so P folds into the batch."""
    query = _positioned(queries(x_PRD, weights, settings), settings)
    key = _positioned(keys(x_PRD, weights, settings), settings)
    value = _split(linear(x_PRD, weights.value), settings.tokens, settings.heads)
    if settings.tokens > _WRITTEN_OUT_TOKENS and query.device.type == "cpu":
        mixed = nnf.scaled_dot_product_attention(
            query, key, value, is_causal=settings.causal, scale=settings.scale
        )
    else:
        mixed = _mixed(_pattern(query, key, settings), value)
    return linear(_joined(mixed, x_PRD), weights.output)


def queries(x_PRD: Tensor, weights: AttentionWeights, settings: AttentionSettings) -> Tensor:
    """Queries (P, R, D), those of each head normalised if there is a gain."""
    return _normed(linear(x_PRD, weights.query), weights.query_gain_PK, settings.heads)


def keys(x_PRD: Tensor, weights: AttentionWeights, settings: AttentionSettings) -> Tensor:
    """Keys (P, R, D), likewise."""
    return _normed(linear(x_PRD, weights.key), weights.key_gain_PK, settings.heads)


def attention_pattern(query_PRD: Tensor, key_PRD: Tensor, settings: AttentionSettings) -> Tensor:
    """Attention pattern a_PBHTT of normalised queries and keys."""
    query, key = (_positioned(part_PRD, settings) for part_PRD in (query_PRD, key_PRD))
    tokens, heads = settings.tokens, settings.heads
    return _pattern(query, key, settings).view(len(query_PRD), -1, heads, tokens, tokens)


def attend_with_pattern(a_PBHTT: Tensor, v_PRD: Tensor, output: Linear) -> Tensor:
    """Attention to given values with a given pattern."""
    heads, tokens = a_PBHTT.shape[2:4]
    mixed = _mixed(a_PBHTT.reshape(-1, tokens, tokens), _split(v_PRD, tokens, heads))
    return linear(_joined(mixed, v_PRD), output)


def ffn(x_PRD: Tensor, weights: FfnWeights, activation: str) -> Tensor:
    """FFN: linear, activation, linear; or with a gate, of which the activation is."""
    activate, hidden_PRF = _ACTIVATE[activation], linear(x_PRD, weights.ffn_in)
    if weights.gate is None:
        return linear(activate(hidden_PRF), weights.ffn_out)
    return linear(activate(linear(x_PRD, weights.gate)) * hidden_PRF, weights.ffn_out)


def norm(x_PRD: Tensor, weights: NormWeights, kind: str) -> Tensor:
    """Norm of a kind over D."""
    unit, gain_P1D = _NORM[kind](x_PRD, weights), weights.gain_PD.unsqueeze(1)
    if weights.bias_PD is None:
        return unit * gain_P1D
    return torch.addcmul(weights.bias_PD.unsqueeze(1), unit, gain_P1D)


def clip(grad_PN: Tensor, most: float | None) -> Tensor:
    """Clip each member's gradient, in place; returns the norms before, (P,)."""
    norm_P: Tensor = torch.linalg.vector_norm(grad_PN, dim=1)
    if most is not None:
        grad_PN.mul_((most / (norm_P + 1e-6)).clamp_(max=1.0).unsqueeze(1))
    return norm_P


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
    lr_P1 = lr_P.unsqueeze(1)
    if settings.weight_decay:
        flat_PN.mul_(1.0 - lr_P1 * settings.weight_decay)
    beta1, beta2, number = settings.beta1, settings.beta2, number.double()
    exp_avg_PN.lerp_(grad_PN, 1.0 - beta1)
    exp_avg_sq_PN.mul_(beta2).addcmul_(grad_PN, grad_PN, value=1.0 - beta2)
    scale_PN = exp_avg_sq_PN.sqrt().div_((1.0 - beta2**number).sqrt()).add_(settings.eps)
    flat_PN.addcdiv_(exp_avg_PN * (lr_P1 / (1.0 - beta1**number)), scale_PN, value=-1.0)


def linear(x_PRD: Tensor, weights: Linear) -> Tensor:
    """x·W + b, each member with its own: one batched product."""
    if weights.bias_PE is None:
        return torch.bmm(x_PRD, weights.matrix_PDE)
    return torch.baddbmm(weights.bias_PE.unsqueeze(1), x_PRD, weights.matrix_PDE)


def _silu(x: Tensor) -> Tensor:
    return x * sigmoid(x)


def _relu2(x: Tensor) -> Tensor:
    return torch.relu(x).square()


_ACTIVATE: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu_,
    "gelu": gelu,
    "silu": _silu,
    "relu2": _relu2,
    "swiglu": _silu,
    "geglu": gelu,
}
"""Activations of an FFN, those of a gate by the name of the FFN: GELU (Hendrycks & Gimpel 2016,
arXiv 1606.08415), SiLU (Elfwing et al. 2017, arXiv 1702.03118), squared ReLU (So et al. 2021, arXiv
2109.08668), SwiGLU and GEGLU (Shazeer 2020, arXiv 2002.05202, eq. 6).
"""


def _layer_norm(x_PRD: Tensor, weights: NormWeights) -> Tensor:
    return nnf.layer_norm(x_PRD, x_PRD.shape[-1:], eps=LAYER_EPSILON)


def _rms_norm(x: Tensor) -> Tensor:
    return x * rsqrt(x.square().mean(dim=-1, keepdim=True) + RMS_EPSILON)


def _tanh(x_PRD: Tensor, weights: NormWeights) -> Tensor:
    assert weights.slope_P1 is not None
    return torch.tanh(weights.slope_P1.unsqueeze(1) * x_PRD)


def _erf(x_PRD: Tensor, weights: NormWeights) -> Tensor:
    assert weights.slope_P1 is not None
    assert weights.shift_P1 is not None
    shift_P11, slope_P11 = weights.shift_P1.unsqueeze(1), weights.slope_P1.unsqueeze(1)
    return torch.erf(torch.addcmul(shift_P11, x_PRD, slope_P11))


_NORM: dict[str, Callable[[Tensor, NormWeights], Tensor]] = {
    "layer": _layer_norm,
    "rms": lambda x_PRD, weights: _rms_norm(x_PRD),
    "dyt": _tanh,
    "derf": _erf,
}
"""Norms before their gain and bias: layer norm (Ba et al. 2016, arXiv 1607.06450), RMSNorm (Zhang &
Sennrich 2019, arXiv 1910.07467, eq. 4), DyT (Zhu et al. 2025, arXiv 2503.10622, eq. 1), Derf (Chen
et al. 2025, arXiv 2512.10938).
"""


def _normed(projected_PRD: Tensor, gain_PK: Tensor | None, heads: int) -> Tensor:
    if gain_PK is None:
        return projected_PRD
    by_head = projected_PRD.unflatten(-1, (heads, -1))
    return (_rms_norm(by_head) * gain_PK[:, None, None, :]).flatten(-2)


def _positioned(part_PRD: Tensor, settings: AttentionSettings) -> Tensor:
    """Queries or keys by head, (P·B, H, T, K), turned where positions are rotary."""
    part = _split(part_PRD, settings.tokens, settings.heads)
    return part if settings.rotary_base is None else _turned(part, settings.rotary_base)


def _turned(part: Tensor, base: float) -> Tensor:
    """Queries or keys (P·B, H, T, K) turned by their positions: pair i of a head, its entries i and
    i + K/2, by the angle t · base^(-2i/K) (Su et al. 2021, arXiv 2104.09864, eq. 15 and 34; the
    pairs are those of GPT-NeoX and Llama, for the paper's 2i and 2i + 1).
    """
    tokens, width = part.shape[-2:]
    cosine_TK, sine_TK = rotation(tokens, width, base, part.dtype, part.device)
    first, second = part.chunk(2, dim=-1)
    return part * cosine_TK + torch.cat([-second, first], dim=-1) * sine_TK


@cache
def rotation(
    tokens: int, width: int, base: float, dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Cosines and sines of the angles by which positions turn a head, (T, K) each."""
    share = torch.arange(0, width, 2, dtype=torch.float64) / width
    angle = torch.arange(tokens, dtype=torch.float64)[:, None] * base**-share
    angle_TK = torch.cat([angle, angle], dim=1)
    cosine_TK, sine_TK = angle_TK.cos().to(device, dtype), angle_TK.sin().to(device, dtype)
    return cosine_TK, sine_TK


def _split(y_PRD: Tensor, tokens: int, heads: int) -> Tensor:
    """Queries, keys or values by head, (P·B, H, T, K)."""
    return y_PRD.view(-1, tokens, heads, y_PRD.shape[-1] // heads).transpose(1, 2)


def _joined(mixed: Tensor, x_PRD: Tensor) -> Tensor:
    """Heads joined again, in the shape of `x_PRD`."""
    return mixed.transpose(1, 2).reshape(x_PRD.shape)


def _pattern(query: Tensor, key: Tensor, settings: AttentionSettings) -> Tensor:
    """Attention pattern softmax(scale · q·kᵀ), (P·B·H, T, T) (Vaswani et al. 2017, arXiv
    1706.03762, eq. 1).

    Written out for short sequences: on the CPU the fused kernel takes a third longer at 16 tokens.
    On a GPU always: the fused kernels add up their gradients in no fixed order.
    """
    tokens, head_width = query.shape[-2:]
    mask_TT = query.new_zeros(tokens, tokens)
    if settings.causal:
        mask_TT = mask_TT.fill_(-math.inf).triu_(1)
    q, k = (part.reshape(-1, tokens, head_width) for part in (query, key))
    return _softmax(torch.baddbmm(mask_TT, q, k.transpose(1, 2), alpha=settings.scale))


def _mixed(a: Tensor, value: Tensor) -> Tensor:
    """Values (P·B, H, T, K) mixed by the pattern (P·B·H, T, T)."""
    return torch.bmm(a, value.reshape(-1, *value.shape[-2:])).view(value.shape)


def _softmax(x: Tensor) -> Tensor:
    """Softmax over the last axis.

    Below 16 entries torch's own leaves the CPU's vector units idle and takes several times as long
    as its parts.
    """
    if x.shape[-1] >= 16 or x.device.type != "cpu":
        return x.softmax(dim=-1)
    powers = (x - x.detach().amax(dim=-1, keepdim=True)).exp()
    return powers / powers.sum(dim=-1, keepdim=True)
