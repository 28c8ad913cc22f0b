"""The population's contract over settings of every kind: each pair of two settings' values, schemes
among them, is in some combination.
"""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from support import shapes
from support.optimizers import optimizer
from support.pairwise import Row, covering
from support.schemes import scheme

from resformer import plugins
from resformer.keys import ACTIVATIONS, NORM_KINDS, PARAMETRISATIONS, POSITIONS, SCHEDULES
from resformer.model.shape import Member, Shape
from resformer.numerics import rng
from resformer.numerics.parameters import unpack
from resformer.training.loop import Trained, Training
from resformer.training.population import Population

VALUES: dict[str, tuple[Any, ...]] = {
    "residual": tuple(sorted(plugins.own_names("resformer.residuals"))),
    "activation": ACTIVATIONS,
    "norm_kind": NORM_KINDS,
    "position": POSITIONS,
    "optimizer": tuple(sorted(plugins.own_names("resformer.optimizers"))),
    "schedule": SCHEDULES,
    "parametrisation": PARAMETRISATIONS,
    "compile": (False, True),
    "qk_norm": (False, True),
    "bias": (True, False),
    "tied": (False, True),
    "dropout": (0.0, 0.2),
    "decay_all": (False, True),
    "clip": (1.0, None),
    "attention": ("causal", "bidirectional"),
    "norm": ("own", "none", "pre", "sandwich"),
    "batch": (8, 7),
}


def allowed(row: Row) -> bool:
    """Schemes have placements that they go with; parametrisations go with AdamW, `add`, norms on
    branches and heads of their own.
    """
    norm, residual = row.get("norm", "own"), row.get("residual", "add")
    if norm not in ("own", *scheme(residual).norms):
        return False
    if row.get("parametrisation", "standard") == "standard":
        return True
    adds = residual == "add" and row.get("norm", "pre") in ("pre", "sandwich")
    return adds and row.get("optimizer") in (None, "adamw") and not row.get("tied")


def shape_of(row: Row) -> Shape:
    """Small, with four steps, of which two are warm-up."""
    own = dict(row)
    residual = scheme(own.pop("residual"))
    norm = own.pop("norm")
    standard = own["parametrisation"] == "standard"
    return shapes.shape(
        residual=residual,
        norm=residual.own_norm if norm == "own" else norm,
        hidden=64,
        optimizer=optimizer(own.pop("optimizer"), weight_decay=0.1),
        rope_base=100.0 if own["position"] == "rope" else None,
        base_depth=None if standard else 1,
        base_width=None if standard else 8,
        final_lr=None if own["schedule"] == "constant" else 0.1,
        steps=4,
        eval_every=2,
        warmup_steps=2,
        stop_when_solved=False,  # a tied head copies in place from the start
        **own,
    )


def trained(shape: Shape, members: list[Member], **options: Any) -> dict[Member, np.ndarray]:
    """Losses, gradient norms and evaluations of every step by member."""
    outcome: Trained = Training(shape, members, **options).run()
    table = pd.DataFrame(outcome.curves)
    return {
        member: table[(table["seed"] == member.seed) & (table["lr"] == member.lr)].to_numpy()
        for member in members
    }


STILL, BROKEN = Member(seed=0, lr=0.0), Member(seed=3, lr=1e30)
MEMBERS = [Member(seed=1, lr=1e-3), BROKEN, STILL, Member(seed=7, lr=1e-2)]


@pytest.mark.parametrize(
    "row", covering(VALUES, allowed), ids=lambda row: f"{row['residual']} {row['activation']}"
)
def test_members_do_not_see_each_other(row: Row, request: pytest.FixtureRequest) -> None:
    """Alone as together, in any order and by twos, bit for bit, beside one that breaks; at a rate
    of 0 nothing moves; and nothing of a later token is in an earlier output.
    """
    if row["compile"]:
        request.getfixturevalue("kernels")
    shape = shape_of(row)
    together = trained(shape, MEMBERS)
    shuffled = trained(shape, MEMBERS[::-1], chunk_size=2)
    alone = trained(shape, MEMBERS[:1])
    for member in MEMBERS:
        assert np.array_equal(shuffled[member], together[member], equal_nan=True)
    assert np.array_equal(alone[MEMBERS[0]], together[MEMBERS[0]], equal_nan=True)
    held_out = pd.DataFrame(together[STILL])[5].dropna()
    assert (len(held_out), held_out.nunique()) == (3, 1)
    assert np.isfinite(together[MEMBERS[0]][1:, 3]).all()
    if row["attention"] == "causal":
        model = shape.transformer()
        flat_PN = model.initial_values(torch.arange(2), torch.float64)
        source, target = shape.task.draw(rng.key(torch.arange(2), "test"), 3)
        inputs = shape.task.inputs(source, target, "causal")
        later = inputs.clone()
        later[:, :, -1] = (later[:, :, -1] + 1) % shape.task.symbols
        before, after = model.forward(flat_PN, inputs), model.forward(flat_PN, later)
        assert torch.equal(before[:, :, :-1], after[:, :, :-1])


@pytest.mark.parametrize(
    "changes",
    [
        {"norm_kind": "rms", "qk_norm": True, "bias": False, "activation": "swiglu"},
        {"position": "none", "norm_kind": "derf", "norm": "sandwich"},
        {"parametrisation": "completep", "base_depth": 1, "base_width": 16, "norm": "pre"},
    ],
    ids=["modern", "others", "completep"],
)
def test_what_blocks_share_starts_the_same(changes: Row) -> None:
    """Comparisons are paired: the draw of a weight depends on its seed, name and shape only."""
    base, other = (
        shapes.shape(hidden=64, depth=depth, **settings).transformer()
        for depth, settings in ((2, {}), (3, changes))
    )
    weights = [
        unpack(model.parameter_specs, model.initial_values(torch.tensor([5, 9]), torch.float64))
        for model in (base, other)
    ]
    shared = [name for name in weights[0] if name in weights[1]]
    assert len([name for name in shared if name.endswith(".matrix")]) >= 11
    for name in shared:
        if weights[0][name].shape == weights[1][name].shape:
            torch.testing.assert_close(weights[0][name], weights[1][name], rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    "changes",
    [
        {"norm_kind": "rms", "position": "rope", "rope_base": 100.0, "activation": "swiglu"},
        {"optimizer": optimizer("muon"), "dropout": 0.3, "schedule": "cosine", "final_lr": 0.0},
    ],
    ids=["block", "training"],
)
def test_data_do_not_depend_on_the_block_and_the_optimiser(changes: Row) -> None:
    inputs = []
    for settings in ({}, changes):
        population = Population(shapes.shape(**settings), MEMBERS[:1], dtype=torch.float32)
        inputs.append(population.inputs_CPBT.clone())
        for _ in range(population.drawn_steps + 1):
            population.advance()
        inputs.append(population.inputs_CPBT.clone())
    first, later, also_first, also_later = inputs
    assert torch.equal(first, also_first)
    assert torch.equal(later, also_later)
    assert not torch.equal(first, later)
