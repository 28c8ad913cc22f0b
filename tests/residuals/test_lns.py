import torch
from support.naive_model import Naive, assert_formula, outputs
from torch import Tensor

from resformer.residuals.add import Add
from resformer.residuals.lns import Lns


def layers(net: Naive, x: Tensor) -> Tensor:
    for i in net.sublayers:
        block = (i + 1) // 2
        x = x + net.F(i, net.norm(f"sublayer{i}.in", x) / block**0.5)
    return net.norm("last", x)


def test_formula() -> None:
    assert_formula(Lns(), layers)


def test_of_one_block_it_is_pre_norm() -> None:
    assert torch.equal(outputs(Lns(), depth=1), outputs(Add(), norm="pre", depth=1))
