"""The estimated time of a launch."""

import dataclasses

import pytest
from support import shapes

from resformer.model.shape import Member
from resformer.plan.jobs import Job
from resformer.residuals.plain import Plain
from resformer.residuals.rezero import ReZero
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


def test_each_scheme_is_timed_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """ReZero takes a second for a step here, plain stacks a tenth of it."""
    run = Training.run

    def timed(training: Training) -> Trained:
        seconds = 1.0 if isinstance(training.shape.residual, ReZero) else 0.1
        stretches = [{"members": 1, "steps": 2, "seconds": 2 * seconds}]
        return dataclasses.replace(run(training), timing={"stretches": stretches})

    monkeypatch.setattr(Training, "run", timed)
    planned = {}
    for residual in (ReZero(initial=0.0), Plain()):
        shape = shapes.shape(
            residual=residual, norm="none", steps=100, batch=4, eval_every=100, eval_sequences=12
        )
        job = Job(shape=shape, members=(Member(seed=0, lr=1e-3),))
        planned[job.id] = job.to_json()
    assert seconds_at_most(planned, 1) == pytest.approx(101.0 + 10.1)
