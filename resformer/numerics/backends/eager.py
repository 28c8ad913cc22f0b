"""Backend in torch's own operations, for any device."""

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as nnf
from torch import Tensor

from resformer.numerics.backends.base import AdamWSettings, AttentionSettings

_ACTIVATE: dict[str, Callable[[Tensor], Tensor]] = {"relu": torch.relu_, "gelu": nnf.gelu}

_WRITTEN_OUT_TOKENS = 32


def attend(x_PRD: Tensor, weights: Sequence[Tensor], settings: AttentionSettings) -> Tensor:
    """Multi-head attention. It has no parameters of its own, so P folds into the batch."""
    w_query, b_query, w_key, b_key, w_value, b_value, w_output, b_output = weights
    projections = (w_query, b_query), (w_key, b_key), (w_value, b_value)
    query, key, value = (
        _split(linear(x_PRD, w, b), settings.tokens, settings.heads) for w, b in projections
    )
    if settings.tokens > _WRITTEN_OUT_TOKENS and query.device.type == "cpu":
        mixed = nnf.scaled_dot_product_attention(query, key, value, is_causal=settings.causal)
    else:
        mixed = _mixed(_pattern(query, key, settings.causal), value)
    return linear(_joined(mixed, x_PRD), w_output, b_output)


def attention_pattern(
    x_PRD: Tensor, weights: Sequence[Tensor], settings: AttentionSettings
) -> Tensor:
    """Attention pattern a_PBHTT; `weights`: matrix and bias of query and key."""
    w_query, b_query, w_key, b_key = weights
    tokens, heads = settings.tokens, settings.heads
    query = _split(linear(x_PRD, w_query, b_query), tokens, heads)
    key = _split(linear(x_PRD, w_key, b_key), tokens, heads)
    return _pattern(query, key, settings.causal).view(len(x_PRD), -1, heads, tokens, tokens)


def attend_with_pattern(a_PBHTT: Tensor, v_PRD: Tensor, weights: Sequence[Tensor]) -> Tensor:
    """Attention to given values with a given pattern; `weights`: matrix and bias of output."""
    w_output, b_output = weights
    heads, tokens = a_PBHTT.shape[2:4]
    mixed = _mixed(a_PBHTT.reshape(-1, tokens, tokens), _split(v_PRD, tokens, heads))
    return linear(_joined(mixed, v_PRD), w_output, b_output)


def ffn(x_PRD: Tensor, weights: Sequence[Tensor], activation: str) -> Tensor:
    """FFN: linear, activation, linear."""
    w_in, b_in, w_out, b_out = weights
    return linear(_ACTIVATE[activation](linear(x_PRD, w_in, b_in)), w_out, b_out)


def norm(x_PRD: Tensor, gain_PD: Tensor, bias_PD: Tensor) -> Tensor:
    """Layer norm over D."""
    unit = nnf.layer_norm(x_PRD, x_PRD.shape[-1:])
    return torch.addcmul(bias_PD.unsqueeze(1), unit, gain_PD.unsqueeze(1))


def update(
    flat_PN: Tensor,
    grad_PN: Tensor,
    exp_avg_PN: Tensor,
    exp_avg_sq_PN: Tensor,
    lr_P: Tensor,
    settings: AdamWSettings,
    number: Tensor,
) -> Tensor:
    """Clip and apply AdamW; the gradient is overwritten."""
    norm_P: Tensor = torch.linalg.vector_norm(grad_PN, dim=1)
    grad_PN.mul_((settings.clip / (norm_P + 1e-6)).clamp_(max=1.0).unsqueeze(1))
    lr_P1 = lr_P.unsqueeze(1)
    if settings.weight_decay:
        flat_PN.mul_(1.0 - lr_P1 * settings.weight_decay)
    beta1, beta2, number = settings.beta1, settings.beta2, number.double()
    exp_avg_PN.lerp_(grad_PN, 1.0 - beta1)
    exp_avg_sq_PN.mul_(beta2).addcmul_(grad_PN, grad_PN, value=1.0 - beta2)
    scale_PN = exp_avg_sq_PN.sqrt().div_((1.0 - beta2**number).sqrt()).add_(settings.eps)
    flat_PN.addcdiv_(exp_avg_PN * (lr_P1 / (1.0 - beta1**number)), scale_PN, value=-1.0)
    return norm_P


def linear(x_PRD: Tensor, w_PDE: Tensor, b_PE: Tensor) -> Tensor:
    """x·W + b, each member with its own: one batched product."""
    return torch.baddbmm(b_PE.unsqueeze(1), x_PRD, w_PDE)


def _split(y_PRD: Tensor, tokens: int, heads: int) -> Tensor:
    """Queries, keys or values by head, (P·B, H, T, K)."""
    return y_PRD.view(-1, tokens, heads, y_PRD.shape[-1] // heads).transpose(1, 2)


def _joined(mixed: Tensor, x_PRD: Tensor) -> Tensor:
    """Heads joined again, in the shape of `x_PRD`."""
    return mixed.transpose(1, 2).reshape(x_PRD.shape)


def _pattern(query: Tensor, key: Tensor, causal: bool) -> Tensor:
    """Attention pattern softmax(q·kᵀ/√K), (P·B·H, T, T) (Vaswani et al. 2017, arXiv 1706.03762,
    eq. 1).

    Written out for short sequences: on the CPU the fused kernel takes a third longer at 16 tokens.
    On a GPU always: the fused kernels add up their gradients in no fixed order.
    """
    tokens, head_width = query.shape[-2:]
    mask_TT = query.new_zeros(tokens, tokens)
    if causal:
        mask_TT = mask_TT.fill_(-math.inf).triu_(1)
    q, k = (part.reshape(-1, tokens, head_width) for part in (query, key))
    return _softmax(torch.baddbmm(mask_TT, q, k.transpose(1, 2), alpha=head_width**-0.5))


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
