import pytest
import torch
from support.naive_model import Naive, assert_formula, shape_of, start
from torch import Tensor

from resformer.residuals.add import Add
from resformer.residuals.t_fixup import TFixup


def layers(net: Naive, x: Tensor) -> Tensor:
    for i in net.sublayers:
        x = x + net.F(i, x)
    return x


def test_formula() -> None:
    assert_formula(TFixup(), layers)


@pytest.mark.parametrize(("depth", "branch", "embedding"), [(1, 0.67, 0.5774), (16, 0.335, 0.2887)])
def test_initial_matrices_are_scaled_by_depth(depth: int, branch: float, embedding: float) -> None:
    """0.67·L^(-1/4) and (9L)^(-1/4), to four decimals."""
    _, ours = start(shape_of(TFixup(), depth=depth))
    _, base = start(shape_of(Add(), norm="none", depth=depth))
    for name, tensor in base.items():
        group = name.split(".")[1]
        gain = embedding if name.startswith("embedding") else 1.0
        if name.endswith(".matrix") and group in ("value", "output", "ffn_in", "ffn_out"):
            gain = branch
        torch.testing.assert_close(ours[name], tensor * gain, rtol=1e-4, atol=1e-12)
