import itertools
import math

import pytest
import torch
from support.naive_model import (
    Naive,
    assert_formula,
    away_from_start,
    context,
    shape_of,
    start,
)
from torch import Tensor

from resformer.errors import UserError
from resformer.numerics.parameters import unpack
from resformer.residuals.mhc_lite import MhcLite


@pytest.mark.parametrize("n", [2, 3])
def test_formula(n: int) -> None:
    def layers(net: Naive, x: Tensor) -> Tensor:
        H = x.unsqueeze(1).expand(-1, n, -1)  # (T, n, D)
        for i in net.sublayers:
            name = f"sublayer{i}.mhc_lite"
            u = H.flatten(1)
            u = u / torch.sqrt((u**2).mean(-1, keepdim=True) + 1e-6)
            phi = net.w[f"{name}.dynamic"]
            s, t, r = (net.w[f"{name}.scale_{of}"] for of in ("read", "write", "mix"))
            c_a, c_b = (
                torch.cat([net.w[f"{name}.{part}{j}"] for j in range(n)])
                for part in ("read", "write")
            )
            c_M = torch.cat([net.w[f"{name}.identity"], net.w[f"{name}.permutations"]])
            a = torch.sigmoid(s * (u @ phi[:, :n]) + c_a)
            b = 2 * torch.sigmoid(t * (u @ phi[:, n : 2 * n]) + c_b)
            m = torch.softmax(r * (u @ phi[:, 2 * n :]) + c_M, -1)
            f = net.pre(i, torch.einsum("tn,tnd->td", a, H))
            mixed = torch.zeros_like(H)
            for p, order in enumerate(itertools.permutations(range(n))):
                mixed = mixed + m[:, p, None, None] * H[:, list(order)]
            H = mixed + torch.einsum("tk,td->tkd", b, f)
        return net.norm("last", H.sum(1))

    assert_formula(MhcLite(streams=n, dynamic=0.01), layers)


def matrices(flat_PN: Tensor, scheme: MhcLite, dtype: torch.dtype = torch.float64) -> Tensor:
    """Mixing matrices of five tokens in sub-layer 3."""
    w = unpack(shape_of(scheme).transformer().parameter_specs, flat_PN.to(dtype))
    noise = torch.Generator().manual_seed(0)
    drawn = torch.randn(scheme.streams, 7, 5, 12, generator=noise, dtype=torch.float64).to(dtype)
    streams = tuple(x_PRD[: len(flat_PN)] for x_PRD in drawn)
    return scheme.mixing(streams, context(scheme, 3, w))


def test_rows_and_columns_sum_to_one() -> None:
    scheme = MhcLite(streams=4, dynamic=1.0)
    M = matrices(away_from_start(shape_of(scheme), members=7), scheme)
    ones = torch.ones(7, 5, 4, dtype=torch.float64)
    # 24 numbers of float64 in another order: 1e-15.
    torch.testing.assert_close(M.sum(-1), ones, rtol=1e-14, atol=0)
    torch.testing.assert_close(M.sum(-2), ones, rtol=1e-14, atol=0)
    assert M.min() > 0


def test_matrices_start_near_the_identity() -> None:
    """Of the 24 permutations of four streams 6 map one stream to a given one."""
    scheme = MhcLite(streams=4, dynamic=0.01)
    M = matrices(start(shape_of(scheme))[0], scheme)
    other = math.exp(-8) / (1 + 23 * math.exp(-8))
    expected = torch.full((4, 4), 6 * other, dtype=torch.float64).fill_diagonal_(1 - 18 * other)
    torch.testing.assert_close(M, expected.expand_as(M), rtol=1e-12, atol=0)


def test_matrices_of_a_member_do_not_depend_on_the_members_beside_it() -> None:
    """Bit for bit, for every number of streams."""
    for n in range(2, 6):
        scheme = MhcLite(streams=n, dynamic=1.0)
        flat_PN = away_from_start(shape_of(scheme), members=7)
        alone = matrices(flat_PN[:1], scheme, torch.float32)
        together = matrices(flat_PN, scheme, torch.float32)
        assert torch.equal(alone[0], together[0])


def test_a_sublayer_writes_mostly_to_the_stream_that_it_reads() -> None:
    _, w = start(shape_of(MhcLite(streams=4, dynamic=0.01)))
    for i, part in itertools.product(range(1, 7), ("read", "write")):
        biases = [w[f"sublayer{i}.mhc_lite.{part}{j}"][0].item() for j in range(4)]
        assert biases == [1.0 if j == i % 4 else -1.0 for j in range(4)]


@pytest.mark.parametrize(("streams", "dynamic"), [(1, 0.01), (6, 0.01), (4, float("nan"))])
def test_impossible_settings_are_refused(streams: int, dynamic: float) -> None:
    with pytest.raises(UserError, match=r"model\.residual\."):
        MhcLite(streams=streams, dynamic=dynamic)
