"""The stack around the scheme: norm placements against a naive rewrite, and what does not go together."""

import dataclasses
import math

import pytest
import torch
from torch import Tensor

from resformer.choices import NORMS
from resformer.errors import Incompatible, UserError
from resformer.model import ModelSettings
from resformer.residuals.plain import Plain
from resformer.residuals.rezero import ReZero
from resformer.shape import Shape
from resformer.weights import initial, unpack


def naive(w: dict[str, Tensor], reads_BT: Tensor, shape: Shape) -> Tensor:
    """One member's model, written as the design's update says, one sequence and one head at a time."""
    norm, depth, heads = shape.model.norm, shape.model.depth, shape.model.heads

    def layer_norm(name: str, x: Tensor) -> Tensor:
        centred = x - x.mean(-1, keepdim=True)
        unit = centred / torch.sqrt((centred**2).mean(-1, keepdim=True) + 1e-5)
        return unit * w[f"{name}.norm.gain"] + w[f"{name}.norm.bias"]

    def linear(name: str, x: Tensor) -> Tensor:
        return x @ w[f"{name}.matrix"] + w[f"{name}.bias"]

    def attention(block: int, x: Tensor) -> Tensor:
        q, k, v = (linear(f"block{block}.{group}", x).chunk(heads, -1) for group in ("query", "key", "value"))
        mixed = []
        for head in range(heads):
            scores = q[head] @ k[head].T / math.sqrt(q[head].shape[-1])
            if shape.model.attention == "causal":
                scores = scores.masked_fill(torch.ones_like(scores).triu(1).bool(), -math.inf)
            mixed.append(scores.softmax(-1) @ v[head])
        return linear(f"block{block}.output", torch.cat(mixed, -1))

    logits = []
    for reads in reads_BT:
        x = w["embedding.token"][reads] + w["embedding.position"]
        for i in range(1, 2 * depth + 1):
            block = math.ceil(i / 2)
            h = layer_norm(f"sublayer{i}.in", x) if norm in ("pre", "sandwich", "pre_post") else x
            f = (
                attention(block, h)
                if i % 2
                else linear(f"block{block}.ffn_out", linear(f"block{block}.ffn_in", h).relu())
            )
            f = layer_norm(f"sublayer{i}.branch", f) if norm in ("branch", "sandwich") else f
            x = f if isinstance(shape.residual, Plain) else x + f
            x = layer_norm(f"sublayer{i}.out", x) if norm in ("post", "pre_post") else x
        x = layer_norm("last", x) if norm in ("pre", "sandwich", "branch") else x
        logits.append(linear("head", x)[-shape.task.length :])
    return torch.stack(logits)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("attention", ["causal", "bidirectional"])
@pytest.mark.parametrize("residual", [None, Plain()])
@pytest.mark.parametrize("length", [6, 20])
def test_every_norm_placement(shape: Shape, norm: str, attention: str, residual: Plain | None, length: int) -> None:
    """20 tokens of a source are 40 with causal attention: the fused kernel instead of the one written out."""
    shape = dataclasses.replace(
        shape,
        model=dataclasses.replace(shape.model, norm=norm, attention=attention),
        residual=residual or shape.residual,
        task=dataclasses.replace(shape.task, length=length),
    )
    transformer = shape.transformer()
    weights = transformer.weights()
    flat_PN = initial(weights, torch.arange(2), torch.float64)
    flat_PN += 0.1 * torch.randn(flat_PN.shape, generator=torch.Generator().manual_seed(0))
    reads = torch.randint(0, 8, (2, 3, transformer.tokens), generator=torch.Generator().manual_seed(1))
    found = transformer.forward(flat_PN, reads)
    for member in (0, 1):
        own = {name: tensor[member] for name, tensor in unpack(weights, flat_PN).items()}
        # float64, values of size 10 at most: 1e-10 leaves six digits for the order of sums.
        torch.testing.assert_close(found[member], naive(own, reads[member], shape), rtol=1e-10, atol=1e-10)


def test_a_placement_the_scheme_does_not_allow_is_incompatible(shape: Shape) -> None:
    with pytest.raises(Incompatible, match=r"model\.norm=post: the scheme rezero goes with none"):
        dataclasses.replace(shape, residual=ReZero(0.0))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"depth": 0}, "model.depth=0: must be from 1"),
        ({"heads": 3}, "model.heads=3: must divide model.width=16: one of 1, 2, 4, 8, 16"),
        ({"activation": "tanh"}, "model.activation=tanh: must be one of relu, gelu"),
        ({"norm": "both"}, "model.norm=both: must be one of own, none, pre, post"),
        ({"attention": "full"}, "model.attention=full: must be one of own"),
    ],
)
def test_settings_that_cannot_be(model: ModelSettings, change: dict[str, object], message: str) -> None:
    with pytest.raises(UserError) as caught:
        dataclasses.replace(model, **change)
    assert message in str(caught.value)


def test_weights_have_the_documented_distributions(shape: Shape) -> None:
    weights = {weight.name: weight for weight in shape.transformer().weights()}
    w = unpack(list(weights.values()), initial(list(weights.values()), torch.arange(400), torch.float64))
    matrix = w["block1.ffn_in.matrix"]
    bound = math.sqrt(6 / (16 + 32))
    assert bound * 0.999 < matrix.abs().max() < bound
    assert float(matrix.std()) == pytest.approx(bound / math.sqrt(3), rel=0.01)
    assert float(w["embedding.token"].std()) == pytest.approx(1.0, rel=0.02)
    assert float(w["embedding.position"].mean()) == pytest.approx(0.0, abs=0.02)
    assert all(not tensor.any() for name, tensor in w.items() if name.endswith("bias"))
    assert all(bool((tensor == 1).all()) for name, tensor in w.items() if name.endswith("gain"))
