"""A training that is put away at any step and taken up again ends with the same bits."""

import dataclasses
from collections.abc import Sequence

import pytest
from support import shapes
from support.trainings import assert_same_bits, easy, through_the_disk

from resformer.model.shape import Member, Recording, Shape
from resformer.training.loop import Trained, Training
from resformer.training.population import Population

pytestmark = pytest.mark.sweep

EARLY, NEVER, BROKEN = Member(seed=0, lr=1e-2), Member(seed=0, lr=0.0), Member(seed=1, lr=1e30)
"""Members of an easy task: solved before the budget, never, and diverged at once."""
MEMBERS = [BROKEN, NEVER, EARLY, Member(seed=2, lr=3e-3)]


RECORDING = Recording(keep_weights=True, probe_every=15)


class PutAway(Exception):
    """Carries the snapshot."""


def stopped_at(steps: Sequence[int], shape: Shape, members: Sequence[Member]) -> Trained:
    """Trained, put away and taken up again at each of these steps."""
    training = Training(shape, members, recording=RECORDING)
    for step in steps:

        def beat(training: Training, step: int = step) -> None:
            if training.step == step:
                raise PutAway(training.snapshot())

        try:
            return training.run(heartbeat=beat)
        except PutAway as away:
            training = Training.resumed(
                shape, members, through_the_disk(away.args[0]), recording=RECORDING
            )
    return training.run()


@pytest.mark.parametrize(
    ("compiled", "delayed"),
    [(False, True), (True, False)],
    ids=["eager, dropped late, as on a GPU", "compiled"],
)
def test_stopped_at_any_step_and_resumed_the_bits_are_the_same(
    shape: Shape,
    compiled: bool,
    delayed: bool,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    if compiled:
        request.getfixturevalue("kernels")
    if delayed:
        monkeypatch.setattr(Population, "worth_keeping", lambda self, rows: rows // 2)
    shape = easy(shape, compiled=compiled)
    whole = Training(shape, MEMBERS, recording=RECORDING).run()
    assert whole.runs["outcome"][:3] == ["diverged", "unsolved", "solved"]
    left = {step for step in whole.runs["last_step"] if step < 120}
    assert len(left) >= 2  # the stack was compacted on the way
    for step in {0, 9, 10, 16, 119, *left}:
        assert_same_bits(stopped_at([step], shape, MEMBERS), whole)
    more = {1, 3, 5, 10, 11, 12, 15, 17, 33, 64, 65, 118, *(step + 1 for step in left)}
    assert_same_bits(stopped_at(sorted(more), shape, MEMBERS), whole)


def test_a_budget_with_few_evaluations_resumes(shape: Shape) -> None:
    """Losses of steps since the last evaluation are part of what is put away."""
    shape = easy(shape, steps=50, eval_every=45)
    whole = Training(shape, MEMBERS, recording=RECORDING).run()
    assert_same_bits(stopped_at([30, 46], shape, MEMBERS), whole)


def test_a_resumed_training_counts_the_time_before(shape: Shape) -> None:
    shape = easy(shape, steps=20)
    away = Training(shape, MEMBERS).snapshot()
    earlier = dataclasses.replace(
        away, facts={**away.facts, "seconds": 1000.0, "stretch_seconds": 0.0}
    )
    timing = Training.resumed(shape, MEMBERS, earlier).run().timing
    assert 1000.0 < timing["seconds"] < 1100.0


@pytest.mark.parametrize(
    "missing", ["flat_PN", "exp_avg_PN", "curves_2SP", "evaluations_3PE", "kept_KN", "looks_KLM"]
)
def test_a_snapshot_without_one_of_its_arrays_is_refused(shape: Shape, missing: str) -> None:
    away = Training(shape, MEMBERS).snapshot()
    arrays = {name: array for name, array in away.arrays.items() if name != missing}
    with pytest.raises(KeyError):
        Training.resumed(shape, MEMBERS, dataclasses.replace(away, arrays=arrays))


def test_a_snapshot_of_other_members_is_refused(shape: Shape) -> None:
    away = Training(shape, MEMBERS).snapshot()
    wider = shapes.changed(shape, hidden=64)
    for where, members in (
        (wider, MEMBERS),
        (shape, MEMBERS[:2]),
        (shape, [*MEMBERS, Member(seed=3, lr=1e-3)]),
    ):
        with pytest.raises((ValueError, IndexError)):
            Training.resumed(where, members, away)
    one_row = {**away.arrays, "flat_PN": away.arrays["flat_PN"][:1]}  # would broadcast
    with pytest.raises(ValueError, match="flat_PN is"):
        Training.resumed(shape, MEMBERS, dataclasses.replace(away, arrays=one_row))
