"""`probe.every`: what is stored of every layer while training, and that nothing else changes."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from support import shapes

from resformer.model.shape import Member, Recording, Shape
from resformer.probes.measure import descriptions, measure, measure_initial
from resformer.store.study import open_study
from resformer.training.loop import Trained, Training
from resformer.training.population import Population

MEMBERS = [Member(seed=0, lr=1e-2), Member(seed=1, lr=1e30), Member(seed=2, lr=1e-3)]


def trained(shape: Shape, every: int | None, members: list[Member] = MEMBERS) -> Trained:
    recording = Recording(probe_every=every)
    return Training(shape, members, recording=recording).run()


def layers(shape: Shape, every: int, members: list[Member] = MEMBERS) -> pd.DataFrame:
    return pd.DataFrame(trained(shape, every, members).layers)


def test_probing_while_training_changes_no_result(shape: Shape) -> None:
    with_looks, without = trained(shape, 4), trained(shape, None)
    assert without.layers == {}
    assert repr(with_looks.runs) == repr(without.runs)
    for name, column in without.curves.items():
        assert column.tobytes() == with_looks.curves[name].tobytes()


def test_the_table_has_a_row_per_member_probe_and_layer(shape: Shape) -> None:
    """Twenty steps, a look every four; one member breaks at once and leaves at step 5."""
    rows = layers(shape, 4)
    assert list(rows) == ["seed", "lr", "step", "layer", *descriptions()]
    steps = {seed: sorted(set(part["step"])) for seed, part in rows.groupby("seed")}
    assert steps == {0: [0, 4, 8, 12, 16, 20], 1: [0, 4], 2: [0, 4, 8, 12, 16, 20]}
    assert (
        rows.groupby(["seed", "step"])["layer"]
        .apply(list)
        .map(lambda rows: rows == [0, 1, 2, 3, 4])
        .all()
    )
    assert list(rows["seed"]) == sorted(rows["seed"])


def test_the_first_probe_of_a_training_is_that_of_the_command(shape: Shape) -> None:
    rows = layers(shape, 20)
    start = measure_initial(shape, [2])
    for name, values in start.items():
        ours = rows[(rows["seed"] == 2) & (rows["step"] == 0)][name]
        # Weights that train are float32, those of a probe float64.
        np.testing.assert_allclose(ours, values[:, 0], rtol=1e-4, atol=1e-6)


def test_a_probe_measures_the_weights_of_its_step(shape: Shape) -> None:
    shape = shapes.changed(shape, steps=8)
    population = Population(shape, MEMBERS[:1], dtype=torch.float32)
    for _ in range(8):
        population.advance()
    expected = measure(shape, population.flat_PN, 8)["gradient_key"][:, 0]
    rows = layers(shape, 8, MEMBERS[:1])
    np.testing.assert_allclose(rows[rows["step"] == 8]["gradient_key"], expected, rtol=1e-12)


def test_a_member_is_measured_the_same_alone(shape: Shape) -> None:
    together, alone = layers(shape, 5), layers(shape, 5, MEMBERS[2:])
    pd.testing.assert_frame_equal(
        together[together["seed"] == 2].reset_index(drop=True), alone, check_exact=True
    )


@pytest.mark.parametrize("stop", [1, 2, 3, 4, 8, 9, 10])
def test_a_training_stopped_before_its_first_probe_resumes_with_the_same_table(
    shape: Shape, stop: int
) -> None:
    """Three looks at the start, four steps, three looks, of which the middle one is stopped as
    well.
    """
    recording, snapshots = Recording(probe_every=4), []

    def beat(training: Training) -> None:
        snapshots.append(training.snapshot())
        if len(snapshots) == stop:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Training(shape, MEMBERS, recording=recording).run(heartbeat=beat)
    resumed = Training.resumed(shape, MEMBERS, snapshots[-1], recording=recording).run()
    whole = trained(shape, 4)
    for actual, expected in (
        (resumed.layers, whole.layers),
        (resumed.curves, whole.curves),
        (resumed.runs, whole.runs),
    ):
        pd.testing.assert_frame_equal(
            pd.DataFrame(actual), pd.DataFrame(expected), check_exact=True
        )


def test_a_study_keeps_its_probes_and_trains_nothing_anew_for_more(
    resformer: Callable[..., Any], tmp_path: Any
) -> None:
    words = [
        "--study",
        "looked",
        "model.depth=1",
        "model.width=8",
        "task.length=5",
        "task.symbols=8",
        "train.steps=20",
        "train.warmup_steps=5",
    ]
    assert resformer("sweep", *words, "member.seed=0,1", "probe.every=10").exit_code == 0
    study = open_study(tmp_path / "results", "looked")
    (job,) = study.planned()
    rows = study.results.table(job, "layers")
    assert sorted(set(rows["step"])) == [0, 10, 20]
    assert len(rows) == 2 * 3 * 3


@pytest.mark.parametrize("every", [0, -1, 10_000_001])
def test_probe_every_has_a_range(resformer: Callable[..., Any], every: int) -> None:
    result = resformer("train", f"probe.every={every}")
    assert result.exit_code == 2
    assert f"probe.every={every}: must be from 1 to 10,000,000, or null" in result.stderr
