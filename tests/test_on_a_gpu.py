"""The contract of the population on a GPU, against the CPU. Collected where there is one, see
conftest.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from support import shapes
from support.launches import local, planned, work_alone
from support.schemes import name_of, schemes

from resformer.model.shape import Member, Shape
from resformer.numerics import rng
from resformer.numerics.parameters import initial_values
from resformer.residuals.base import Residual
from resformer.store.study import Study
from resformer.training.loop import Trained, Training
from resformer.training.population import Population

pytestmark = pytest.mark.gpu

DEVICE = "cuda"
MEMBERS = [Member(seed=seed, lr=lr) for lr in (1e-3, 1e-2) for seed in (0, 1, 7)]


@pytest.fixture
def shape(shape: Shape) -> Shape:
    return dataclasses.replace(shape, device=DEVICE)


@pytest.fixture(params=[False, True], ids=["torch", "kernels"])
def either(shape: Shape, request: pytest.FixtureRequest) -> Shape:
    """By torch's operations and by kernels."""
    return by_kernels(shape) if request.param else shape


def by_kernels(shape: Shape) -> Shape:
    return shapes.changed(shape, compile=True)


def of(shape: Shape, residual: Residual[Any]) -> Shape:
    """The same with this scheme and its own norm."""
    return dataclasses.replace(
        shape, residual=residual, model=dataclasses.replace(shape.model, norm=residual.own_norm)
    )


def trained(
    shape: Shape,
    members: list[Member],
    dtype: torch.dtype = torch.float64,
    chunk_size: int | None = None,
) -> Trained:
    return Training(shape, members, dtype=dtype, chunk_size=chunk_size).run()


def curves(outcome: Trained) -> np.ndarray:
    return pd.DataFrame(outcome.curves).to_numpy()


def losses(outcome: Trained) -> np.ndarray:
    """Losses, held-out losses and gradient norms, a row each; what a step has not is 0."""
    names = ("loss", "held_out_loss", "gradient_norm")
    return np.nan_to_num(np.array([outcome.curves[name] for name in names]), nan=0.0)


@pytest.mark.parametrize("residual", schemes(), ids=name_of)
def test_captured_steps_are_those_of_the_cpu(shape: Shape, residual: Residual[Any]) -> None:
    """Weights, data, random numbers of schemes, losses, gradients and updates, evaluation."""
    here = of(shape, residual)
    expected = trained(dataclasses.replace(here, device="cpu"), MEMBERS)
    outcome = trained(here, MEMBERS)
    # 20 steps of float64: round-off of 1e-16 a step, amplified by training by far less than 1e6.
    np.testing.assert_allclose(curves(outcome), curves(expected), rtol=1e-9, atol=1e-11)
    assert outcome.runs["outcome"] == expected.runs["outcome"]


@pytest.mark.parametrize("residual", schemes(), ids=name_of)
def test_together_equals_alone_and_by_twos(shape: Shape, residual: Residual[Any]) -> None:
    here = of(shape, residual)
    together = pd.DataFrame(trained(here, MEMBERS).curves)
    by_twos = pd.DataFrame(trained(here, MEMBERS, chunk_size=2).curves)
    np.testing.assert_allclose(by_twos, together, rtol=1e-9, atol=1e-11)
    alone = pd.DataFrame(trained(here, MEMBERS[:1]).curves)
    np.testing.assert_allclose(alone, together[: len(alone)], rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("residual", schemes(), ids=name_of)
def test_kernels_are_as_near_to_float64_as_torchs_operations(
    shape: Shape, residual: Residual[Any]
) -> None:
    here = of(shape, residual)
    here = dataclasses.replace(here, train=dataclasses.replace(here.train, steps=5))
    exact, torchs, kernels = (
        losses(trained(shape, MEMBERS, dtype))
        for shape, dtype in (
            (dataclasses.replace(here, device="cpu"), torch.float64),
            (here, torch.float32),
            (by_kernels(here), torch.float32),
        )
    )
    # Another order of sums rounds otherwise, by 6e-8 of a number, which 5 steps amplify by less
    # than a hundred, but where torch's own differ by more. Other mathematics shows by then: another
    # epsilon of AdamW by 1e-5 in the third step, no clipping by 2e-5.
    allowed = np.maximum(6e-6 * np.abs(exact), 10 * np.abs(torchs - exact).max(axis=1)[:, None])
    assert (np.abs(kernels - exact) <= allowed).all()


def test_the_same_stack_has_the_same_bits_twice(either: Shape) -> None:
    first, second = (trained(either, MEMBERS, torch.float32) for _ in range(2))
    assert np.array_equal(curves(first), curves(second), equal_nan=True)


def test_a_member_that_breaks_leaves_the_others_unchanged(either: Shape) -> None:
    whole, broken = (
        pd.DataFrame(trained(either, [MEMBERS[0], middle, MEMBERS[2]], torch.float32).curves)
        for middle in (MEMBERS[1], Member(seed=1, lr=1e30))
    )
    for seed in (0, 7):
        pd.testing.assert_frame_equal(
            whole[whole["seed"] == seed].reset_index(drop=True),
            broken[broken["seed"] == seed].reset_index(drop=True),
            check_exact=True,
        )


def test_random_streams_are_those_of_the_cpu() -> None:
    seeds = torch.arange(1000)
    there = rng.uniform(rng.key(seeds.to(DEVICE), "test", torch.arange(1000, device=DEVICE)), 16)
    assert torch.equal(there.cpu(), rng.uniform(rng.key(seeds, "test", torch.arange(1000)), 16))


def test_a_resumed_training_has_the_bits_of_one_that_was_not(either: Shape) -> None:
    whole, snapshots = trained(either, MEMBERS, torch.float32), []

    def beat(training: Training) -> None:
        if training.step == 12:
            snapshots.append(training.snapshot())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Training(either, MEMBERS).run(heartbeat=beat)
    resumed = Training.resumed(either, MEMBERS, snapshots[0]).run()
    assert np.array_equal(curves(resumed), curves(whole), equal_nan=True)


@pytest.fixture
def little_memory() -> Iterator[None]:
    """For a few members at once only, whose weights and moments take a hundredth of it."""
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + (256 << 20)) / total)
    yield
    torch.cuda.set_per_process_memory_fraction(1.0)


@pytest.mark.usefixtures("little_memory")
def test_out_of_memory_halves_what_is_computed_at_once(shape: Shape, study: Study) -> None:
    model = dataclasses.replace(shape.model, width=32, heads=4, hidden=64, depth=2)
    wide = dataclasses.replace(
        shape, model=model, train=dataclasses.replace(shape.train, batch=1024)
    )
    plan = planned(study, [wide], seeds=16, rates=[1e-3], engine=local(stack=16))
    kinds = [event.kind for event in work_alone(plan.start(["sweep"]))]
    assert kinds[-1] == "finished"
    assert "halved" in kinds
    (job,) = study.planned()
    assert 1 <= study.results.timing(job)["at_once"] < 16


def test_initial_weights_are_those_of_the_cpu(shape: Shape) -> None:
    population = Population(shape, MEMBERS, dtype=torch.float32)
    expected = initial_values(
        population.model.parameter_specs,
        torch.tensor([member.seed for member in MEMBERS]),
        torch.float32,
    )
    assert torch.equal(population.flat_PN.cpu(), expected)
