import torch
from support.naive_model import Naive, assert_formula, inputs, outputs, shape_of, start
from torch import Tensor

from resformer.residuals.add import Add
from resformer.residuals.residual_dual import ResidualDual


def layers(net: Naive, x: Tensor) -> Tensor:
    y = x
    for i in net.sublayers:
        f = net.F(i, x)
        x, y = net.post(i, x + f), y + f
    return x + net.norm("last", y)


def test_formula() -> None:
    assert_formula(ResidualDual(), layers)


def test_goes_with_post_norm_only() -> None:
    assert ResidualDual().norms == ("post",)


def test_without_the_second_stream_it_is_post_norm() -> None:
    shape = shape_of(ResidualDual())
    flat_PN, w = start(shape)
    w["last.norm.gain"].zero_()
    assert torch.equal(
        shape.transformer().forward(flat_PN, inputs(shape)), outputs(Add(), norm="post")
    )
