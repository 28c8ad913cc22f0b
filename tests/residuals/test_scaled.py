import pytest
import torch
from support.naive_model import Naive, assert_formula, outputs
from torch import Tensor

from resformer.errors import UserError
from resformer.residuals.add import Add
from resformer.residuals.scaled import Scaled


@pytest.mark.parametrize("exponent", [0.5, 1.0])
def test_formula(exponent: float) -> None:
    def layers(net: Naive, x: Tensor) -> Tensor:
        for i in net.sublayers:
            x = x + net.pre(i, x) / 6**exponent  # 3 blocks are 6 sub-layers
        return net.norm("last", x)

    assert_formula(Scaled(exponent=exponent), layers)


@pytest.mark.parametrize("norm", ["pre", "none"])
def test_without_exponent_it_is_add(norm: str) -> None:
    assert torch.equal(outputs(Scaled(exponent=0.0), norm=norm), outputs(Add(), norm=norm))


@pytest.mark.parametrize("exponent", [-1.0, 5.0, float("nan")])
def test_an_impossible_exponent_is_refused(exponent: float) -> None:
    with pytest.raises(UserError, match=r"model\.residual\.exponent=.*must be from 0 to 4"):
        Scaled(exponent=exponent)
