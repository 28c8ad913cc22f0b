import pytest
import torch
from support.naive_model import Naive, assert_formula, outputs
from torch import Tensor

from resformer.errors import UserError
from resformer.residuals.add import Add
from resformer.residuals.base import Architecture
from resformer.residuals.mix_ln import MixLn


def layers(net: Naive, x: Tensor) -> Tensor:
    for i in net.sublayers:
        x = net.post(i, x + net.F(i, x)) if i <= 2 else x + net.pre(i, x)  # of 4 blocks the first
    return net.norm("last", x)


def test_formula() -> None:
    assert_formula(MixLn(post_share=0.25), layers, depth=4)


def test_three_blocks_are_all_pre_norm_and_a_share_of_one_is_post_norm() -> None:
    assert torch.equal(outputs(MixLn(post_share=0.25)), outputs(Add(), norm="pre"))
    assert torch.equal(outputs(MixLn(post_share=1.0)), outputs(Add(), norm="post"))


def test_an_impossible_share_is_refused() -> None:
    with pytest.raises(UserError, match=r"model\.residual\.post_share=1\.5"):
        MixLn(post_share=1.5)


def test_a_share_is_not_rounded_down_for_want_of_digits() -> None:
    scheme = MixLn(post_share=0.57)  # times 100 is 56.99999999999999
    architecture = Architecture(
        depth=100, distinct_blocks=100, width=12, heads=3, tokens=9, causal=True, bias=True
    )
    assert (
        sum(scheme.placement("own", 2 * block, architecture) == "post" for block in range(1, 101))
        == 57
    )
