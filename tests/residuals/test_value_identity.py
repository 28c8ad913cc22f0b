import torch
from support.naive_model import Naive, assert_formula, inputs, shape_of, start
from torch import Tensor

from resformer.residuals.add import Add
from resformer.residuals.value_identity import ValueIdentity


def layers(net: Naive, x: Tensor) -> Tensor:
    for block in range(1, net.depth + 1):
        x = net.pre(2 * block - 1, x)
        x = x + net.pre(2 * block, x)
    return net.norm("last", x)


def test_formula() -> None:
    assert_formula(ValueIdentity(), layers)


def test_values_and_outputs_start_as_the_identity() -> None:
    _, w = start(shape_of(ValueIdentity()))
    for group in ("value", "output"):
        assert torch.equal(w[f"block2.{group}.matrix"][1], torch.eye(12, dtype=torch.float64))
    assert not torch.equal(w["block2.query.matrix"][1], torch.eye(12, dtype=torch.float64))


def test_is_pre_norm_without_the_attention_skip_but_for_its_start() -> None:
    shape, other = shape_of(ValueIdentity()), shape_of(Add(), norm="pre", skip="ffn")
    weights = start(shape)[0]
    logits = [each.transformer().forward(weights, inputs(shape)) for each in (shape, other)]
    assert torch.equal(*logits)
