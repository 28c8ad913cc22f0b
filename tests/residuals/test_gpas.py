import math

import pytest
import torch
from support.naive_model import Naive, assert_formula, context, outputs, silu
from torch import Tensor

from resformer.errors import UserError
from resformer.residuals.add import Add
from resformer.residuals.gpas import Gpas


@pytest.mark.parametrize("norm", ["pre", "sandwich"])
def test_formula(norm: str) -> None:
    def layers(net: Naive, x: Tensor) -> Tensor:
        for i in net.sublayers:
            f = net.pre(i, x)
            f = net.norm(f"sublayer{i}.branch", f) if norm == "sandwich" else f
            y = x + f
            x = y - silu(net.w[f"block{(i + 1) // 2}.gpas.gate"]) * y.detach()
        return net.norm("last", x)

    assert_formula(Gpas(initial=0.5), layers, norm=norm)


def test_at_the_start_it_is_add() -> None:
    assert torch.equal(outputs(Gpas(initial=0.0)), outputs(Add(), norm="pre"))


def test_it_scales_the_sum_but_not_its_gradients() -> None:
    x_PRD, f_PRD, g_PRD = torch.randn(3, 2, 4, 12, generator=torch.Generator().manual_seed(0))
    x_PRD.requires_grad_()
    w = {"block2.gpas.gate": torch.tensor([[1.5], [-1.5]])}
    written = Gpas(initial=0.0).write(x_PRD, f_PRD, context(Gpas(initial=0.0), 3, w))
    (gradient,) = torch.autograd.grad(written, x_PRD, g_PRD)
    assert torch.equal(gradient, g_PRD)
    for member, a in enumerate((1.5, -1.5)):
        scale = 1 - a / (1 + math.exp(-a))
        # float32, values of size 5 at most: round-off of 1e-6.
        torch.testing.assert_close(
            written[member], scale * (x_PRD + f_PRD)[member], rtol=1e-5, atol=1e-5
        )


def test_a_start_that_is_no_number_is_refused() -> None:
    with pytest.raises(UserError, match=r"model\.residual\.initial=nan"):
        Gpas(initial=float("nan"))
