"""A training that goes on within a longer budget ends with the bits of one that had it at once."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import pytest
from support.schemes import name_of, schemes
from support.trainings import assert_same_bits, easy, through_the_disk

from resformer.model.shape import Member, Recording, Shape
from resformer.training.continuing import continued
from resformer.training.loop import Snapshot, Trained, Training
from resformer.training.outcome import settled
from resformer.training.population import Population

pytestmark = pytest.mark.sweep

NEVER, BROKEN = Member(seed=0, lr=0.0), Member(seed=1, lr=1e30)
MEMBERS = [BROKEN, NEVER, Member(seed=0, lr=1e-2), Member(seed=2, lr=3e-3), Member(seed=3, lr=1e-3)]
"""Diverges at once, never solves; solve before 110 steps, and the last two after."""
RECORDING = Recording(keep_weights=True, probe_every=15)
LONGER = 250


def budget(shape: Shape, steps: int) -> Shape:
    return dataclasses.replace(shape, train=dataclasses.replace(shape.train, steps=steps))


def put_away(training: Training) -> Snapshot:
    """Train to the budget; returns the snapshot when it was used up."""
    last: list[Snapshot] = []
    training.run(spent=lambda training: last.append(through_the_disk(training.snapshot())))
    (snapshot,) = last
    return snapshot


def in_parts(
    budgets: Sequence[int],
    shape: Shape,
    members: Sequence[Member],
    chosen: Sequence[int],
    recording: Recording = RECORDING,
) -> Trained:
    """Train these members together, then the chosen ones on within each longer budget."""
    training = Training(budget(shape, budgets[0]), members, recording=recording)
    members = [members[index] for index in chosen]
    for steps in budgets[1:]:
        longer = budget(shape, steps)
        snapshot = continued(put_away(training), chosen, longer.train)
        training = Training.resumed(longer, members, snapshot, recording=recording)
        chosen = range(len(members))
    return training.run()


@pytest.mark.parametrize(
    ("compiled", "stop", "eval_every"),
    # Every pair of two settings' values.
    [(False, False, None), (False, True, 10), (True, False, 10), (True, True, None)],
    ids=lambda value: {True: "yes", False: "no", None: "dense at first"}.get(value, str(value)),
)
def test_a_longer_budget_gives_the_bits_that_it_gives_at_once(
    shape: Shape,
    compiled: bool,
    stop: bool,
    eval_every: int | None,
    request: pytest.FixtureRequest,
) -> None:
    """The shorter budgets end between two evaluations of the longer ones, and with one; when a
    member leaves, and in a row.
    """
    if compiled:
        request.getfixturevalue("kernels")
    shape = easy(
        shape, compiled=compiled, steps=LONGER, stop_when_solved=stop, eval_every=eval_every
    )
    whole = Training(shape, MEMBERS, recording=RECORDING).run()
    steps = [step if isinstance(step, int) else 0 for step in whole.runs["solved_step"]]
    assert whole.runs["outcome"][:2] == ["diverged", "unsolved"]
    assert 0 < steps[2] < 110 < steps[3] < steps[4] < LONGER, steps
    budgets = [61, 110, steps[3] + 3, steps[3] + 10, LONGER - 1, LONGER]
    assert_same_bits(in_parts(budgets, shape, MEMBERS, range(len(MEMBERS))), whole)


@pytest.mark.parametrize(
    ("chosen", "shorter"), [([1], 110), ([3], 117), ([4, 1], 117), ([2, 3], 110)], ids=repr
)
def test_some_of_the_members_go_on_as_if_they_had_trained_alone(
    shape: Shape, chosen: list[int], shorter: int
) -> None:
    shape = easy(shape, steps=LONGER)
    alone = Training(shape, [MEMBERS[index] for index in chosen], recording=RECORDING).run()
    some = in_parts([shorter, LONGER], shape, MEMBERS, chosen)
    some.timing["stretches"] = alone.timing["stretches"]  # the others were timed too
    assert_same_bits(some, alone)


def test_members_dropped_late_go_on_in_the_same_rows(
    shape: Shape, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU, whose bits may depend on the rows that have left."""
    monkeypatch.setattr(Population, "worth_keeping", lambda self, rows: rows // 2)
    shape = easy(shape, steps=LONGER)
    whole = Training(shape, MEMBERS, recording=RECORDING).run()
    snapshot = put_away(Training(budget(shape, 110), MEMBERS, recording=RECORDING))
    assert len(snapshot.facts["rows"]) > len(snapshot.facts["alive"])
    same = continued(snapshot, range(len(MEMBERS)), shape.train)
    assert same.facts["rows"] == snapshot.facts["rows"]
    assert_same_bits(Training.resumed(shape, MEMBERS, same, recording=RECORDING).run(), whole)


@pytest.mark.parametrize("residual", schemes(), ids=name_of)
def test_every_scheme_goes_on(shape: Shape, residual: Any) -> None:
    model = dataclasses.replace(shape.model, norm=residual.own_norm)
    few = easy(shape, steps=8, batch=4, eval_every=3, eval_sequences=4)
    shape = dataclasses.replace(few, residual=residual, model=model)
    recording = dataclasses.replace(RECORDING, probe_every=4)
    whole = Training(shape, MEMBERS[:3], recording=recording).run()
    assert_same_bits(in_parts([5, 8], shape, MEMBERS[:3], range(3), recording), whole)


def _rows(shape: Shape) -> list[dict[str, Any]]:
    """The results of each member."""
    columns = Training(shape, MEMBERS).run().runs
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


@pytest.mark.parametrize("stop", [True, False])
def test_settled_members_have_the_same_results_within_any_longer_budget(
    shape: Shape, stop: bool
) -> None:
    shape = easy(shape, steps=LONGER, stop_when_solved=stop)
    whole = _rows(shape)
    for steps in {100, 103, *(row["last_step"] for row in whole if row["last_step"])}:
        shorter = budget(shape, steps)
        for row, longer in zip(_rows(shorter), whole, strict=True):
            if settled(row["outcome"], row["last_step"], shorter.train):
                assert repr(row) == repr(longer)  # NaN is not equal to NaN
            else:
                assert row["last_step"] == steps
    assert settled("diverged", 100, budget(shape, 100).train)
    assert not settled("diverged", 103, budget(shape, 103).train)
    assert settled("solved", 100, budget(shape, 100).train) == stop
    assert not settled("unsolved", 100, budget(shape, 100).train)


def test_a_snapshot_without_the_members_is_refused(shape: Shape) -> None:
    snapshot = put_away(Training(easy(shape, steps=20), MEMBERS))
    for indices in ([5], [0, 7]):
        with pytest.raises(IndexError):
            continued(snapshot, indices, easy(shape, steps=30).train)
