"""Functions of single numbers: their values, and their bits wherever a number lies in a tensor."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from resformer.numerics import elementwise

DTYPES = (torch.bfloat16, torch.float32, torch.float64)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("function", [elementwise.sigmoid, elementwise.gelu, elementwise.rsqrt])
def test_bits_do_not_depend_on_the_place(
    function: Callable[[Tensor], Tensor], dtype: torch.dtype
) -> None:
    """The end of a tensor that fills no vector is the inside of a longer one."""
    whole = _values_and_slopes(function, 1007, dtype)
    for end in range(1, 65):
        assert torch.equal(_values_and_slopes(function, end, dtype), whole[:, :end])


@pytest.mark.parametrize("dtype", DTYPES[1:])
def test_values_are_torchs(dtype: torch.dtype) -> None:
    x = torch.linspace(0.01, 5, 101, dtype=dtype)
    torch.testing.assert_close(elementwise.sigmoid(x), torch.sigmoid(x))
    torch.testing.assert_close(elementwise.gelu(x), torch.nn.functional.gelu(x))
    torch.testing.assert_close(elementwise.rsqrt(x), torch.rsqrt(x), rtol=0, atol=0)


def _values_and_slopes(
    function: Callable[[Tensor], Tensor], length: int, dtype: torch.dtype
) -> Tensor:
    x = torch.linspace(0.01, 5, 1007).to(dtype)[:length].clone().requires_grad_()
    y = function(x)
    (slopes,) = torch.autograd.grad(y.sum(), x)
    return torch.stack([y, slopes.to(y.dtype)])
