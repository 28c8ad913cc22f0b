import pytest
import torch
from support.naive_model import Naive, assert_formula, outputs
from torch import Tensor

from resformer.errors import UserError
from resformer.residuals.add import Add
from resformer.residuals.value_residual import ValueResidual


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_formula(norm: str) -> None:
    def layers(net: Naive, x: Tensor) -> Tensor:
        first = torch.zeros_like(x)
        for i in net.sublayers:
            block = (i + 1) // 2
            h = net.norm(f"sublayer{i}.in", x) if norm == "pre" else x
            if i % 2:
                own = net.values(block, h)
                first = own if block == 1 else first
                f = net.attention(block, h, own if block == 1 else 0.3 * first + 0.8 * own)
            else:
                f = net.ffn(block, h)
            x = net.post(i, x + f) if norm == "post" else x + f
        return net.norm("last", x) if norm == "pre" else x

    assert_formula(ValueResidual(first=0.3, own=0.8), layers, norm=norm)


def test_with_its_own_values_alone_it_is_add() -> None:
    torch.testing.assert_close(
        outputs(ValueResidual(first=0.0, own=1.0)),
        outputs(Add(), norm="pre"),
        rtol=1e-10,
        atol=1e-10,
    )


def test_a_share_that_is_no_number_is_refused() -> None:
    with pytest.raises(UserError, match=r"model\.residual\.own=nan"):
        ValueResidual(first=0.5, own=float("nan"))
