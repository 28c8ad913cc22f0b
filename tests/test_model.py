"""The stack around the scheme: norm placements against a naive rewrite, and what does not go
together.
"""

import dataclasses
import math
from itertools import pairwise
from typing import Any

import pytest
import torch
from support.naive_model import Naive, assert_formula, inputs, shape_of, start
from support.schemes import name_of, schemes
from torch import Tensor

from resformer.errors import Incompatible, UserError
from resformer.keys import NORMS, SKIPS
from resformer.model.settings import ModelSettings
from resformer.model.shape import Shape
from resformer.numerics.parameters import initial_values, unpack
from resformer.residuals.add import Add
from resformer.residuals.base import Residual
from resformer.residuals.rezero import ReZero


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("attention", ["causal", "bidirectional"])
@pytest.mark.parametrize("skip", SKIPS)
@pytest.mark.parametrize("length", [6, 20])
def test_every_norm_placement_with_every_skip(
    norm: str, attention: str, skip: str, length: int
) -> None:
    """20 tokens of a source are 40 with causal attention: the fused kernel instead of the one
    written out.
    """

    def layers(net: Naive, x: Tensor) -> Tensor:
        for i in net.sublayers:
            f = net.pre(i, x) if norm in ("pre", "sandwich", "pre_post") else net.F(i, x)
            f = net.norm(f"sublayer{i}.branch", f) if norm in ("branch", "sandwich") else f
            x = x + f if skip in ("both", "attention" if i % 2 else "ffn") else f
            x = net.post(i, x) if norm in ("post", "pre_post") else x
        return net.norm("last", x) if norm in ("pre", "sandwich", "branch") else x

    assert_formula(Add(), layers, length=length, norm=norm, attention=attention, skip=skip)


@pytest.mark.parametrize("residual", schemes(), ids=name_of)
def test_skips_can_be_dropped_where_there_are_single_ones(residual: Residual[Any]) -> None:
    """The output of the sub-layer alone is left."""
    if residual.skips:
        shape = shape_of(residual, skip="attention")
        activations = shape.transformer().activations(start(shape)[0], inputs(shape))
        assert [one.before is None for one in activations.sublayers] == [False, True] * 3
        if residual.own_norm in ("pre", "none"):
            assert all(
                torch.equal(one.f_PRD, after.x_PRD)
                for one, after in pairwise(activations.sublayers)
                if one.before is None
            )
    else:
        with pytest.raises(
            Incompatible, match=r"model\.skip=ffn: the scheme \w+ has no single skips to drop"
        ):
            shape_of(residual, skip="ffn")


def test_activations_have_every_sublayer_and_the_logits_of_a_forward_pass() -> None:
    shape = shape_of(Add(), norm="pre")
    transformer, (flat_PN, _) = shape.transformer(), start(shape)
    activations = transformer.activations(flat_PN, inputs(shape))
    torch.testing.assert_close(
        activations.logits_PBUV, transformer.forward(flat_PN, inputs(shape)), rtol=1e-12, atol=1e-12
    )
    assert [one.context.sublayer for one in activations.sublayers] == [1, 2, 3, 4, 5, 6]
    for one, stream, behind in zip(
        activations.sublayers, activations.streams[:-1], activations.streams[1:], strict=True
    ):
        assert torch.equal(one.x_PRD, stream)
        assert torch.equal(one.x_PRD + one.f_PRD, behind)
        assert torch.equal(one.after, behind)
        assert one.before is not None
        if one.context.is_attention:
            assert one.a_PBHTT is not None
            assert one.a_PBHTT.shape == (2, 3, 3, 10, 10)
            torch.testing.assert_close(
                one.a_PBHTT.sum(-1), torch.ones(2, 3, 3, 10, dtype=torch.float64)
            )
        else:
            assert one.a_PBHTT is None


def test_a_placement_the_scheme_does_not_allow_is_incompatible(shape: Shape) -> None:
    with pytest.raises(Incompatible, match=r"model\.norm=post: the scheme rezero goes with none"):
        dataclasses.replace(shape, residual=ReZero(initial=0.0))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"depth": 0}, "model.depth=0: must be from 1"),
        ({"heads": 3}, "model.heads=3: must divide model.width=16: one of 1, 2, 4, 8, 16"),
        ({"activation": "tanh"}, "model.activation=tanh: must be one of relu, gelu"),
        ({"norm": "both"}, "model.norm=both: must be one of own, none, pre, post"),
        ({"skip": "all"}, "model.skip=all: must be one of both, attention, ffn, none"),
        ({"attention": "full"}, "model.attention=full: must be one of own"),
    ],
)
def test_impossible_settings_are_refused(
    model: ModelSettings, change: dict[str, object], message: str
) -> None:
    with pytest.raises(UserError) as caught:
        dataclasses.replace(model, **change)
    assert message in str(caught.value)


def test_weights_have_the_documented_distributions(shape: Shape) -> None:
    weights = {spec.name: spec for spec in shape.transformer().parameter_specs}
    w = unpack(
        list(weights.values()),
        initial_values(list(weights.values()), torch.arange(400), torch.float64),
    )
    matrix = w["block1.ffn_in.matrix"]
    bound = math.sqrt(6 / (16 + 32))
    assert bound * 0.999 < matrix.abs().max() < bound
    assert float(matrix.std()) == pytest.approx(bound / math.sqrt(3), rel=0.01)
    assert float(w["embedding.token"].std()) == pytest.approx(1.0, rel=0.02)
    assert float(w["embedding.position"].mean()) == pytest.approx(0.0, abs=0.02)
    assert all(not tensor.any() for name, tensor in w.items() if name.endswith("bias"))
    assert all(bool((tensor == 1).all()) for name, tensor in w.items() if name.endswith("gain"))


@pytest.mark.parametrize("residual", schemes(), ids=name_of)
def test_a_gate_starts_as_xavier_has_it_with_every_scheme(residual: Residual[Any]) -> None:
    """The gains of a scheme are on ffn_in and ffn_out, with a gate as without."""
    _, w = start(shape_of(residual, activation="swiglu", depth=16), members=20)
    matrix = w["block1.ffn_gate.matrix"]
    bound = math.sqrt(6 / sum(matrix.shape[1:]))
    # 3,120 uniform draws: the largest is nearly certainly within 1 % of the bound.
    assert bound * 0.99 < matrix.abs().max() < bound
