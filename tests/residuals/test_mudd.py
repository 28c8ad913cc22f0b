import torch
from support.naive_model import Naive, assert_formula, gelu, outputs, rms, shape_of, start
from torch import Tensor

from resformer.residuals.add import Add
from resformer.residuals.mudd import Mudd


def layers(net: Naive, x: Tensor) -> Tensor:
    history, ways = [x], [x] * 4
    for block in range(1, net.depth + 1):
        x, *qkv = ways
        q, k, v = (net.norm(f"sublayer{2 * block - 1}.in", part) for part in qkv)
        q, k = net.projected(f"block{block}.query", q), net.projected(f"block{block}.key", k)
        x = x + net.attend(block, q, k, net.values(block, v))
        x = x + net.pre(2 * block, x)
        history.append(x)
        name = f"block{block}.mudd"
        A = gelu(rms(x) @ net.w[f"{name}.in"]) @ net.w[f"{name}.out"]
        A = A.unflatten(-1, (-1, block + 1))  # (T, ways, j)
        A = A + torch.cat([net.w[f"{name}.earlier"], net.w[f"{name}.own"]], -1)
        ways = list(torch.einsum("tcj,jtd->ctd", A, torch.stack(history)))
    (x,) = ways
    return net.norm("last", x)


def test_formula() -> None:
    assert_formula(Mudd(), layers)


def test_at_the_start_it_is_pre_norm() -> None:
    torch.testing.assert_close(outputs(Mudd()), outputs(Add(), norm="pre"), rtol=1e-10, atol=1e-10)


def test_every_block_weighs_all_before_it_four_times_and_the_last_one_once() -> None:
    _, w = start(shape_of(Mudd()))
    assert [w[f"block{block}.mudd.out"].shape[1:] for block in (1, 2, 3)] == [
        (8, 8),
        (12, 12),
        (4, 4),
    ]
    # Normal with a standard deviation of 12^-1/2: five standard errors of 288 draws are 0.06.
    assert abs(w["block2.mudd.in"].std() - 12**-0.5) < 0.06
