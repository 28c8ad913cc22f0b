import torch
from support.naive_model import Naive, assert_formula, context, shape_of, start
from torch import Tensor

from resformer.residuals.attn_res import AttnRes


def attended(net: Naive, values: list[Tensor]) -> Tensor:
    if len(values) == 1:
        return values[0]
    v = torch.stack(values)  # (i, T, D)
    unit = v / torch.sqrt((v**2).mean(-1, keepdim=True) + 1e-6)
    a = torch.softmax(unit @ net.w[f"reader{len(values)}.attn_res.query"], 0)
    return torch.einsum("it,itd->td", a, v)


def layers(net: Naive, x: Tensor) -> Tensor:
    values = [x]
    for i in net.sublayers:
        values.append(net.pre(i, attended(net, values)))
    return net.norm("last", attended(net, values))


def test_formula() -> None:
    assert_formula(AttnRes(), layers)


def test_at_the_start_it_reads_the_mean() -> None:
    shape = shape_of(AttnRes())
    _, w = start(shape)
    values = tuple(
        torch.randn(3, 2, 4, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    )
    read = AttnRes().read(values, context(AttnRes(), 3, w))
    torch.testing.assert_close(read, torch.stack(values).mean(0))
