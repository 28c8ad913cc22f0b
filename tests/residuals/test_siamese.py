import math

import pytest
import torch
from support.naive_model import Layers, Naive, assert_formula, inputs, logits, shape_of, start
from torch import Tensor

from resformer.residuals.siamese import Siamese


def layers(net: Naive, x: Tensor) -> Tensor:
    y = x

    def read(owner: str) -> Tensor:
        normed = net.unit(y) * net.w[f"{owner}.siamese.gain"]
        return x + normed + net.w.get(f"{owner}.siamese.bias", 0)

    for i in net.sublayers:
        f = net.pre(i, read(f"sublayer{i}"))
        x = net.post(i, x + f / math.sqrt(2 * ((i + 1) // 2)))
        y = y + f
    return net.norm("last", read("output"))


@pytest.mark.parametrize("bias", [True, False])
def test_formula(bias: bool) -> None:
    assert_formula(Siamese(), layers, bias=bias)


def test_without_biases_no_norm_has_one() -> None:
    _, w = start(shape_of(Siamese(), bias=False))
    assert not [name for name in w if name.endswith(".bias")]


def pre_norm(net: Naive, x: Tensor) -> Tensor:
    """Pre-norm whose sub-layers read N(N(y)), but the first, which also has x."""
    y = x
    for i in net.sublayers:
        y = y + net.pre(i, net.unit(y) + (x if i == 1 else 0))
    return net.norm("last", net.unit(y))


def post_norm(net: Naive, x: Tensor) -> Tensor:
    """Post-norm with a norm at the input, and branches scaled by depth."""
    for i in net.sublayers:
        x = net.post(i, x + net.pre(i, x) / math.sqrt(2 * ((i + 1) // 2)))
    return net.norm("last", x)


@pytest.mark.parametrize(
    ("norms", "one_stream"), [(".out.norm.", pre_norm), (".siamese.", post_norm)]
)
def test_without_the_norms_of_a_stream_the_other_is_left(norms: str, one_stream: Layers) -> None:
    shape = shape_of(Siamese())
    flat_PN, w = start(shape, members=1)
    for name, tensor in w.items():
        if norms in name:
            tensor.zero_()
    inputs_PBT = inputs(shape, members=1)
    (ours,) = shape.transformer().forward(flat_PN, inputs_PBT)
    own = {name: tensor[0] for name, tensor in w.items()}
    expected = logits(one_stream, own, inputs_PBT[0], shape)
    # float64, values of size 10 at most.
    torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-9)
