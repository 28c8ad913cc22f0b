import torch
from support.naive_model import Naive, assert_formula, outputs, shape_of, start
from torch import Tensor

from resformer.residuals.add import Add
from resformer.residuals.keel import Keel


def layers(net: Naive, x: Tensor) -> Tensor:
    x = x + net.pre(1, x)
    x = net.post(2, x + net.pre(2, x))
    for i in net.sublayers[2:]:
        x = net.post(i, 6 * x + net.pre(i, x))  # 3 blocks are 6 sub-layers
    return x


def test_formula() -> None:
    assert_formula(Keel(), layers)


def test_the_first_attention_has_no_outer_norm() -> None:
    _, w = start(shape_of(Keel()))
    assert [i for i in range(1, 7) if f"sublayer{i}.out.norm.gain" in w] == [2, 3, 4, 5, 6]
    assert [i for i in range(1, 7) if f"sublayer{i}.in.norm.gain" in w] == [1, 2, 3, 4, 5, 6]
    assert "last.norm.gain" not in w


def test_one_block_is_pre_norm() -> None:
    """Its only outer norm stands where pre-norm has its last one, and α begins behind it."""
    assert torch.equal(outputs(Keel(), depth=1), outputs(Add(), norm="pre", depth=1))
