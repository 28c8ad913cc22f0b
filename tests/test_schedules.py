"""Schedules of the learning rate against torch's, and their ends."""

import itertools

import pytest
import torch
from support import shapes
from torch import nn

from resformer.errors import Incompatible
from resformer.keys import SCHEDULES
from resformer.model.shape import Member, TrainSettings
from resformer.training import schedules
from resformer.training.population import Population

STEPS, WARM_UP = 60, 20


def settings(schedule: str, final_lr: float | None = 0.1) -> TrainSettings:
    return shapes.settings(
        steps=STEPS,
        warmup_steps=WARM_UP,
        schedule=schedule,
        final_lr=None if schedule == "constant" else final_lr,
    )


def shares(train: TrainSettings, first: int = 1) -> list[float]:
    """Share of the peak in every step from this one on."""
    return [
        schedules.share(train, torch.tensor(number)).item()
        for number in range(first, train.steps + 1)
    ]


def torchs(schedule: str) -> list[float]:
    """Rates of torch's scheduler in the steps that begin with the last one of the warm-up."""
    optimiser = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    left = STEPS - WARM_UP
    scheduler = {
        "cosine": lambda: torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, left, eta_min=0.1),
        "linear": lambda: torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.1, left),
    }[schedule]()
    rates = []
    for _ in range(left + 1):
        rates.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        scheduler.step()
    return rates


@pytest.mark.parametrize("schedule", ["cosine", "linear"])
def test_behind_the_warm_up_they_are_torchs(schedule: str) -> None:
    ours = shares(settings(schedule), first=WARM_UP)
    assert ours == pytest.approx(torchs(schedule), abs=1e-12)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("final_lr", [0.0, 0.1, 1.0])
def test_they_rise_in_a_line_and_end_where_they_should(schedule: str, final_lr: float) -> None:
    ours = shares(settings(schedule, final_lr))
    assert ours[:WARM_UP] == pytest.approx([(n + 1) / WARM_UP for n in range(WARM_UP)])
    assert ours[-1] == pytest.approx(1.0 if schedule == "constant" else final_lr, abs=1e-12)
    falling = ours[WARM_UP - 1 :]
    assert all(after <= before + 1e-12 for before, after in itertools.pairwise(falling))


def test_wsd_stays_until_the_last_fifth() -> None:
    ours = shares(settings("wsd"))
    assert ours[WARM_UP - 1 : 48] == [1.0] * (48 - WARM_UP + 1)
    assert ours[48:] == pytest.approx([1 - 0.9 * n / 12 for n in range(1, 13)])


@pytest.mark.parametrize("schedule", ["cosine", "linear", "wsd"])
@pytest.mark.parametrize(("steps", "warm_up"), [(20, 19), (2, 0), (2, 1), (1, 0)])
def test_they_fall_within_the_shortest_of_budgets(schedule: str, steps: int, warm_up: int) -> None:
    train = shapes.settings(steps=steps, warmup_steps=warm_up, schedule=schedule, final_lr=0.1)
    assert shares(train)[-1] == pytest.approx(0.1)


def test_a_budget_without_steps_behind_the_warm_up_is_for_no_schedule_that_falls() -> None:
    with pytest.raises(
        Incompatible, match=r"train\.warmup_steps=20: must be under train\.steps=20"
    ):
        shapes.settings(steps=20, warmup_steps=20, schedule="cosine", final_lr=0.0)
    assert shares(shapes.settings(steps=20, warmup_steps=20))[-2:] == pytest.approx([0.95, 1.0])


def test_members_step_by_it() -> None:
    """Losses under two schedules differ just behind the first step in which their rates do."""
    losses = []
    for schedule in ("constant", "wsd"):
        final = None if schedule == "constant" else 0.0
        shape = shapes.shape(steps=10, warmup_steps=1, schedule=schedule, final_lr=final)
        population = Population(shape, [Member(seed=0, lr=1e-2)], dtype=torch.float64)
        for _ in range(10):
            population.advance()
        losses.append([population.recorded(step)[0, 0, 0] for step in range(5, 10)])
    (constant, wsd) = losses
    assert constant[:4] == wsd[:4]  # steps 6 to 9: the rate of step 9 is the first that is lower
    assert constant[4] != wsd[4]
