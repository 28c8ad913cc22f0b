"""`train.keep_weights`: what is stored is what the members had at their last step, and nothing else
changes.
"""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors import safe_open
from typer.testing import Result

from resformer import config
from resformer.keys import flatten
from resformer.model.shape import Member, Recording, Shape
from resformer.plan import jobs
from resformer.plan.jobs import Job
from resformer.reporting.analysis.summary import summarise
from resformer.results.members import read
from resformer.store.study import Study
from resformer.training.loop import Trained, Training
from resformer.training.population import Population

pytestmark = pytest.mark.sweep

EARLY, NEVER, BROKEN = Member(seed=0, lr=1e-2), Member(seed=0, lr=0.0), Member(seed=1, lr=1e30)
"""Members of an easy task: solved before the budget, never, and diverged at once."""

TINY = [
    "model.depth=1",
    "model.width=16",
    "model.heads=2",
    "task.length=6",
    "task.symbols=8",
    "train.eval_sequences=16",
    "train.steps=200",
    "member.seed=0,1",
    "member.lr=1e-2,0.0",
]


@pytest.fixture(params=[False, True], ids=["eager", "compiled"])
def shape(shape: Shape, request: pytest.FixtureRequest) -> Shape:
    if request.param:
        request.getfixturevalue("kernels")
    settings = dataclasses.replace(
        shape.train, steps=200, batch=32, eval_every=10, compile=request.param
    )
    return dataclasses.replace(shape, train=settings)


def trained(shape: Shape, members: Sequence[Member], keep_weights: bool = True) -> Trained:
    recording = Recording(keep_weights=keep_weights)
    return Training(shape, members, recording=recording).run()


def held_out(
    shape: Shape, members: Sequence[Member], weights: dict[str, np.ndarray]
) -> list[list[float]]:
    """Loss and accuracy of each member with these weights."""
    population = Population(shape, members, dtype=torch.float32)
    parts = [
        torch.from_numpy(weights[weight.name]).flatten(1)
        for weight in population.model.parameter_specs
    ]
    population.flat_PN = torch.cat(parts, dim=1)
    return [values.tolist() for values in population.evaluate()]


@pytest.mark.parametrize(
    "delayed", [False, True], ids=["dropped at once", "dropped late, as on a GPU"]
)
def test_kept_weights_give_the_recorded_result(
    shape: Shape, delayed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if delayed:
        monkeypatch.setattr(Population, "worth_keeping", lambda self, rows: 0)
    members = [BROKEN, NEVER, EARLY]
    outcome = trained(shape, members)
    assert outcome.runs["outcome"] == ["diverged", "unsolved", "solved"]
    first, last, between = outcome.runs["last_step"]
    assert first < between < last
    again = held_out(shape, members, outcome.weights)
    np.testing.assert_array_equal(
        again, [outcome.runs["final_loss"], outcome.runs["final_accuracy"]]
    )
    assert not np.isfinite(outcome.weights["head.matrix"][0]).all()


def test_weights_are_in_the_order_of_the_members(shape: Shape) -> None:
    members = [NEVER, EARLY, Member(seed=7, lr=1e-3)]
    straight, turned = trained(shape, members).weights, trained(shape, members[::-1]).weights
    assert set(straight) == {weight.name for weight in shape.transformer().parameter_specs}
    for weight in shape.transformer().parameter_specs:
        assert straight[weight.name].shape == (3, *weight.shape)
        np.testing.assert_array_equal(straight[weight.name], turned[weight.name][::-1])


def test_keeping_weights_changes_no_result(shape: Shape) -> None:
    members = [BROKEN, NEVER, EARLY]
    kept, left = trained(shape, members), trained(shape, members, keep_weights=False)
    assert left.weights == {}
    pd.testing.assert_frame_equal(
        pd.DataFrame(kept.runs), pd.DataFrame(left.runs), check_exact=True
    )
    pd.testing.assert_frame_equal(
        pd.DataFrame(kept.curves), pd.DataFrame(left.curves), check_exact=True
    )


def committed(results: Path) -> dict[bool, tuple[Job, Path]]:
    """The job and the folder of its attempt, by whether it keeps weights."""
    by_weights = {}
    for result in results.glob("*/jobs/*/*/result.json"):
        job = jobs.from_json(json.loads((result.parent / "job.json").read_bytes()))
        by_weights[job.recording.keep_weights] = job, result.parent / "attempt-1"
    return by_weights


def test_the_file_holds_weights_with_seeds_and_rates(
    resformer: Callable[..., Result], tmp_path: Path
) -> None:
    result = resformer("train", *TINY, "train.keep_weights=true")
    assert result.exit_code == 0, result.stderr
    job, folder = committed(tmp_path / "results")[True]
    with safe_open(folder / "weights.safetensors", "numpy") as file:
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # it is no mapping
        whose = json.loads(file.metadata()["members"])
    runs = pd.read_parquet(folder / "runs.parquet")
    assert [(row["seed"], row["lr"]) for row in whose] == list(
        zip(runs["seed"], runs["lr"], strict=True)
    )
    assert held_out(job.shape, job.members, weights) == [
        runs["final_loss"].tolist(),
        runs["final_accuracy"].tolist(),
    ]
    assert set(runs["outcome"]) == {"solved", "unsolved"}
    facts = json.loads((folder.parent / "result.json").read_bytes())["files"]["weights.safetensors"]
    data = (folder / "weights.safetensors").read_bytes()
    assert facts == {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


SWEEP = ("--study", "both", *TINY[:6], "train.steps=20", "train.warmup_steps=5", *TINY[7:])


def test_a_sweep_with_and_without_kept_weights_is_one_job_that_keeps_them(
    resformer: Callable[..., Result], tmp_path: Path
) -> None:
    result = resformer("sweep", *SWEEP, "train.keep_weights=false,true")
    assert result.exit_code == 0, result.stderr
    ((job, folder),) = committed(tmp_path / "results").values()
    assert job.recording == Recording(keep_weights=True)
    assert (folder / "weights.safetensors").exists()
    (cell,) = summarise(read([Study(tmp_path / "results" / "both")])).cells
    assert "train.keep_weights" not in cell.key.values()
    assert cell.seeds == 2


@pytest.mark.parametrize("words", [["train.keep_weights=true"], ["probe.every=5"]])
def test_members_asked_again_with_another_recording_are_finished(
    resformer: Callable[..., Result], tmp_path: Path, words: list[str]
) -> None:
    assert resformer("sweep", *SWEEP).exit_code == 0
    before = sorted(path for path in (tmp_path / "results").rglob("jobs/**/*"))
    again = resformer("sweep", *SWEEP, *words)
    assert again.exit_code == 0, again.stderr
    assert "4 members, all finished" in again.stderr
    assert "4 members planned before without these weights or probes" in again.stderr
    assert sorted(path for path in (tmp_path / "results").rglob("jobs/**/*")) == before


def test_new_members_beside_finished_ones_are_recorded_as_asked(
    resformer: Callable[..., Result], tmp_path: Path
) -> None:
    assert resformer("sweep", *SWEEP).exit_code == 0
    words = [word for word in SWEEP if not word.startswith("member.seed")]
    result = resformer("sweep", *words, "member.seed=0,1,2", "train.keep_weights=true")
    assert result.exit_code == 0, result.stderr
    assert "4 members planned before without these weights or probes" in result.stderr
    results = committed(tmp_path / "results")
    assert {member.seed for member in results[False][0].members} == {0, 1}
    assert {member.seed for member in results[True][0].members} == {2}
    (cell,) = summarise(read([Study(tmp_path / "results" / "both")])).cells
    assert cell.seeds == 3


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ([], "seed-2cb265"),
        (["train.keep_weights=true"], "seed-7ae199"),
        (["probe.every=5"], "seed-b30a31"),
    ],
)
def test_no_recording_changes_the_id_of_a_job(words: list[str], name: str) -> None:
    fixed = ["task=copy", "member.seed=0,1", "train.compile=false", "device=cpu"]
    request = config.request(None, [*fixed, "engine.stack=2", *words])
    assert [job.id for job in request.jobs()] == ["85c4ba1002dacc87"]
    assert request.study == name
    (job,) = request.jobs()
    assert jobs.from_json(job.to_json()) == job
    assert (
        flatten(job.to_json()["shape"]).items()
        >= {
            "train.keep_weights": "train.keep_weights=true" in words,
            "probe.every": 5 if "probe.every=5" in words else None,
        }.items()
    )
