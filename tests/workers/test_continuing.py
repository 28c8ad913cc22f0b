"""A job goes on from the last checkpoint of a job with a smaller budget, and ends with the bits of
one that never stopped.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import shapes
from support.worker import Worker, results

from resformer.model.shape import Member, Recording
from resformer.plan import provenance
from resformer.plan.jobs import Job
from resformer.store import files
from resformer.store.study import Study
from resformer.training.population import Population

pytestmark = pytest.mark.sweep


def within(job: Job, steps: int, continues: Job | None = None) -> Job:
    """The job with this budget."""
    train = dataclasses.replace(job.shape.train, steps=steps)
    shape = dataclasses.replace(job.shape, train=train)
    return dataclasses.replace(job, shape=shape, continues=continues.id if continues else None)


@pytest.fixture
def shorter(study: Study, job: Job) -> Job:
    """The job with half the budget, finished."""
    shorter = within(job, 20)
    assert Worker(study, shorter, keep_checkpoint=True).run() == ["started", "finished"]
    return shorter


@pytest.fixture
def longer(job: Job, shorter: Job) -> Job:
    """The job, which is to go on from there."""
    longer = within(job, 40, shorter)
    assert longer.id == job.id
    return longer


def last_checkpoint(study: Study, job: Job) -> Path:
    return study.job(job.id) / "attempt-1" / f"checkpoint-{job.shape.train.steps}.safetensors"


def test_a_job_goes_on_from_the_end_of_a_smaller_budget(
    study: Study, shorter: Job, longer: Job, undisturbed: dict[str, bytes]
) -> None:
    worker, trained = Worker(study, longer), list[int]()
    assert worker.run(at_step=trained.append) == ["started", "resumed", "finished"]
    assert worker.detail("resumed") == "from step 20 of train.steps=20"
    assert results(study, longer.id) == undisturbed
    assert max(trained) == 19  # steps of twenty
    assert last_checkpoint(study, shorter).exists()
    assert not list(study.job(longer.id).rglob("checkpoint-*"))


def test_a_job_goes_on_again_and_again(
    study: Study, job: Job, shorter: Job, undisturbed: dict[str, bytes]
) -> None:
    """Through a budget that ends between two evaluations."""
    between = within(job, 33, shorter)
    for longer, details in (
        (between, "from step 20 of train.steps=20"),
        (within(job, 40, between), "from step 33 of train.steps=33"),
    ):
        worker = Worker(study, longer, keep_checkpoint=True)
        assert worker.run() == ["started", "resumed", "finished"]
        assert worker.detail("resumed") == details
    assert results(study, job.id) == undisturbed


def test_a_job_that_goes_on_and_is_left_resumes_where_it_was_left(
    study: Study, longer: Job, undisturbed: dict[str, bytes]
) -> None:
    worker, details = Worker(study, longer), []
    for steps in (0, 7, 1e9):
        worker.run(steps=steps)
        details.append(worker.detail("resumed"))
    assert details == ["from step 20 of train.steps=20", "from step 20", "from step 27"]
    assert results(study, longer.id) == undisturbed


def test_a_killed_job_that_goes_on_starts_from_the_smaller_budget_again(
    study: Study, longer: Job, undisturbed: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    worker, advance = Worker(study, longer, retries=1), Population.advance

    def failing(population: Population) -> None:
        if population.steps == 30:
            raise OSError("on purpose")
        advance(population)

    with monkeypatch.context() as patched:
        patched.setattr(Population, "advance", failing)
        assert worker.run()[:3] == ["started", "resumed", "retried"]
    worker.events = []
    again = Worker(study, longer, retries=1)
    assert again.run() == ["started", "resumed", "finished"]
    assert again.detail("resumed") == "from step 20 of train.steps=20"
    assert results(study, longer.id) == undisturbed


def test_some_members_of_a_job_go_on(study: Study, job: Job, shorter: Job, tmp_path: Path) -> None:
    some = dataclasses.replace(job, members=(job.members[2], job.members[0]))
    alone = Study(tmp_path / "alone" / "some")
    alone.path.parent.mkdir()
    assert Worker(alone, some).run() == ["started", "finished"]
    going_on = within(some, 40, shorter)
    assert Worker(study, going_on).run() == ["started", "resumed", "finished"]
    assert results(study, some.id) == results(alone, some.id)


# --- members that had left


EASY = (Member(seed=0, lr=1e-2), Member(seed=1, lr=1e30), Member(seed=0, lr=3e-3))


@pytest.fixture
def easy() -> Job:
    """Two members solve and one diverges, all before step 300."""
    shape = shapes.changed(shapes.shape(), steps=300, batch=32, eval_every=10)
    return Job(shape=shape, members=EASY, recording=Recording(keep_weights=True, probe_every=100))


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0)])
def test_what_no_longer_budget_changes_is_taken_as_it_is(
    study: Study, easy: Job, order: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No checkpoint is kept, and none is needed: it does not matter where the job ran."""
    assert Worker(study, easy, keep_checkpoint=True).run() == ["started", "finished"]
    outcomes = study.results.runs(easy.to_json())["outcome"].to_pylist()
    assert outcomes == ["solved", "diverged", "solved"]
    assert not list(study.path.rglob("checkpoint-*"))
    some = dataclasses.replace(easy, members=tuple(EASY[index] for index in order))
    longer = within(some, 400, easy)
    direct = Study(study.path.with_name("direct"))
    assert Worker(direct, within(some, 400)).run() == ["started", "finished"]

    def advance(population: Population) -> None:
        raise AssertionError("is not trained")

    monkeypatch.setattr(Population, "advance", advance)
    assert Worker(study, longer).run() == ["started", "finished"]
    assert results(study, longer.id) == results(direct, longer.id)
    assert study.results.timing(longer.id) == study.results.timing(easy.id)


def test_a_job_whose_members_have_left_needs_neither_weights_nor_probes(
    study: Study, easy: Job
) -> None:
    plain = dataclasses.replace(easy, recording=Recording())
    Worker(study, plain).run()
    assert Worker(study, within(plain, 400, plain)).run() == ["started", "finished"]
    assert set(results(study, within(plain, 400).id)) == {"runs.parquet", "curves.parquet"}


# --- nothing to go on from


def remove(study: Study, job: Job) -> None:
    last_checkpoint(study, job).unlink()


def cut(study: Study, job: Job) -> None:
    path = last_checkpoint(study, job)
    path.write_bytes(path.read_bytes()[:-1])


def flip(study: Study, job: Job) -> None:
    path = last_checkpoint(study, job)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def damage_results(study: Study, job: Job) -> None:
    path = study.job(job.id) / "attempt-1" / "curves.parquet"
    path.write_bytes(path.read_bytes()[:-1])


def other_facts(study: Study, job: Job) -> None:
    path = last_checkpoint(study, job).with_suffix(".json")
    record = files.verify_checksum(path.read_bytes())
    assert record is not None
    record["facts"]["rows"] = [7]
    path.write_bytes(files.with_checksum(record))


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (remove, "of train.steps=20 has no checkpoint that is whole"),
        (cut, "of train.steps=20 has no checkpoint that is whole"),
        (flip, "of train.steps=20 has no checkpoint that is whole"),
        (damage_results, "curves.parquet: not the bytes that were committed"),
        (other_facts, "the checkpoint of step 20 cannot be used: "),
    ],
)
def test_without_a_checkpoint_it_says_so_and_trains_from_the_start(
    study: Study,
    shorter: Job,
    longer: Job,
    undisturbed: dict[str, bytes],
    harm: Callable[[Study, Job], None],
    reason: str,
) -> None:
    harm(study, shorter)
    worker = Worker(study, longer)
    assert worker.run() == ["started", "restarted", "finished"]
    assert reason in worker.detail("restarted")
    assert "\n" not in worker.detail("restarted")
    assert results(study, longer.id) == undisturbed


def test_a_checkpoint_that_was_not_kept_is_missed(
    study: Study, job: Job, undisturbed: dict[str, bytes]
) -> None:
    assert Worker(study, within(job, 20)).run() == ["started", "finished"]
    worker = Worker(study, within(job, 40, within(job, 20)))
    assert worker.run() == ["started", "restarted", "finished"]
    assert results(study, job.id) == undisturbed


def test_a_job_left_after_it_started_again_does_not_say_so_twice(
    study: Study, shorter: Job, longer: Job, undisturbed: dict[str, bytes]
) -> None:
    remove(study, shorter)
    worker = Worker(study, longer)
    assert worker.run(steps=5) == ["started", "restarted", "left"]
    assert worker.run() == ["started", "resumed", "finished"]
    assert worker.detail("resumed") == "from step 5"
    assert results(study, longer.id) == undisturbed


def test_a_checkpoint_of_another_environment_is_not_gone_on_from(
    study: Study, job: Job, undisturbed: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, shorter = (
        provenance.environment(job.shape, job.recording, len(job.members)),
        within(job, 20),
    )
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(provenance, "environment", lambda *_: {**here, "torch": "another"})
        Worker(study, shorter, keep_checkpoint=True).run()
    worker = Worker(study, within(job, 40, shorter))
    assert worker.run() == ["started", "restarted", "finished"]
    reason = f"was made with torch another, this is {here['torch']}"
    assert worker.detail("restarted") == f"the checkpoint of step 20 {reason}"
    assert results(study, job.id) == undisturbed


def other_batch(job: Job) -> Job:
    return dataclasses.replace(job, shape=shapes.changed(job.shape, batch=9))


def other_weights(job: Job) -> Job:
    return dataclasses.replace(job, recording=Recording())


def other_members(job: Job) -> Job:
    return dataclasses.replace(job, members=job.members[1:])


def larger_budget(job: Job) -> Job:
    return within(job, 40)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (other_batch, "does not differ in a smaller train.steps only"),
        (larger_budget, "does not differ in a smaller train.steps only"),
        (other_weights, "kept other weights or probes"),
        (other_members, "has no seed 0 at learning rate 0.01"),
    ],
)
def test_a_job_of_another_kind_is_named_and_not_gone_on_from(
    study: Study, job: Job, change: Callable[[Job], Job], reason: str
) -> None:
    longer = within(job, 30)
    other = change(within(job, 20))
    Worker(study, other, keep_checkpoint=True).run()
    worker = Worker(study, dataclasses.replace(longer, continues=other.id))
    assert worker.run() == ["started", "restarted", "finished"]
    assert worker.detail("restarted") == f"job {other.id} {reason}"


def test_a_job_that_no_plan_holds_is_named(
    study: Study, job: Job, undisturbed: dict[str, bytes]
) -> None:
    worker = Worker(study, dataclasses.replace(job, continues="0123456789abcdef"))
    assert worker.run() == ["started", "restarted", "finished"]
    assert worker.detail("restarted") == "job 0123456789abcdef is in no plan"
    assert results(study, job.id) == undisturbed


# --- the checkpoint that is kept


def test_the_last_checkpoint_of_an_attempt_is_all_that_a_commit_leaves(
    study: Study, job: Job, undisturbed: dict[str, bytes]
) -> None:
    worker = Worker(study, job, checkpoint_seconds=0.0, keep_checkpoint=True)
    worker.run(steps=15)
    assert worker.run() == ["started", "resumed", "finished"]
    left = sorted(path.name for path in study.job(job.id).rglob("*checkpoint-*"))
    assert left == ["checkpoint-40.json", "checkpoint-40.safetensors"]
    assert results(study, job.id) == undisturbed


def test_a_damaged_job_runs_again_from_its_last_checkpoint(
    study: Study, job: Job, undisturbed: dict[str, bytes]
) -> None:
    Worker(study, job, keep_checkpoint=True).run()
    damage_results(study, job)
    study.results.quarantine(study.results.path(job.id), "cut")
    worker, advanced = Worker(study, job), list[int]()
    assert worker.run(at_step=advanced.append) == ["started", "resumed", "finished"]
    assert max(advanced) < 0  # no step was taken
    assert results(study, job.id) == undisturbed


def test_an_attempt_that_dies_with_its_last_checkpoint_written_is_resumed_from_it(
    study: Study, job: Job, undisturbed: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def evaluate(population: Population) -> Any:
        if population.steps == 40:
            raise OSError("on purpose")
        return real(population)

    real = Population.evaluate
    with monkeypatch.context() as patched:
        patched.setattr(Population, "evaluate", evaluate)
        assert Worker(study, job, keep_checkpoint=True).run() == ["started", "failed"]
    again = Worker(study, job, keep_checkpoint=True)
    assert again.run() == ["started", "resumed", "finished"]
    assert again.detail("resumed") == "from step 40"
    assert results(study, job.id) == undisturbed
    assert [path.parent.name for path in study.path.rglob("checkpoint-*.json")] == ["attempt-2"]
