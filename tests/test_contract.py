"""The population's contract over settings of every kind, schemes among them: each pair of two
settings' values is in some combination, but those that are `APART`.
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from support import shapes
from support.grid import APART, VALUES, allowed, shape_of
from support.naive_model import assert_same_model, layers_of
from support.optimizers import optimizer
from support.pairwise import Row, covering
from torch import Tensor

from resformer.model.shape import Member, Shape
from resformer.numerics.backends.base import GATED
from resformer.numerics.parameters import unpack
from resformer.training.loop import Trained, Training
from resformer.training.population import Population


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


@pytest.fixture(
    params=covering(VALUES, allowed, APART),
    ids=lambda row: f"{row['residual']} {row['activation']}",
)
def shape(request: pytest.FixtureRequest) -> Shape:
    """A shape of each row."""
    if request.param["compile"]:
        request.getfixturevalue("kernels")
    return shape_of(request.param)


def test_members_do_not_see_each_other(shape: Shape) -> None:
    """Alone as together, in any order and by twos, bit for bit, beside one that breaks."""
    together = trained(shape, MEMBERS)
    shuffled = trained(shape, MEMBERS[::-1], chunk_size=2)
    alone = trained(shape, MEMBERS[:1])
    for member in MEMBERS:
        assert np.array_equal(shuffled[member], together[member], equal_nan=True)
    assert np.array_equal(alone[MEMBERS[0]], together[MEMBERS[0]], equal_nan=True)
    broken = together[BROKEN][1:, 3]
    assert len(broken) < shape.train.steps or not np.isfinite(broken).all()
    assert pd.DataFrame(together[STILL])[5].count() == 3  # evaluations
    assert np.isfinite(together[MEMBERS[0]][1:, 3]).all()


def test_at_a_rate_of_zero_nothing_moves(shape: Shape) -> None:
    population = Population(shape, [STILL, MEMBERS[0]], dtype=torch.float32)
    before_PN = population.flat_PN.clone()
    population.advance()
    assert (population.flat_PN == before_PN).all(1).tolist() == [True, False]


@functools.cache
def classic(attention: str, batch: int, *, gated: bool) -> tuple[Population, Mapping[str, Tensor]]:
    """Seeds 7 and 1 in a deeper block with nothing of today's, but for a gate; and the weights."""
    activation = "swiglu" if gated else "relu"
    shape = shapes.shape(
        hidden=64, depth=4, attention=attention, batch=batch, activation=activation
    )
    members = [Member(seed=seed, lr=1e-2) for seed in (7, 1)]
    population = Population(shape, members, dtype=torch.float64)
    return population, unpack(population.model.parameter_specs, population.flat_PN)


def test_weights_and_data_are_those_of_the_seed(shape: Shape) -> None:
    """Comparisons are paired: what blocks share starts from one draw, whatever its scale, unless a
    scheme has the identity there or a draw of its own, which is the seed's, too; and data are those
    of seed and step.
    """
    population = Population(shape, MEMBERS, dtype=torch.float64)
    rows = [3, 0]  # seeds 7 and 1
    gated, batch = shape.model.activation in GATED, shape.train.batch
    other, drawn = classic(shape.model.attention, batch, gated=gated)
    specs = population.model.parameter_specs
    own = unpack(specs, population.flat_PN)
    foreign = [spec.name for spec in specs if callable(spec.draw)]
    alone = Population(shape, [MEMBERS[3]], dtype=torch.float64)
    assert torch.equal(alone.flat_PN[0], population.flat_PN[3])
    assert not any(torch.equal(*own[name][rows]) for name in foreign)
    shared = [name for name in own if name in drawn]
    assert sum(name.endswith(".matrix") for name in shared) >= 6 * shape.model.depth
    for name in set(shared).difference(foreign):
        weight, draw = own[name][rows], drawn[name]
        scale = (weight * draw).sum() / draw.square().sum().clamp(min=1e-30)
        if not torch.allclose(weight, scale * draw, rtol=1e-12, atol=0):
            identity = torch.eye(*weight.shape[1:], dtype=weight.dtype)
            assert torch.equal(weight, identity.expand_as(weight))
    assert torch.equal(population.inputs_CPBT[:, rows], other.inputs_CPBT)
    causal, _ = classic("causal", batch, gated=gated)
    assert torch.equal(population.targets_CPBU[:, rows], causal.targets_CPBU)


def test_the_block_is_that_of_the_naive_model(shape: Shape) -> None:
    assert_same_model(shape, layers_of(shape, step=7), step=7)


def test_a_token_reaches_itself_and_what_may_attend_to_it(shape: Shape) -> None:
    """The gradient of an output is exactly zero to later inputs, if attention is causal; and to no
    other.
    """
    model = shape.transformer()
    tokens = model.tokens
    # A row of the embedding for each token, and a member for each output.
    model = dataclasses.replace(model, vocabulary=tokens, num_targets=tokens)
    flat_1N = model.initial_values(torch.tensor([1]), torch.float64)
    noise_1N = torch.randn(flat_1N.shape, generator=torch.Generator().manual_seed(0))
    flat_TN = (flat_1N + 0.1 * noise_1N).repeat(tokens, 1).requires_grad_()
    inputs = torch.arange(tokens).expand(tokens, 1, tokens)
    late = torch.tensor(10**6)  # of training, when schedules are at their end
    logits_TTV = model.forward(flat_TN, inputs, step=late).squeeze(1)
    # The first logit only: of a tied head, that is one more way to the first token.
    (gradient_TN,) = torch.autograd.grad(logits_TTV.diagonal()[0].sum(), flat_TN)
    token_TTD = unpack(model.parameter_specs, gradient_TN)["embedding.token"]
    reached_TT = token_TTD.any(-1)
    every_TT = torch.ones_like(reached_TT)
    assert torch.equal(
        reached_TT, every_TT.tril() if shape.model.attention == "causal" else every_TT
    )


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
