import pytest
import torch
from support.naive_model import Naive, assert_formula, context, shape_of, start
from torch import Tensor

from resformer.residuals.delta_attn_res import DeltaAttnRes


@pytest.mark.parametrize("null_source", [False, True])
def test_formula(null_source: bool) -> None:
    def layers(net: Naive, x: Tensor) -> Tensor:
        deltas = [x]
        for i in net.sublayers:
            h, name = x, f"sublayer{i}.delta_attn_res"
            if i > 1:
                null = [net.w[f"{name}.null"].expand(len(x), -1)] if null_source else []
                d = torch.stack([*null, *deltas])  # (j, T, D)
                unit = d / torch.sqrt((d**2).mean(-1, keepdim=True) + 1e-6)
                a = torch.softmax(unit @ net.w[f"{name}.query"], 0)
                h = x + torch.einsum("jt,jtd->td", a, d)
            f = net.pre(i, h)
            x = x + f
            deltas.append(f)
        return net.norm("last", x)

    assert_formula(DeltaAttnRes(null_source=null_source), layers)


@pytest.mark.parametrize("null_source", [False, True])
def test_at_the_start_it_adds_the_mean_of_the_sources(null_source: bool) -> None:
    scheme = DeltaAttnRes(null_source=null_source)
    _, w = start(shape_of(scheme))
    x, *deltas = torch.randn(
        4, 2, 4, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    read = scheme.read((x, *deltas), context(scheme, 3, w))
    sources = 4 if null_source else 3
    torch.testing.assert_close(read, x + torch.stack(deltas).sum(0) / sources)


def test_a_null_source_can_take_all_attention() -> None:
    """Then the sub-layer reads the plain stream."""
    scheme = DeltaAttnRes(null_source=True)
    _, w = start(shape_of(scheme))
    x, *deltas = 1 + torch.rand(
        4, 2, 4, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    w["sublayer3.delta_attn_res.query"].fill_(-50.0)
    read = scheme.read((x, *deltas), context(scheme, 3, w))
    # Scores of positive sources are below -50·12·½, that of 0 is 0: exp(-300) is left of them.
    torch.testing.assert_close(read, x, rtol=1e-15, atol=0)
