import pytest
import torch
from support.naive_model import Naive, assert_formula, shape_of, start
from torch import Tensor

from resformer.residuals.add import Add
from resformer.residuals.gpt2 import Gpt2


def layers(net: Naive, x: Tensor) -> Tensor:
    for i in net.sublayers:
        x = x + net.pre(i, x)
    return net.norm("last", x)


def test_formula() -> None:
    assert_formula(Gpt2(), layers)


@pytest.mark.parametrize("depth", [1, 8])
def test_matrices_that_write_into_the_stream_start_smaller(depth: int) -> None:
    _, ours = start(shape_of(Gpt2(), depth=depth))
    _, base = start(shape_of(Add(), norm="pre", depth=depth))
    for name, tensor in base.items():
        smaller = name.endswith(("output.matrix", "ffn_out.matrix"))
        torch.testing.assert_close(ours[name], tensor / (2 * depth) ** 0.5 if smaller else tensor)
