import pytest
from support.naive_model import Naive, assert_formula
from torch import Tensor

from resformer.keys import NORMS
from resformer.residuals.add import Add


def pre(net: Naive, x: Tensor) -> Tensor:
    for i in net.sublayers:
        x = x + net.pre(i, x)
    return net.norm("last", x)


def post(net: Naive, x: Tensor) -> Tensor:
    for i in net.sublayers:
        x = net.post(i, x + net.F(i, x))
    return x


def sandwich(net: Naive, x: Tensor) -> Tensor:
    for i in net.sublayers:
        x = x + net.norm(f"sublayer{i}.branch", net.pre(i, x))
    return net.norm("last", x)


@pytest.mark.parametrize(("norm", "layers"), [("pre", pre), ("post", post), ("sandwich", sandwich)])
def test_formula(norm: str, layers: object) -> None:
    assert_formula(Add(), layers, norm=norm)


def test_goes_with_every_norm() -> None:
    assert Add().norms == NORMS
    assert Add().own_norm == "post"
