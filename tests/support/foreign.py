"""Foreign code with a member's weights: public implementations that share no line with ours."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from resformer.numerics.parameters import initial_values, unpack
from resformer.residuals.base import Residual
from support.naive_model import inputs, shape_of

Weights = dict[str, Tensor]
Stack = Callable[[Weights, Tensor], Tensor]
"""Weights of a member by our names, and the embedding (B, T, D) → the output of the blocks and of
the final norm, (B, T, D).
"""

Compare = Callable[..., None]
"""`assert_parity` as the fixture `compare` of `parity/`, which keeps the errors."""


def assert_parity(
    residual: Residual[Any], stack: Stack, key_P: Tensor | None = None, **model: Any
) -> tuple[float, float]:
    """The scheme's logits and the gradients of all weights are those of the foreign stack, away
    from the start: with N(0, 0.25²) added to every weight no gain stands at 0 or 1. With `key_P`
    they are those of a training step with these random numbers. Returns the largest error of the
    logits, and of the worst weight's gradient.
    """
    shape = shape_of(residual, **{"hidden": 24, **model})
    transformer = shape.transformer()
    specs, generator = transformer.parameter_specs, torch.Generator().manual_seed(0)
    flat_1N = initial_values(specs, torch.tensor([3]), torch.float64)
    noise_1N = torch.randn(flat_1N.shape, generator=generator, dtype=torch.float64)
    flat_1N = (flat_1N + 0.25 * noise_1N).requires_grad_()
    inputs_1BT = inputs(shape, members=1)
    ours = transformer.forward(flat_1N, inputs_1BT, key_P)[0]
    direction = torch.randn(ours.shape, generator=generator, dtype=torch.float64)
    (gradient_1N,) = torch.autograd.grad((ours * direction).sum(), flat_1N)

    leaf_1N = flat_1N.detach().requires_grad_()
    w = {name: tensor[0] for name, tensor in unpack(specs, leaf_1N).items()}
    x_BTD = stack(w, w["embedding.token"][inputs_1BT[0]] + w.get("embedding.position", 0))
    logits = (x_BTD @ w["head.matrix"] + w.get("head.bias", 0))[:, -shape.task.length :]
    (expected_1N,) = torch.autograd.grad((logits * direction).sum(), leaf_1N)

    # float64 rounds by 1.1e-16, and a logit sums some tens of terms in each of six sub-layers and
    # their norms: the largest error seen is 2e-15. Gradients of some weights are differences of
    # much larger terms, that of a key's bias is nothing but round-off: errors count relative to
    # 1e-4 of the largest gradient at least, and the largest seen is 3e-12.
    error = _error(ours, logits, floor=0.0)
    assert error < 1e-13
    floor = 1e-4 * float(expected_1N.abs().max())
    gradients = zip(
        unpack(specs, gradient_1N).items(), unpack(specs, expected_1N).values(), strict=True
    )
    errors = {name: _error(mine, theirs, floor) for (name, mine), theirs in gradients}
    assert {name: error for name, error in errors.items() if error > 1e-10} == {}
    return error, max(errors.values())


def _error(ours: Tensor, theirs: Tensor, floor: float) -> float:
    """Largest difference over the largest entry."""
    difference, size = ((tensor.detach().abs().max().item()) for tensor in (ours - theirs, theirs))
    return float(difference / max(size, floor))


def call(module: nn.Module, weights: Mapping[str, Tensor], *arguments: Any, **options: Any) -> Any:
    """Output of a module with these weights in the place of all its own."""
    assert {name for name, _ in module.named_parameters()} == set(weights)
    return torch.func.functional_call(module.double(), dict(weights), arguments, options)


def within(owner: str, weights: Mapping[str, Tensor]) -> Weights:
    """Weights under the name of the module that owns them."""
    return {f"{owner}.{name}": tensor for name, tensor in weights.items()}


def linear(w: Weights, name: str) -> Weights:
    """Weights of `nn.Linear`, whose matrix is (out, in)."""
    return {"weight": w[f"{name}.matrix"].T, "bias": w[f"{name}.bias"]}


def layer_norm(w: Weights, name: str) -> Weights:
    """Weights of `nn.LayerNorm`."""
    return {"weight": w[f"{name}.norm.gain"], "bias": w[f"{name}.norm.bias"]}


def multihead_attention(w: Weights, block: int) -> Weights:
    """Weights of `nn.MultiheadAttention`, which has query, key and value in one."""
    parts = [linear(w, f"block{block}.{group}") for group in ("query", "key", "value")]
    return {
        "in_proj_weight": torch.cat([part["weight"] for part in parts]),
        "in_proj_bias": torch.cat([part["bias"] for part in parts]),
        **within("out_proj", linear(w, f"block{block}.output")),
    }


def causal_mask(tokens: int) -> Tensor:
    """True where attention may not look."""
    return torch.ones(tokens, tokens, dtype=torch.bool).triu(1)


def sublayer(w: Weights, i: int, heads: int = 3) -> Callable[[Tensor], Tensor]:
    """Sub-layer i, causal attention or FFN, of torch's own modules."""
    block, width = (i + 1) // 2, len(w["head.matrix"])
    if i % 2:
        module = nn.MultiheadAttention(width, heads, batch_first=True)
        own = multihead_attention(w, block)

        def attend(h_BTD: Tensor) -> Tensor:
            mask_TT = causal_mask(h_BTD.shape[1])
            return call(module, own, h_BTD, h_BTD, h_BTD, need_weights=False, attn_mask=mask_TT)[0]

        return attend
    hidden = len(w[f"block{block}.ffn_out.matrix"])
    ffn = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, width))
    both = within("0", linear(w, f"block{block}.ffn_in"))
    both |= within("2", linear(w, f"block{block}.ffn_out"))
    return lambda h_BTD: call(ffn, both, h_BTD)


def norm(w: Weights, name: str) -> Callable[[Tensor], Tensor]:
    """`nn.LayerNorm` with these weights."""
    own = layer_norm(w, name)
    return lambda x_BTD: call(nn.LayerNorm(x_BTD.shape[-1]), own, x_BTD)
