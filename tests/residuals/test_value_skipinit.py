import pytest
import torch
from support.naive_model import Naive, assert_formula, context, shape_of, start
from torch import Tensor

from resformer.residuals.value_skipinit import ValueSkipInit

SCHEME = ValueSkipInit(ffn_gain_at_18_blocks=0.1)


def layers(net: Naive, x: Tensor) -> Tensor:
    for block in range(1, net.depth + 1):
        alpha, beta = (net.w[f"block{block}.value_skipinit.{part}"] for part in ("alpha", "beta"))

        def mix(head: int, a: Tensor) -> Tensor:
            return alpha[head] * torch.eye(len(x), dtype=x.dtype) + beta[head] * a  # noqa: B023

        x = net.attention(block, net.norm(f"sublayer{2 * block - 1}.in", x), mix=mix)
        x = x + net.w[f"block{block}.value_skipinit.ffn_gain"] * net.pre(2 * block, x)
    return net.norm("last", x)


def test_formula() -> None:
    assert_formula(SCHEME, layers)


def test_attention_starts_as_the_identity() -> None:
    shape = shape_of(SCHEME)
    _, w = start(shape)
    mixed = SCHEME.attention_pattern(
        torch.rand(
            2, 3, 3, 10, 10, generator=torch.Generator().manual_seed(0), dtype=torch.float64
        ),
        context(SCHEME, 3, w),
    )
    assert torch.equal(mixed, torch.eye(10, dtype=torch.float64).expand_as(mixed))
    for group in ("value", "output"):
        assert torch.equal(w[f"block2.{group}.matrix"][1], torch.eye(12, dtype=torch.float64))


@pytest.mark.parametrize(("depth", "gain"), [(18, 0.1), (2, 0.3)])
def test_the_ffn_starts_as_light_as_that_of_shaped_attention(depth: int, gain: float) -> None:
    """He & Hofmann's configuration `skipless`: 0.1 at 18 blocks, O(L^(-1/2))."""
    _, w = start(shape_of(SCHEME, depth=depth))
    assert w["block1.value_skipinit.ffn_gain"].flatten().tolist() == [pytest.approx(gain)] * 2
