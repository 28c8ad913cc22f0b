import dataclasses

import pytest
import torch
from support.naive_model import Naive, assert_formula, context, inputs, outputs, shape_of, start
from torch import Tensor

from resformer.errors import UserError
from resformer.model.shape import Member
from resformer.numerics import rng
from resformer.residuals.add import Add
from resformer.residuals.base import SublayerContext
from resformer.residuals.stochastic_depth import StochasticDepth
from resformer.training.population import Population

SCHEME = StochasticDepth(survival=0.5)
KEY = 3
SURVIVES = [5 / 6, 5 / 6, 2 / 3, 2 / 3, 1 / 2, 1 / 2]  # three blocks: 1 - l/3 · (1 - 1/2)


def draws(key_P: Tensor) -> Tensor:
    """Random numbers of six sub-layers, in [0, 1)."""
    return (rng.uniform(rng.key(key_P, "scheme"), 6) + 1) / 2


def layers(drawn: list[float]) -> object:
    def formula(net: Naive, x: Tensor) -> Tensor:
        for i in net.sublayers:
            share = SURVIVES[i - 1]
            x = net.post(i, x + (net.F(i, x) / share if drawn[i - 1] < share else 0))
        return x

    return formula


def test_formula() -> None:
    key_P = torch.tensor([KEY, KEY])
    drawn = draws(key_P)[0].tolist()
    survivors = [i for i in range(6) if drawn[i] < SURVIVES[i]]
    assert 0 < len(survivors) < 6
    assert_formula(SCHEME, layers(drawn), key_P, all_learn=False)


def test_each_member_has_draws_of_its_own() -> None:
    shape = shape_of(SCHEME)
    flat_PN, _ = start(shape)
    twins = flat_PN[:1].expand(2, -1)
    same = inputs(shape)[:1].expand(2, -1, -1)
    key_P = torch.tensor([KEY, KEY + 1])
    actual = shape.transformer().forward(twins, same, key_P)
    alone = shape.transformer().forward(twins[1:], same[1:], key_P[1:])
    torch.testing.assert_close(actual[1:], alone)
    assert not torch.allclose(actual[0], actual[1])


def test_in_an_evaluation_it_is_add() -> None:
    assert torch.equal(outputs(SCHEME), outputs(Add()))


def test_later_branches_are_left_out_more_often() -> None:
    survives = [SCHEME.survival_probability(context(SCHEME, i)) for i in range(1, 7)]
    assert survives == pytest.approx(SURVIVES)


def test_draws_depend_on_seed_and_step_only(monkeypatch: pytest.MonkeyPatch) -> None:
    shape = shape_of(SCHEME)
    draws: list[Tensor] = []
    survives = StochasticDepth.survival_probability

    def watched(scheme: StochasticDepth, context: SublayerContext) -> float:
        assert context.draw_P is not None
        draws.append(context.draw_P)
        return survives(scheme, context)

    monkeypatch.setattr(StochasticDepth, "survival_probability", watched)

    def drawn_by(scheme: StochasticDepth, members: list[Member]) -> Tensor:
        """The draws of 40 steps, a row per step and sub-layer and a column per member."""
        draws.clear()
        population = Population(
            dataclasses.replace(shape, residual=scheme), members, dtype=torch.float32
        )
        for _ in range(40):
            population.advance()
        return torch.stack(draws)

    ours = drawn_by(SCHEME, [Member(seed=3, lr=1e-3)])
    theirs = drawn_by(
        StochasticDepth(survival=0.9), [Member(seed=1, lr=1e-2), Member(seed=3, lr=1e-2)]
    )
    assert torch.equal(ours[:, 0], theirs[:, 1])
    assert not torch.equal(theirs[:, 0], theirs[:, 1])
    drawn = ours[:, 0]
    assert len(drawn.unique()) == drawn.numel() == 240
    assert 0 <= drawn.min() < 0.05 < 0.95 < drawn.max() < 1
    assert abs(drawn.mean() - 0.5) < 0.1  # five standard errors of 240 draws


@pytest.mark.parametrize("survival", [0.0, 1.5, float("nan")])
def test_an_impossible_share_is_refused(survival: float) -> None:
    with pytest.raises(UserError, match=r"model\.residual\.survival="):
        StochasticDepth(survival=survival)
