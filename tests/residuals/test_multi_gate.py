import math

import pytest
import torch
from support.naive_model import (
    Naive,
    assert_formula,
    away_from_start,
    context,
    inputs,
    rms,
    shape_of,
    start,
)
from torch import Tensor

from resformer.errors import UserError
from resformer.numerics.parameters import unpack
from resformer.residuals.attn_res import AttnRes
from resformer.residuals.multi_gate import MultiGate


@pytest.mark.parametrize("n", [2, 3, 8])
def test_formula(n: int) -> None:
    """With gates at most sub-layers, at some, and at none."""

    def layers(net: Naive, x: Tensor) -> Tensor:
        streams = [x]

        def scores(w: Tensor) -> Tensor:
            return rms(torch.stack(streams)) @ w / math.sqrt(len(w))

        def read(owner: str) -> Tensor:
            a = torch.softmax(scores(net.w[f"{owner}.multi_gate.query"]), 0)
            return torch.einsum("jt,jtd->td", a, torch.stack(streams))

        for i in net.sublayers:
            f = net.pre(i, x if i == 1 else read(f"sublayer{i}"))
            if len(streams) < n:
                streams.append(f)
                continue
            gates = scores(net.w[f"sublayer{i}.multi_gate.gate"])
            beta = torch.sigmoid(gates + net.w[f"sublayer{i}.multi_gate.bias"].unsqueeze(1))
            weighted = zip(streams, beta.unsqueeze(2), strict=True)
            streams = [(1 - b) * s + b * f for s, b in weighted]
        return net.norm("last", read("output"))

    assert_formula(MultiGate(streams=n, gate_bias_at_21_sublayers=-3.0), layers)


def test_with_more_streams_than_sublayers_it_is_attention_residuals() -> None:
    """Whose queries are the same but for √D."""
    ours = MultiGate(streams=8, gate_bias_at_21_sublayers=-3.0)
    shapes = [shape_of(residual) for residual in (ours, AttnRes())]
    flats_PN = [away_from_start(shape) for shape in shapes]
    ours_w, w = (
        unpack(shape.transformer().parameter_specs, flat_PN)
        for shape, flat_PN in zip(shapes, flats_PN, strict=True)
    )
    for name, tensor in w.items():
        if name.startswith("reader"):
            reader = int(name.removeprefix("reader").split(".")[0])
            owner = "output" if reader == 7 else f"sublayer{reader}"
            tensor.copy_(ours_w[f"{owner}.multi_gate.query"] / math.sqrt(12))
        else:
            tensor.copy_(ours_w[name])
    logits = [
        shape.transformer().forward(flat_PN, inputs(shape))
        for shape, flat_PN in zip(shapes, flats_PN, strict=True)
    ]
    # float64, values of size 10 at most.
    torch.testing.assert_close(*logits, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("depth", "gated", "opening"), [(12, 21, 1.0), (3, 3, 7**0.5)])
def test_gates_start_wider_with_fewer_sublayers(depth: int, gated: int, opening: float) -> None:
    residual = MultiGate(streams=4, gate_bias_at_21_sublayers=-3.0)
    _, w = start(shape_of(residual, depth=depth))
    biases = [tensor for name, tensor in w.items() if name.endswith("multi_gate.bias")]
    assert len(biases) == gated
    torch.testing.assert_close(
        torch.stack(biases).sigmoid().unique(),
        torch.tensor([opening / (1 + math.exp(3))], dtype=torch.float64),
        rtol=1e-12,
        atol=0,
    )


def test_no_token_of_a_stream_grows_beyond_the_largest_that_went_into_it() -> None:
    """|s'| ≤ max(|s|, |F|), since gates only mix."""
    residual = MultiGate(streams=3, gate_bias_at_21_sublayers=-3.0)
    w = unpack(
        shape_of(residual).transformer().parameter_specs, away_from_start(shape_of(residual))
    )
    *streams, f = torch.randn(
        4, 2, 5, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    written = residual.write(tuple(streams), f, context(residual, 5, w))
    for before, after in zip(streams, written, strict=True):
        assert (after.norm(dim=-1) <= torch.maximum(before.norm(dim=-1), f.norm(dim=-1))).all()
        assert not torch.equal(before, after)


@pytest.mark.parametrize(("streams", "bias"), [(1, -3.0), (17, -3.0), (4, -1.0), (4, float("nan"))])
def test_impossible_settings_are_refused(streams: int, bias: float) -> None:
    with pytest.raises(UserError, match=r"model\.residual\."):
        MultiGate(streams=streams, gate_bias_at_21_sublayers=bias)
