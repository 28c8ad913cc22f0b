import pytest
import torch
from support.naive_model import Naive, assert_formula, outputs, shape_of
from torch import Tensor

from resformer.errors import UserError
from resformer.residuals.add import Add
from resformer.residuals.layerscale import LayerScale

SCHEME = LayerScale(initial_to_18_blocks=0.1, initial_to_24_blocks=1e-5, initial_beyond=1e-6)


def layers(net: Naive, x: Tensor) -> Tensor:
    for i in net.sublayers:
        x = x + net.pre(i, x) @ torch.diag(net.w[f"sublayer{i}.layerscale.lambda"])
    return net.norm("last", x)


def test_formula() -> None:
    assert_formula(SCHEME, layers)


def test_with_ones_it_is_add() -> None:
    assert torch.equal(
        outputs(LayerScale(initial_to_18_blocks=1.0, initial_to_24_blocks=1.0, initial_beyond=1.0)),
        outputs(Add(), norm="pre"),
    )


@pytest.mark.parametrize(
    ("depth", "value"), [(1, 0.1), (18, 0.1), (19, 1e-5), (24, 1e-5), (25, 1e-6), (100, 1e-6)]
)
def test_initial_gains_fall_with_depth(depth: int, value: float) -> None:
    weights = SCHEME.parameters(shape_of(SCHEME, depth=depth).transformer().architecture)
    assert [(weight.size, weight.scale) for weight in weights] == [(12, value)] * (2 * depth)


def test_an_initial_value_that_is_no_number_is_refused() -> None:
    with pytest.raises(UserError, match=r"model\.residual\.initial_beyond=nan"):
        LayerScale(initial_to_18_blocks=0.1, initial_to_24_blocks=0.1, initial_beyond=float("nan"))
