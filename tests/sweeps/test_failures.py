"""Jobs that fail and workers that die: the other jobs finish, and a new launch tries again."""

import contextlib
import multiprocessing
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from support import shapes
from support.launches import (
    committed_attempt,
    errors,
    local,
    pid,
    planned,
    record_of,
    run,
    work_alone,
)
from support.sweeps import TINY
from typer.testing import Result

from resformer import config
from resformer.errors import Stuck
from resformer.model.shape import Member, Shape
from resformer.plan.jobs import Job
from resformer.store import files, folder
from resformer.store.claims import attempts
from resformer.store.study import Study
from resformer.sweep import launch
from resformer.training.loop import Training
from resformer.workers.assignment import Assignment
from resformer.workers.events import Event
from resformer.workers.signals import Stop

pytestmark = pytest.mark.sweep

Resformer = Callable[..., Result]

SWEEP = [*TINY, "engine.stack=1", "engine.workers=2", "engine.retries=0", "--study", "some"]
TAKE = """
import sys
from pathlib import Path
from resformer.store.claims import HeartbeatObserver, take

take(Path(sys.argv[1]), 1, 0, HeartbeatObserver(60.0))
"""


# --- jobs that fail


def test_a_job_that_raises_leaves_its_traceback_and_the_others_finish(
    study: Study, shape: Shape, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = planned(study, [shape], seeds=3, engine=local(stack=2, retries=1))
    bad, *good = plan.new
    honest = Training.run

    def brittle(training: Training, *rest: Any) -> object:
        if tuple(training.members) == bad.members:
            raise ArithmeticError("on purpose")
        return honest(training, *rest)

    monkeypatch.setattr(Training, "run", brittle)
    events = work_alone(plan.start(["sweep"]))
    assert study.results.finished(plan.jobs) == {job.id for job in good}
    assert [event.kind for event in events if event.job == bad.id] == [
        "started",
        "retried",
        "started",
        "failed",
    ]
    assert "on purpose" in events[[event.kind for event in events].index("failed")].detail
    reason = str(study.failure(bad.id))
    assert re.fullmatch(r"sweeps/test_failures\.py:\d+: ArithmeticError: on purpose", reason)
    assert len(errors(study)) == 2
    for path in errors(study):
        assert path.read_text().startswith("Traceback")
        assert "in brittle" in path.read_text()

    def again() -> None:
        work_alone(planned(study, [shape], seeds=3, engine=local(stack=2)).start(["sweep"]))

    again()
    assert attempts(study.job(bad.id)) == 3  # without retries, but with a fresh attempt

    monkeypatch.undo()
    again()
    assert study.results.finished(plan.jobs) == set(plan.jobs)
    assert committed_attempt(study, bad.id) == 4


def test_a_planned_job_that_cannot_be_read_fails_alone(study: Study, shape: Shape) -> None:
    good = Job(shape=shape, members=(Member(seed=0, lr=1e-3),)).to_json()
    bad = {
        **good,
        "id": "bad0bad0bad0bad0",
        "shape": {**good["shape"], "task": {"name": "no such task"}},
    }
    assignment = Assignment(
        study=study.path,
        launch=study.launch({"engine": {"retries": 1}}, [bad, good]),
        jobs=(bad["id"], good["id"]),
        retries=1,
        lease_seconds=60.0,
        checkpoint_seconds=60.0,
        keep_checkpoint=False,
    )
    events: list[Event] = []
    local(retries=1).run(assignment, workers=1, emit=events.append, stop=Stop(lambda: False))
    assert study.results.finished([bad["id"], good["id"]]) == {good["id"]}
    assert [event.kind for event in events if event.job == bad["id"]] == [
        "started",
        "retried",
        "started",
        "failed",
    ]
    assert "no such task" in str(study.failure(bad["id"]))


def job_ids(study: Study, words: Sequence[str]) -> list[str]:
    settings = words[: words.index("--study")]
    return [job.id for job in launch.plan(config.request("some", settings), study).new]


def make_study_folder(study: Study) -> None:
    folder.make(study.path.parent)
    (study.path / "launches").mkdir(parents=True)


def obstruct(study: Study, job_id: str) -> None:
    """Put a folder where the first attempt has to write a file, in a study without launches."""
    make_study_folder(study)
    (study.job(job_id) / "attempt-1" / "runs.parquet").mkdir(parents=True)


def test_a_failed_job_is_listed_and_makes_the_exit_code_1(
    study: Study, resformer: Resformer
) -> None:
    words = ["member.seed=range(0,3)", *SWEEP]
    bad, *good = job_ids(study, words)
    obstruct(study, bad)

    result = resformer("sweep", *words)
    assert result.exit_code == 1
    last = result.stderr.splitlines()[-1]
    assert last.startswith("failed: ")
    assert str(study.job(bad).relative_to(study.path.parent.parent)) in last
    assert "Is a directory" in last
    assert "Traceback" not in result.stderr
    assert study.results.finished([bad, *good]) == set(good)
    (error,) = errors(study)
    assert error.parent.parent.name == bad
    assert error.read_text().startswith("Traceback")
    assert "copy, length 5" in result.stdout  # the report of the others

    result = resformer("sweep", *words)
    assert result.exit_code == 0
    assert study.results.finished([bad, *good]) == {bad, *good}


def test_a_sweep_in_which_no_job_finishes_has_failed(study: Study, resformer: Resformer) -> None:
    (only,) = job_ids(study, SWEEP)
    obstruct(study, only)
    result = resformer("sweep", *SWEEP)
    assert only in result.stderr
    assert result.exit_code == 1  # not 2: the request was fine


def test_a_job_whose_worker_died_before_its_first_event_has_failed(
    study: Study, resformer: Resformer
) -> None:
    """The claim alone counts as an attempt, and a failed job is listed whoever noticed."""
    words = ["member.seed=range(0,2)", *SWEEP]
    lost, other = job_ids(study, words)
    make_study_folder(study)
    subprocess.run([sys.executable, "-c", TAKE, str(study.job(lost))], check=True)

    result = resformer("sweep", *words)
    assert study.results.finished([lost, other]) == {other}
    assert lost in result.stderr
    assert result.exit_code == 1


# --- workers that die


@pytest.fixture
def by_length(shape: Shape) -> list[Shape]:
    return [shape, shapes.changed(shape, steps=400, stop_when_solved=False)]


def test_a_killed_worker_costs_its_job_one_attempt(study: Study, by_length: list[Shape]) -> None:
    plan = planned(study, by_length, seeds=4, engine=local(stack=2, retries=1))
    victim = next(iter(plan.unfinished))
    events: list[Event] = []

    def tell(event: Event) -> None:
        events.append(event)
        if (
            event.job == victim
            and event.kind == "progress"
            and not study.job(victim).joinpath("claim-2").exists()
        ):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid(study, victim), signal.SIGKILL)

    run(plan, tell)
    assert study.results.finished(plan.jobs) == set(plan.jobs)
    assert {job: committed_attempt(study, job) for job in plan.jobs} == {
        job: 1 + (job == victim) for job in plan.jobs
    }
    (retried,) = (event for event in events if event.kind == "retried")
    assert retried.job == victim
    assert "SIGKILL" in retried.detail
    assert not any(event.kind == "failed" for event in events)
    assert errors(study) == []
    assert not multiprocessing.active_children()


def test_without_retries_a_killed_worker_fails_its_job_only(
    study: Study, by_length: list[Shape]
) -> None:
    plan = planned(study, by_length, seeds=4, engine=local(stack=2))
    victim = next(iter(plan.unfinished))
    events: list[Event] = []

    def tell(event: Event) -> None:
        events.append(event)
        if event.job == victim and event.kind == "started":
            os.kill(pid(study, victim), signal.SIGKILL)

    run(plan, tell)
    assert study.results.finished(plan.jobs) == set(plan.jobs) - {victim}
    assert [event.job for event in events if event.kind == "failed"] == [victim]
    assert not any(event.kind == "retried" for event in events)
    assert "died" in str(study.failure(victim))
    assert all(study.failure(job) is None for job in plan.jobs if job != victim)

    run(planned(study, by_length, seeds=4, engine=local(stack=2)))
    assert study.results.finished(plan.jobs) == set(plan.jobs)


def test_a_worker_that_was_silent_for_a_lease_loses_its_job_and_its_members_count_once(
    study: Study, by_length: list[Shape]
) -> None:
    plan = planned(study, by_length[1:], engine=local(stack=2, retries=1, lease_seconds=1.0))
    victim, other = plan.unfinished
    events: list[Event] = []

    def tell(event: Event) -> None:
        events.append(event)
        if event.job == victim and event.kind == "started" and attempts(study.job(victim)) == 1:
            os.kill(pid(study, victim), signal.SIGSTOP)
        if event.job == victim and event.kind == "finished":
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid(study, victim), signal.SIGCONT)

    run(plan, tell)
    assert (committed_attempt(study, victim), committed_attempt(study, other)) == (2, 1)
    finished = [event.job for event in events if event.kind == "finished"]
    assert sorted(finished) == sorted(plan.jobs)


def test_a_worker_whose_code_is_not_its_launchs_computes_nothing(
    study: Study, shape: Shape
) -> None:
    """As when a file is saved between the launch and the start of its workers."""
    plan = planned(study, [shape])
    assignment = plan.start(["sweep"])
    path = study.path / "launches" / "1.json"
    record = record_of(path)
    record["fingerprint"]["model"] = "0.0.older"
    path.write_bytes(files.with_checksum(record))
    with pytest.raises(Stuck, match=r"computed by other code: model was 0\.0\.older, is "):
        plan.request.engine.run(
            assignment, workers=1, emit=lambda event: None, stop=Stop(lambda: False)
        )
    assert study.results.begun() == set()
