import torch
from support.naive_model import Naive, assert_formula, context, shape_of, start
from torch import Tensor

from resformer.residuals.value_skipinit import ValueSkipInit


def layers(net: Naive, x: Tensor) -> Tensor:
    for block in range(1, net.depth + 1):
        alpha, beta = (net.w[f"block{block}.value_skipinit.{part}"] for part in ("alpha", "beta"))

        def mix(head: int, a: Tensor) -> Tensor:
            return alpha[head] * torch.eye(len(x), dtype=x.dtype) + beta[head] * a  # noqa: B023

        x = net.attention(block, net.norm(f"sublayer{2 * block - 1}.in", x), mix=mix)
        x = x + net.pre(2 * block, x)
    return net.norm("last", x)


def test_formula() -> None:
    assert_formula(ValueSkipInit(), layers)


def test_attention_starts_as_the_identity() -> None:
    shape = shape_of(ValueSkipInit())
    _, w = start(shape)
    mixed = ValueSkipInit().attention_pattern(
        torch.rand(2, 3, 3, 10, 10, dtype=torch.float64), context(ValueSkipInit(), 3, w)
    )
    assert torch.equal(mixed, torch.eye(10, dtype=torch.float64).expand_as(mixed))
    for group in ("value", "output"):
        assert torch.equal(w[f"block2.{group}.matrix"][1], torch.eye(12, dtype=torch.float64))
