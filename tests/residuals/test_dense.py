import torch
from support.naive_model import Naive, assert_formula, outputs, shape_of, start
from torch import Tensor

from resformer.residuals.add import Add
from resformer.residuals.dense import Dense


def layers(net: Naive, x: Tensor) -> Tensor:
    history = [x]
    for block in range(1, net.depth + 1):
        for i in (2 * block - 1, 2 * block):
            x = x + net.pre(i, x)
        history.append(x)
        alpha = torch.cat([net.w[f"block{block}.dense.earlier"], net.w[f"block{block}.dense.own"]])
        x = sum((alpha[j] * history[j] for j in range(block + 1)), torch.zeros_like(x))
    return net.norm("last", x)


def test_formula() -> None:
    assert_formula(Dense(), layers)


def test_at_the_start_it_is_pre_norm() -> None:
    assert torch.equal(outputs(Dense()), outputs(Add(), norm="pre"))


def test_every_block_weighs_all_before_it() -> None:
    _, w = start(shape_of(Dense()))
    assert [w[f"block{block}.dense.earlier"].shape[1] for block in (1, 2, 3)] == [1, 2, 3]
