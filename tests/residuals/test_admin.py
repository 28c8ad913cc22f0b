import pytest
import torch
from support.naive_model import Naive, assert_formula, shape_of, start
from torch import Tensor

from resformer.residuals.admin import Admin


def layers(net: Naive, x: Tensor) -> Tensor:
    for i in net.sublayers:
        x = net.post(i, x @ torch.diag(net.w[f"sublayer{i}.admin.omega"]) + net.F(i, x))
    return x


def test_formula() -> None:
    assert_formula(Admin(), layers)


@pytest.mark.parametrize(("depth", "omega"), [(1, 1.3156), (6, 2.0170), (18, 3.0408)])
def test_starts_with_the_closed_form(depth: int, omega: float) -> None:
    """sqrt((2L + 1) / ln(2L + 1) - 1), worked out by hand to four decimals."""
    _, w = start(shape_of(Admin(), depth=depth))
    for i in range(1, 2 * depth + 1):
        assert w[f"sublayer{i}.admin.omega"].shape == (2, 12)
        assert w[f"sublayer{i}.admin.omega"].unique().tolist() == [pytest.approx(omega, abs=5e-5)]
