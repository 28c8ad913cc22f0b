import torch
from support.naive_model import Naive, assert_formula, outputs
from torch import Tensor

from resformer.keys import NORMS
from resformer.residuals.add import Add
from resformer.residuals.plain import Plain


def layers(net: Naive, x: Tensor) -> Tensor:
    for i in net.sublayers:
        x = net.post(i, net.F(i, x))
    return x


def test_formula() -> None:
    assert_formula(Plain(), layers)


def test_is_what_is_left_of_add_without_skips() -> None:
    assert torch.equal(outputs(Plain()), outputs(Add(), skip="none"))


def test_goes_with_every_norm() -> None:
    assert Plain().norms == NORMS
