"""Parametrisations: the factors of the papers' tables, and none at the base."""

import dataclasses
from typing import Any

import pytest
import torch
from support import shapes
from support.optimizers import optimizer

from resformer.errors import Incompatible
from resformer.model.parametrisation import parametrisation
from resformer.model.shape import Member, Shape
from resformer.numerics.parameters import Factors, Role, unpack
from resformer.residuals.add import Add
from resformer.residuals.base import Architecture
from resformer.residuals.gpt2 import Gpt2
from resformer.residuals.rezero import ReZero
from resformer.training.loop import Training

KINDS = {"depth_mup": 0.5, "completep": 1.0}


def shape_of(kind: str, **changes: Any) -> Shape:
    base = {} if kind == "standard" else {"base_depth": 2, "base_width": 16}
    changes = {"hidden": 4 * changes.get("width", 16), **changes}
    return shapes.shape(parametrisation=kind, **{"norm": "pre", **base, **changes})


@pytest.mark.parametrize("kind", KINDS)
def test_at_the_base_it_is_standard_bit_for_bit(kind: str) -> None:
    members = [Member(seed=seed, lr=1e-2) for seed in (0, 1)]
    decay = optimizer("adamw", weight_decay=0.1)
    ours, standard = (
        Training(shape_of(name, optimizer=decay), members).run() for name in (kind, "standard")
    )
    for name, column in standard.curves.items():
        assert column.tobytes() == ours.curves[name].tobytes()


@pytest.mark.parametrize(("kind", "alpha"), KINDS.items())
@pytest.mark.parametrize(("depth", "width"), [(8, 16), (2, 64), (8, 64)])
def test_factors_are_those_of_the_authors_code(
    kind: str, alpha: float, depth: int, width: int
) -> None:
    """Groups, rates, decays and eps as the function that makes their optimiser has them, by its
    names: the multipliers of depth and width.
    """
    depth_multiplier, width_multiplier = depth / 2, width / 16
    depth_lr, width_lr = depth_multiplier ** (alpha - 1), 1 / width_multiplier
    outer_eps = 1 / width_multiplier
    hidden_eps = outer_eps * depth_multiplier**-alpha
    expected: dict[Role, Factors] = {
        "embedding": Factors(eps=outer_eps),
        "vector": Factors(lr=depth_lr, eps=hidden_eps),
        "matrix": Factors(lr=width_lr * depth_lr, eps=hidden_eps, weight_decay=1 / width_lr),
        "last": Factors(eps=outer_eps),
        "head": Factors(eps=outer_eps),
        "head_bias": Factors(eps=outer_eps),
    }
    model = shape_of(kind, depth=depth, width=width).transformer()
    for spec in model.parameter_specs:
        wanted = expected[spec.role]
        assert dataclasses.astuple(spec.factors) == pytest.approx(dataclasses.astuple(wanted))
    ours = parametrisation(model.settings)
    assert ours.branch == pytest.approx(depth_multiplier**-alpha)
    assert ours.logits == pytest.approx(1 / width_multiplier)
    # theirs divides scores by K, ours by √K as at the base
    assert ours.scores * (width // 2) ** -0.5 == pytest.approx((width // 2) ** -1 * 8**0.5)


def test_the_head_starts_as_large_as_at_the_base() -> None:
    heads = []
    for width in (16, 64):
        model = shape_of("completep", width=width).transformer()
        flat_PN = model.initial_values(torch.arange(2), torch.float64)
        heads.append(unpack(model.parameter_specs, flat_PN)["head.matrix"].abs().max().item())
    # The largest of some hundred uniform draws is within 2 % of the bound.
    assert heads[0] == pytest.approx(heads[1], rel=0.02)


def test_branches_and_logits_are_scaled() -> None:
    """The branch's factor is one on its output matrix, where nothing is behind that."""
    base = shape_of("standard", norm="pre", depth=1, bias=False)
    scaled = shapes.changed(
        base, parametrisation="completep", base_depth=2, base_width=base.model.width
    )
    flat_PN = base.transformer().initial_values(torch.arange(2), torch.float64)
    inputs = torch.zeros(2, 3, base.transformer().tokens, dtype=torch.int64)
    doubled = flat_PN.clone()  # at half of the base's depth branches count twice
    for name, part in unpack(base.transformer().parameter_specs, doubled).items():
        if name.endswith(("output.matrix", "ffn_out.matrix")):
            part.mul_(2)
    ours = scaled.transformer().forward(flat_PN, inputs)
    torch.testing.assert_close(ours, base.transformer().forward(doubled, inputs))


def test_heads_that_grow_with_the_width_keep_their_scores() -> None:
    """Scores of heads as wide as the base's have no factor, whatever their number."""
    scores = [
        parametrisation(shape_of("completep", width=64, heads=heads, base_heads=2).model).scores
        for heads in (2, 8)
    ]
    assert scores == pytest.approx([0.5, 1.0])


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"residual": ReZero(initial=0.0), "norm": "none"}, "model/residual=rezero: .*; add would"),
        ({"residual": Gpt2()}, "model/residual=gpt2: .* has no factors for it; add would work"),
        ({"skip": "ffn"}, "model.skip=ffn: .*; both would work"),
        ({"norm": "post"}, "model.norm=post: .*; pre or sandwich or branch would work"),
        ({"width": 32, "hidden": 32}, "model.hidden=32: .*; null would work"),
        ({"tied": True}, "model.tied=true"),
        ({"base_width": 9}, "model.base_width=9: must be a multiple of the 2 heads of the base"),
        ({"base_heads": 5}, "model.base_width=16: must be a multiple of the 5 heads of the base"),
        ({"optimizer": optimizer("muon")}, "has no factors for optimizer=muon; adamw would work"),
    ],
)
def test_what_it_has_no_factors_for_is_left_out(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(Incompatible, match=reason):
        shape_of("completep", **changes)


class Slow(Add):
    """A scheme whose norms learn at a tenth of the rate."""

    def factors(self, role: Role, architecture: Architecture) -> Factors:
        """A tenth for biases and norms."""
        return Factors(lr=0.1) if role == "vector" else Factors()


def test_a_scheme_has_factors_of_its_own() -> None:
    """Factors of the scheme and of the parametrisation multiply."""
    specs = shapes.shape(residual=Slow()).transformer().parameter_specs
    assert {spec.role: spec.factors.lr for spec in specs}["vector"] == 0.1
    assert {spec.role: spec.factors.lr for spec in specs}["matrix"] == 1.0
    specs = shape_of("depth_mup", residual=Slow(), depth=8).transformer().parameter_specs
    assert {spec.role: spec.factors.lr for spec in specs}["vector"] == pytest.approx(0.05)
