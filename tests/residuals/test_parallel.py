import torch
from support.naive_model import Naive, assert_formula, inputs, outputs, shape_of, start
from torch import Tensor

from resformer.residuals.add import Add
from resformer.residuals.parallel import Parallel


def layers(net: Naive, x: Tensor) -> Tensor:
    for block in range(1, net.depth + 1):
        x = x + net.pre(2 * block - 1, x) + net.pre(2 * block, x)
    return net.norm("last", x)


def test_formula() -> None:
    assert_formula(Parallel(), layers)


def test_where_attention_gives_nothing_it_is_pre_norm() -> None:
    """The FFN then reads the same x one after the other and side by side."""
    logits = []
    for residual in (Parallel(), Add()):
        shape = shape_of(residual, norm="pre")
        flat_PN, w = start(shape)
        for block in (1, 2, 3):
            w[f"block{block}.output.matrix"].zero_()
        logits.append(shape.transformer().forward(flat_PN, inputs(shape)))
    assert torch.equal(*logits)
    assert not torch.equal(outputs(Parallel()), outputs(Add(), norm="pre"))
