"""Settings of scripts/bench, which runs too long to be a test."""

import pytest

from lib.bench import overhead
from lib.bench.cases import DEEP, MEDIUM, SMALL, Case
from resformer.config import request


@pytest.mark.parametrize("case", [*SMALL, MEDIUM, *DEEP], ids=str)
@pytest.mark.parametrize("steps", [1, 20])
def test_a_case_trains_so_many_steps_and_nobody_leaves(case: Case, steps: int) -> None:
    train = case.shape(steps).train
    assert (train.steps, train.eval_every, train.stop_when_solved) == (steps, steps, False)
    assert case.stack == (1 if case.alone else 16)


def test_what_is_not_training_is_of_requests_that_are_taken() -> None:
    for words in overhead.REQUESTS.values():
        assert request(None, words).shapes
