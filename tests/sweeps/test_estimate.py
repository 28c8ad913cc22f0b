"""The estimated time of a launch."""

import dataclasses

import pytest
from support import shapes

from resformer.model.shape import Member
from resformer.plan.jobs import Job
from resformer.sweep.estimate import seconds_at_most
from resformer.training.loop import Trained, Training


def test_the_rate_is_that_of_the_fastest_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps of a second each, 2 before the first evaluation and 1 before the second."""
    shape = shapes.shape(steps=100, batch=4, eval_every=10, eval_sequences=6)
    stretches = [{"members": 2, "steps": steps, "seconds": float(steps)} for steps in (2, 1)]
    run = Training.run

    def timed(training: Training) -> Trained:
        return dataclasses.replace(run(training), timing={"stretches": stretches})

    monkeypatch.setattr(Training, "run", timed)
    job = Job(shape=shape, members=(Member(seed=0, lr=1e-3), Member(seed=1, lr=1e-3)))
    # 100 steps, and 10 evaluations of half a step: 6 sequences forward, against 4 there and back.
    assert seconds_at_most({job.id: job.to_json()}, 1) == pytest.approx(105.0)
    assert seconds_at_most({job.id: job.to_json()}, 2) == pytest.approx(52.5)
