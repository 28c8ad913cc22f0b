"""Settings of scripts/bench, which runs too long to be a test."""

import pandas as pd
import pytest

from lib.bench import filling, overhead, settings
from lib.bench.cases import DEEP, MEDIUM, SMALL, Case
from resformer.config import request


@pytest.mark.parametrize("case", [*SMALL, MEDIUM, *DEEP], ids=str)
@pytest.mark.parametrize("steps", [1, 20])
def test_a_case_trains_so_many_steps_and_nobody_leaves(case: Case, steps: int) -> None:
    train = case.shape(steps).train
    assert (train.steps, train.eval_every, train.stop_when_solved) == (steps, steps, False)
    assert case.stack == (1 if case.alone else 16)


@pytest.mark.parametrize("setting", settings.SETTINGS)
def test_settings_are_those_of_a_block_of_the_same_work(setting: str) -> None:
    """With a gate the FFN's width is rounded, at 32 to 85 for 85 and a third."""
    flops = [
        settings.case_of(each, compiled=False).shape(2).transformer().flops_per_step(32)
        for each in (setting, "model=classic")
    ]
    assert flops[0] == pytest.approx(flops[1], rel=0.01)


def test_a_plan_for_more_workers_is_compared_with_that_for_one() -> None:
    rows = pd.DataFrame(
        [("some", 1, 4, 10.0), ("some", 2, 2, 6.0), ("some", 2, 1, 4.0), ("some", 2, 1, 4.0)],
        columns=["study", "workers", "members", "seconds"],
    )
    [plan] = filling.filled(rows)
    # The second worker takes both jobs of 4 s: 8 s, where 7 s would keep both busy.
    assert (plan.jobs, plan.end, plan.even, plan.undivided) == (3, 8.0, 7.0, 10.0)


def test_idle_workers_take_halves_of_running_jobs() -> None:
    """The first is free after 6 s and halves what is left of the second's job, for a moment."""
    moment = filling._SPLIT_SECONDS
    assert filling.split_schedule([(10.0, 4), (6.0, 2)], 2) == pytest.approx(8.0 + moment)
    assert filling.split_schedule([(10.0, 1), (6.0, 2)], 2) == 10.0


def test_settings_that_torch_computes_are_in_the_table() -> None:
    assert {*settings.SETTINGS} >= settings.TORCH


def test_what_is_not_training_is_of_requests_that_are_taken() -> None:
    for words in overhead.REQUESTS.values():
        assert request(None, words).shapes
