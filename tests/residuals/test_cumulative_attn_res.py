import pytest
import torch
from support.naive_model import Naive, assert_formula, context, inputs, outputs, shape_of, start
from torch import Tensor

from resformer.errors import UserError
from resformer.residuals.add import Add
from resformer.residuals.cumulative_attn_res import CumulativeAttnRes


@pytest.mark.parametrize(("blocks", "behind"), [(1, [6]), (2, [4]), (8, [2, 4, 6])])
def test_formula(blocks: int, behind: list[int]) -> None:
    """`behind`: the sub-layers, of six, behind which the state is kept."""

    def layers(net: Naive, x: Tensor) -> Tensor:
        states = [x]
        for i in net.sublayers:
            h, name = x, f"sublayer{i}.cumulative_attn_res"
            if i > 1:
                s = torch.stack([*states, x])  # (j, T, D)
                unit = s / torch.sqrt((s**2).mean(-1, keepdim=True) + 1e-6)
                logits = unit @ net.w[f"{name}.query"]
                logits = torch.cat([logits[:-1], logits[-1:] + net.w[f"{name}.recency_bias"]])
                h = torch.einsum("jt,jtd->td", torch.softmax(logits, 0), s)
            x = x + net.pre(i, h)
            if i in behind:
                states.append(x)
        return net.norm("last", x)

    assert_formula(CumulativeAttnRes(blocks=blocks, recency_bias=0.5), layers)


def test_with_a_large_recency_bias_it_is_pre_norm() -> None:
    scheme = CumulativeAttnRes(blocks=8, recency_bias=10.0)
    shape = shape_of(scheme)
    flat_PN, w = start(shape)
    for i in range(2, 7):
        w[f"sublayer{i}.cumulative_attn_res.recency_bias"].fill_(50.0)
    # exp(-50) is 2e-22.
    torch.testing.assert_close(
        shape.transformer().forward(flat_PN, inputs(shape)), outputs(Add(), norm="pre")
    )


def test_at_the_start_it_reads_the_mean() -> None:
    """Of a tied pair, the state behind a block and the stream, each counts."""
    scheme = CumulativeAttnRes(blocks=8, recency_bias=0.0)
    _, w = start(shape_of(scheme))
    x, embedding = torch.randn(
        2, 2, 4, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    read = scheme.read((x, embedding, x), context(scheme, 3, w))
    torch.testing.assert_close(read, (embedding + 2 * x) / 3)


@pytest.mark.parametrize(("blocks", "recency_bias"), [(0, 0.0), (8, float("nan"))])
def test_impossible_settings_are_refused(blocks: int, recency_bias: float) -> None:
    with pytest.raises(UserError, match=r"model\.residual\."):
        CumulativeAttnRes(blocks=blocks, recency_bias=recency_bias)
