"""A job that was left or whose worker was killed resumes from a checkpoint, and ends with the bits
of an undisturbed one.
"""

import contextlib
import os
import signal
from collections.abc import Callable

import pytest
from support.launches import local, pid, record_of
from support.sweeps import TINY
from support.worker import Worker, results
from typer.testing import Result

from resformer.model.shape import Shape
from resformer.plan import provenance
from resformer.plan.jobs import Job
from resformer.store import claims, files
from resformer.store.study import Study
from resformer.training.population import Population
from resformer.workers.events import Event
from resformer.workers.signals import Stop

pytestmark = pytest.mark.sweep

Resformer = Callable[..., Result]


def run_process(worker: Worker, emit: Callable[[Event], None], retries: int = 0) -> list[str]:
    """Run the job in a worker process; returns the kinds of the first events but progress."""
    events: list[Event] = []

    def tell(event: Event) -> None:
        events.append(event)
        emit(event)

    engine, stop = local(retries=retries), Stop(lambda: False)
    engine.run(worker.assignment, workers=1, emit=tell, stop=stop)
    worker.events = events
    return [event.kind for event in events if event.kind != "progress"]


# --- jobs that are left


def test_a_job_that_is_left_again_and_again_ends_with_the_same_bits(
    study: Study, job: Job, undisturbed: dict[str, bytes]
) -> None:
    """Leaving is no failure: it takes no retry, of which there is none."""
    worker, step = Worker(study, job), 0
    for number, more in enumerate((0, 1, 9, 1, 12)):
        resumed = ["resumed"] * (number > 0)
        assert worker.run(steps=more) == ["started", *resumed, "left"]
        step += more
        assert not study.results.has(job.id)
    assert worker.run() == ["started", "resumed", "finished"]
    assert worker.detail("resumed") == f"from step {step}"
    assert results(study, job.id) == undisturbed
    assert claims.failures(study.job(job.id), 1) == 1


def test_an_error_at_a_stop_is_no_failure(
    study: Study, job: Job, undisturbed: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signal to the whole process group ends the compiler that a worker waits for, too."""
    worker = Worker(study, job)

    def compiler(shape: Shape) -> dict[str, str]:
        raise RuntimeError("c++ failed: died with SIGTERM")

    with monkeypatch.context() as patched:
        patched.setattr(provenance, "environment", compiler)
        assert worker.run(steps=0) == ["started", "left"]
    assert study.failure(job.id) is None
    assert worker.run() == ["started", "finished"]
    assert results(study, job.id) == undisturbed


def test_a_killed_worker_costs_the_steps_since_the_last_checkpoint(
    study: Study, job: Job, undisturbed: dict[str, bytes]
) -> None:
    worker = Worker(study, job, retries=1, checkpoint_seconds=0.0)

    def kill(event: Event) -> None:
        evaluated = event.progress.step if event.progress is not None else 0
        if evaluated == 20 and claims.attempts(study.job(job.id)) == 1:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid(study, job.id), signal.SIGKILL)

    kinds = run_process(worker, kill, retries=1)
    assert kinds[:4] == ["started", "retried", "started", "resumed"]
    assert int(worker.detail("resumed").removeprefix("from step ")) >= 19
    assert results(study, job.id) == undisturbed


@pytest.mark.parametrize("signum", [signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM])
def test_a_worker_that_a_cluster_signals_leaves_its_job_to_another(
    study: Study, job: Job, undisturbed: dict[str, bytes], signum: signal.Signals
) -> None:
    told: list[Event] = []

    def signal_at_third_event(event: Event) -> None:
        told.append(event)
        if event.kind == "progress" and len(told) == 3:
            os.kill(pid(study, job.id), signum)

    kinds = run_process(Worker(study, job), signal_at_third_event)
    left = ["started", "left", "started", "resumed"]
    assert kinds[:4] == left or kinds == ["started", "finished"]
    assert study.results.has(job.id)
    assert results(study, job.id) == undisturbed


def test_train_resumes_where_it_was_left(
    resformer: Resformer, monkeypatch: pytest.MonkeyPatch
) -> None:
    advance = Population.advance

    def interrupted(population: Population) -> None:
        if population.steps == 12:
            os.kill(os.getpid(), signal.SIGTERM)
        advance(population)

    words = ["train", *TINY, "member.seed=0,1"]
    with monkeypatch.context() as patched:
        patched.setattr(Population, "advance", interrupted)
        stopped = resformer(*words)
    assert stopped.exit_code == 143
    assert "the same command goes on" in stopped.stderr
    again = resformer(*words)
    assert again.exit_code == 0
    assert "goes on from step 13" in again.stderr


# --- how often checkpoints are written


@pytest.mark.parametrize(("seconds", "steps"), [(0.0, set(range(39))), (60.0, set())])
def test_checkpoints_are_written_as_often_as_requested_and_discarded_with_the_result(
    study: Study, job: Job, seconds: float, steps: set[int]
) -> None:
    written: set[int] = set()

    def look(step: int) -> None:
        paths = study.path.glob("jobs/*/*/*/checkpoint-*.json")
        written.update(int(path.stem.removeprefix("checkpoint-")) for path in paths)

    Worker(study, job, checkpoint_seconds=seconds).run(at_step=look)
    assert written == steps
    assert list(study.path.glob("jobs/*/*/*/checkpoint-*")) == []


@pytest.mark.parametrize("value", ["-1", "nan", "1e9", "true", "abc", "0,1"])
def test_checkpoint_seconds_has_a_range(resformer: Resformer, value: str) -> None:
    result = resformer("sweep", *TINY, f"train.checkpoint_seconds={value}")
    assert result.exit_code == 2
    assert "train.checkpoint_seconds" in result.stderr


@pytest.mark.parametrize("setting", ["train.checkpoint_seconds=5", "train.recompute=true"])
def test_a_setting_of_the_launch_is_none_of_a_job(resformer: Resformer, setting: str) -> None:
    words = ["sweep", *TINY, "engine.workers=1", "--study", "some"]
    assert resformer(*words).exit_code == 0
    assert "all finished" in resformer(*words, setting).stderr


# --- checkpoints that cannot be used


@pytest.mark.parametrize("name", ["torch", "threads", "processor", "code"])
def test_a_checkpoint_of_another_environment_is_named_and_not_used(
    study: Study,
    job: Job,
    undisturbed: dict[str, bytes],
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here = provenance.environment(job.shape, job.recording, len(job.members))
    worker = Worker(study, job)
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(provenance, "environment", lambda *_: {**here, name: "another"})
        assert worker.run(steps=15) == ["started", "left"]
    assert worker.run() == ["started", "restarted", "finished"]
    reason = f"was made with {name} another, this is {here[name]}"
    assert worker.detail("restarted") == f"the checkpoint of step 15 {reason}"
    assert results(study, job.id) == undisturbed


@pytest.mark.parametrize("key", ["rows", "records", "bits", "kept", "seconds"])
def test_a_checkpoint_with_facts_of_another_kind_is_not_used(
    study: Study, job: Job, undisturbed: dict[str, bytes], key: str
) -> None:
    worker = Worker(study, job)
    worker.run(steps=15)
    path = study.job(job.id) / "attempt-1" / "checkpoint-15.json"
    record = record_of(path)
    record["facts"][key] = {"bits": 3, "seconds": None}.get(key, [7])
    path.write_bytes(files.with_checksum(record))
    assert worker.run() == ["started", "restarted", "finished"]
    assert results(study, job.id) == undisturbed


def test_an_unusable_checkpoint_does_not_hide_a_usable_one(
    study: Study, job: Job, undisturbed: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One machine came far, another took over from the start, and resumes its own."""
    here = provenance.environment(job.shape, job.recording, len(job.members))
    worker = Worker(study, job)
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(provenance, "environment", lambda *_: {**here, "torch": "another"})
        worker.run(steps=30)
    assert worker.run(steps=15) == ["started", "restarted", "left"]
    assert worker.run() == ["started", "resumed", "finished"]
    assert worker.detail("resumed") == "from step 15"
    assert results(study, job.id) == undisturbed


def test_a_damaged_checkpoint_costs_time_only(
    study: Study, job: Job, undisturbed: dict[str, bytes]
) -> None:
    worker = Worker(study, job)
    worker.run(steps=15)
    path = study.job(job.id) / "attempt-1" / "checkpoint-15.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    assert worker.run() == ["started", "finished"]
    assert results(study, job.id) == undisturbed
