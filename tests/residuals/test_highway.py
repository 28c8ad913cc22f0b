import pytest
import torch
from support.naive_model import Naive, assert_formula, outputs, shape_of, start
from torch import Tensor

from resformer.errors import UserError
from resformer.residuals.highway import Highway
from resformer.residuals.plain import Plain


@pytest.mark.parametrize("norm", ["post", "pre"])
def test_formula(norm: str) -> None:
    def layers(net: Naive, x: Tensor) -> Tensor:
        for i in net.sublayers:
            gate = torch.sigmoid(net.linear(f"sublayer{i}.highway", x))
            x = gate * (net.pre(i, x) if norm == "pre" else net.F(i, x)) + (1 - gate) * x
            x = net.post(i, x) if norm == "post" else x
        return net.norm("last", x) if norm == "pre" else x

    assert_formula(Highway(gate_bias=-2.0), layers, norm=norm)


def test_with_open_gates_it_is_plain() -> None:
    # σ(20 + a few) is 1 to within 2e-9 a sub-layer.
    torch.testing.assert_close(
        outputs(Highway(gate_bias=20.0)), outputs(Plain()), rtol=1e-5, atol=1e-5
    )


def test_gates_start_at_the_bias() -> None:
    _, w = start(shape_of(Highway(gate_bias=-3.0)))
    assert w["sublayer4.highway.bias"].unique().tolist() == [-3.0]
    assert w["sublayer4.highway.matrix"].std() > 0.1


def test_an_impossible_bias_is_refused() -> None:
    with pytest.raises(UserError, match=r"model\.residual\.gate_bias=nan"):
        Highway(gate_bias=float("nan"))
