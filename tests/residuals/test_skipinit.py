import pytest
import torch
from support.naive_model import Naive, assert_formula, outputs, shape_of
from torch import Tensor

from resformer.errors import UserError
from resformer.residuals.add import Add
from resformer.residuals.rezero import ReZero
from resformer.residuals.skipinit import SkipInit


@pytest.mark.parametrize("norm", ["none", "pre"])
def test_formula(norm: str) -> None:
    def layers(net: Naive, x: Tensor) -> Tensor:
        for i in net.sublayers:
            x = x + net.w[f"sublayer{i}.skipinit.alpha"] * (
                net.pre(i, x) if norm == "pre" else net.F(i, x)
            )
        return net.norm("last", x) if norm == "pre" else x

    assert_formula(SkipInit(initial=0.5), layers, norm=norm)


def test_switched_off_it_is_rezero_and_switched_on_it_is_add() -> None:
    assert torch.equal(outputs(SkipInit(initial=0.0)), outputs(ReZero(initial=0.0)))
    assert torch.equal(outputs(SkipInit(initial=1.0), norm="pre"), outputs(Add(), norm="pre"))


def test_one_learned_scalar_per_sublayer() -> None:
    weights = SkipInit(initial=0.0).parameters(
        shape_of(SkipInit(initial=0.0)).transformer().architecture
    )
    assert [(weight.size, weight.scale) for weight in weights] == [(1, 0.0)] * 6


def test_an_initial_value_that_is_no_number_is_refused() -> None:
    with pytest.raises(UserError, match=r"model\.residual\.initial=nan"):
        SkipInit(initial=float("nan"))
