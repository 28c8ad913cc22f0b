"""A job's members → rows: outcomes, leaving, and what is recorded."""

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
from support import shapes

from resformer.errors import UserError
from resformer.model.shape import Member, Shape, TrainSettings
from resformer.numerics.parameters import unpack
from resformer.training.loop import Training
from resformer.training.outcome import Record
from resformer.training.population import Population
from resformer.training.progress import Progress


def judged(
    settings: TrainSettings, evaluations: list[tuple[float, float]], bound: float = 4.0
) -> tuple[Record, int]:
    """The record after (loss, accuracy) at every evaluation until it leaves, and how many it
    saw.
    """
    record = Record()
    for number, (loss, accuracy) in enumerate(evaluations, start=1):
        record.evaluated(5 * (number - 1), loss, accuracy)
        if record.judge(settings, bound, None):
            return record, number
    return record, len(evaluations)


def test_solved_is_the_first_of_two_evaluations_in_a_row(settings: TrainSettings) -> None:
    record, seen = judged(
        settings, [(2.0, 0.1), (0.1, 0.99), (0.2, 0.98), (0.1, 0.995), (0.1, 1.0), (0.1, 1.0)]
    )
    assert (record.outcome, record.solved_step, seen) == ("solved", 15, 5)


def test_a_first_crossing_at_the_last_evaluation_is_not_solved(settings: TrainSettings) -> None:
    record, _ = judged(settings, [(2.0, 0.1), (0.2, 0.9), (0.1, 1.0)])
    assert (record.outcome, record.solved_step) == ("unsolved", None)


def test_a_target_loss_takes_the_place_of_the_accuracy(settings: TrainSettings) -> None:
    by_loss = dataclasses.replace(settings, target_accuracy=None, target_loss=0.5)
    record, seen = judged(by_loss, [(2.0, 1.0), (0.5, 0.0), (0.6, 1.0), (0.5, 0.0), (0.4, 0.0)])
    assert (record.outcome, record.solved_step, seen) == ("solved", 15, 5)
    record, _ = judged(by_loss, [(2.0, 1.0), (0.6, 1.0), (0.4, 1.0)])
    assert (record.outcome, record.solved_step) == ("unsolved", None)
    broken, _ = judged(by_loss, [(2.0, 1.0), (math.nan, 1.0), (math.nan, 1.0)])
    assert broken.outcome == "diverged"


def test_without_a_target_nothing_is_solved(settings: TrainSettings) -> None:
    settings = dataclasses.replace(settings, target_accuracy=None)
    record, seen = judged(settings, [(2.0, 0.1), (0.0, 1.0), (0.0, 1.0), (0.0, 1.0)])
    assert (record.outcome, seen) == ("unsolved", 4)


def test_diverged_is_patience_steps_above_both_bounds_after_warm_up(
    settings: TrainSettings,
) -> None:
    settings = dataclasses.replace(settings, patience=10, warmup_steps=5)
    record, seen = judged(
        settings, [(2.0, 0.1), (9.0, 0.0), (9.0, 0.0), (9.0, 0.0), (9.0, 0.0), (9.0, 0.0)]
    )
    assert (record.outcome, record.diverged_step, seen) == ("diverged", 20, 5)
    for losses in ([2.0, 9.0, 9.0, 3.9, 9.0, 9.0], [9.5, 9.0, 9.0, 9.0, 9.0, 9.0]):
        assert judged(settings, [(loss, 0.0) for loss in losses])[0].outcome == "unsolved"


def test_evaluations_are_dense_while_fast_members_solve(settings: TrainSettings) -> None:
    """Every 2 steps to 100, every 5 to 200, every 10 to 1,000, then every 20, and at the end."""
    dense = dataclasses.replace(settings, steps=1050, eval_every=None)
    steps = [step for step in range(1051) if dense.evaluated_at(step)]
    assert steps == [
        *range(0, 100, 2),
        *range(100, 200, 5),
        *range(200, 1000, 10),
        *range(1000, 1050, 20),
        1050,
    ]
    assert dense.num_evaluations == len(steps) - 1
    assert dense.longest_interval == 20
    assert dataclasses.replace(dense, steps=60).longest_interval == 2


def test_every_step_has_its_loss_whatever_the_intervals_between_evaluations(shape: Shape) -> None:
    dense, every_step = (
        shapes.changed(shape, steps=230, eval_every=every, target_accuracy=1.0)
        for every in (None, 1)
    )
    member = [Member(seed=0, lr=1e-4)]
    one, other = (Training(of, member).run().curves for of in (dense, every_step))
    assert np.array_equal(one["loss"], other["loss"], equal_nan=True)
    assert np.array_equal(one["gradient_norm"], other["gradient_norm"], equal_nan=True)
    evaluated = ~np.isnan(one["held_out_loss"])
    assert np.flatnonzero(evaluated).tolist() == [
        step for step in range(231) if dense.train.evaluated_at(step)
    ]
    assert np.array_equal(one["held_out_loss"][evaluated], other["held_out_loss"][evaluated])


def test_a_member_that_solved_stays_solved_when_it_trains_on(settings: TrainSettings) -> None:
    settings = dataclasses.replace(settings, stop_when_solved=False)
    record, seen = judged(
        settings, [(2.0, 0.0), (0.1, 1.0), (0.1, 1.0), (0.5, 0.5), (math.nan, 0.0)]
    )
    assert (record.outcome, record.solved_step, seen) == ("solved", 5, 5)


def test_members_that_are_done_leave_and_the_rest_goes_on(shape: Shape) -> None:
    """An easy task: the larger rate solves early, rate 0 never does."""
    settings = dataclasses.replace(shape.train, steps=200, batch=32, eval_every=10)
    shape = dataclasses.replace(shape, train=settings)
    progress: list[Progress] = []
    outcome = Training(shape, [Member(seed=0, lr=1e-2), Member(seed=0, lr=0.0)]).run(
        progress.append
    )
    runs = pd.DataFrame(outcome.runs)
    assert runs["outcome"].tolist() == ["solved", "unsolved"]
    assert runs["last_step"][0] == runs["solved_step"][0] + 10
    assert runs["last_step"][1] == 200
    assert [now.members for now in progress] == [2] * int(runs["solved_step"][0] // 10 + 1) + [
        1
    ] * int(20 - runs["solved_step"][0] // 10)
    stretches = outcome.timing["stretches"]
    assert (
        sum(stretch["members"] * stretch["steps"] for stretch in stretches)
        == runs["last_step"].sum()
    )
    assert sum(stretch["seconds"] for stretch in stretches) < outcome.timing["seconds"]
    everyone = dataclasses.replace(
        shape, train=dataclasses.replace(settings, stop_when_solved=False)
    )
    stayed = pd.DataFrame(Training(everyone, [Member(seed=0, lr=1e-2)]).run(progress.append).runs)
    assert stayed[["outcome", "solved_step", "last_step"]].values.tolist() == [
        ["solved", runs["solved_step"][0], 200]
    ]


def test_stalled_is_unsolved_at_the_blind_loss(shape: Shape) -> None:
    """Rate 0 keeps the loss of the initial weights, far above the blind loss."""
    runs = Training(shape, [Member(seed=0, lr=0.0)]).run().runs
    assert runs["outcome"] == ["unsolved"]
    assert runs["stalled"] == [True]
    assert runs["final_loss"][0] > shape.task.blind_loss()


def test_divergence_names_the_first_step_that_broke(shape: Shape) -> None:
    outcome = Training(shape, [Member(seed=0, lr=1e30)]).run()
    (step,) = outcome.runs["diverged_step"]
    table = pd.DataFrame(outcome.curves)
    broken = ~np.isfinite(table["loss"]) | ~np.isfinite(table["gradient_norm"])
    assert outcome.runs["outcome"] == ["diverged"]
    assert table["step"][broken & (table["step"] > 0)].min() == step


def test_a_weight_that_an_activation_hides_is_found_at_the_next_evaluation(
    shape: Shape, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ReLU makes zero of minus infinity, so that loss and gradient stay finite."""
    advance = Population.advance

    def hiding(population: Population) -> None:
        advance(population)
        if population.steps == 7:
            unpack(population.model.parameter_specs, population.flat_PN.detach())[
                "block1.ffn_in.bias"
            ][0, 0] = -math.inf

    members = [Member(seed=0, lr=1e-3), Member(seed=1, lr=1e-3)]
    alone = Training(shape, members[1:]).run()
    monkeypatch.setattr(Population, "advance", hiding)
    outcome = Training(shape, members).run()
    assert outcome.runs["outcome"] == ["diverged", "unsolved"]
    assert outcome.runs["diverged_step"] == [10, None]
    assert outcome.runs["final_loss"][1] == alone.runs["final_loss"][0]


def test_curves_hold_every_step_and_every_evaluation(shape: Shape) -> None:
    table = pd.DataFrame(
        Training(shape, [Member(seed=0, lr=1e-3), Member(seed=1, lr=1e-3)]).run().curves
    )
    for _, curve in table.groupby("seed"):
        assert curve["step"].tolist() == list(range(21))
        assert curve["loss"].isna().tolist() == [True] + [False] * 20
        assert curve["gradient_norm"].notna().sum() == 20
        assert curve["step"][curve["held_out_loss"].notna()].tolist() == [0, 5, 10, 15, 20]
        assert curve["held_out_accuracy"].dropna().between(0, 1).all()


def test_a_budget_that_is_no_multiple_ends_with_an_evaluation(shape: Shape) -> None:
    shape = shapes.changed(shape, steps=7)
    table = pd.DataFrame(Training(shape, [Member(seed=0, lr=1e-3)]).run().curves)
    assert table["step"][table["held_out_loss"].notna()].tolist() == [0, 5, 7]


def test_the_same_training_twice_is_the_same_bits(shape: Shape) -> None:
    left, right = (Training(shape, [Member(seed=2, lr=1e-2)]).run() for _ in range(2))
    assert left.runs == right.runs
    assert all(
        np.array_equal(left.curves[name], right.curves[name], equal_nan=True)
        for name in left.curves
    )


def test_an_exception_from_beat_ends_the_training(shape: Shape) -> None:
    class Stop(Exception):
        pass

    def beat(training: Training) -> None:
        raise Stop

    with pytest.raises(Stop):
        Training(shape, [Member(seed=0, lr=1e-3)]).run(heartbeat=beat)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "train.steps=0"),
        ({"batch": 0}, "train.batch=0"),
        ({"clip": math.inf}, "train.clip=inf"),
        ({"dropout": 1.0}, "train.dropout=1.0"),
        ({"schedule": "step"}, "train.schedule=step"),
        ({"final_lr": 1.5}, "train.final_lr=1.5"),
        ({"target_accuracy": 1.5}, "train.target_accuracy=1.5"),
        ({"target_loss": -0.1}, "train.target_loss=-0.1"),
        ({"target_loss": math.nan}, "train.target_loss=nan"),
        ({"eval_every": 0}, "train.eval_every=0"),
    ],
)
def test_impossible_settings_are_refused(
    settings: TrainSettings, change: dict[str, float], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        dataclasses.replace(settings, **change)


@pytest.mark.parametrize(
    ("seed", "lr"), [(-1, 1e-3), (2**32, 1e-3), (0, -1.0), (0, math.nan), (0, math.inf)]
)
def test_impossible_members_are_refused(seed: int, lr: float) -> None:
    with pytest.raises(UserError, match=r"member\.(seed|lr)="):
        Member(seed=seed, lr=lr)
