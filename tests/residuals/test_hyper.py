import pytest
import torch
from support.naive_model import (
    Naive,
    assert_formula,
    away_from_start,
    context,
    outputs,
    shape_of,
    start,
)
from torch import Tensor

from resformer.errors import UserError
from resformer.numerics.parameters import unpack
from resformer.residuals.add import Add
from resformer.residuals.hyper import Hyper


@pytest.mark.parametrize("n", [1, 3])
def test_formula(n: int) -> None:
    def layers(net: Naive, x: Tensor) -> Tensor:
        streams = []
        for token in range(len(x)):  # H of all tokens side by side
            streams.append(x[token].expand(n, -1))
        H = torch.stack(streams)  # (T, n, D)
        for i in net.sublayers:
            name = f"sublayer{i}.hyper"
            products = torch.tanh(net.unit(H) @ net.w[f"{name}.dynamic"])
            s, t = net.w[f"{name}.scale_read_and_mix"], net.w[f"{name}.scale_write"]
            a_m = torch.cat([net.w[f"{name}.read{j}"] for j in range(n)]) + s * products[..., 0]
            b = net.w[f"{name}.write"] + t * products[..., 1]
            a_r = net.w[f"{name}.mix"] + s * products[..., 2:]
            f = net.pre(i, torch.einsum("tn,tnd->td", a_m, H))
            H = torch.einsum("tjk,tjd->tkd", a_r, H) + torch.einsum("tk,td->tkd", b, f)
        return net.norm("last", H.sum(1))

    assert_formula(Hyper(streams=n, dynamic=0.01), layers)


def test_one_stream_is_pre_norm_at_the_start() -> None:
    assert torch.equal(outputs(Hyper(streams=1, dynamic=0.01)), outputs(Add(), norm="pre"))


@pytest.mark.parametrize("n", [2, 4])
def test_several_streams_are_pre_norm_at_the_start_but_for_their_scale(n: int) -> None:
    # The last norm takes the scale out, but for its epsilon of 1e-5.
    torch.testing.assert_close(
        outputs(Hyper(streams=n, dynamic=0.01)), outputs(Add(), norm="pre"), rtol=1e-4, atol=1e-4
    )


def test_the_stream_that_is_read_takes_turns() -> None:
    _, w = start(shape_of(Hyper(streams=4, dynamic=0.01)))
    read = [[w[f"sublayer{i}.hyper.read{j}"][0].item() for j in range(4)] for i in range(1, 7)]
    assert [row.index(1.0) for row in read] == [1, 2, 3, 0, 1, 2]
    assert all(sum(row) == 1.0 for row in read)


def test_mixing_is_what_a_sublayer_makes_of_the_streams_without_its_output() -> None:
    scheme = Hyper(streams=3, dynamic=0.01)
    shape = shape_of(scheme)
    w = unpack(shape.transformer().parameter_specs, away_from_start(shape))
    noise = torch.Generator().manual_seed(0)
    streams = tuple(torch.randn(2, 5, 12, dtype=torch.float64, generator=noise) for _ in range(3))
    here = context(scheme, 2, w)
    written = torch.stack(scheme.write(streams, torch.zeros_like(streams[0]), here), -2)
    mixed = scheme.mixing(streams, here) @ torch.stack(streams, -2)
    torch.testing.assert_close(written, mixed, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("streams", "dynamic"), [(0, 0.01), (17, 0.01), (4, float("nan"))])
def test_impossible_settings_are_refused(streams: int, dynamic: float) -> None:
    with pytest.raises(UserError, match=r"model\.residual\."):
        Hyper(streams=streams, dynamic=dynamic)
