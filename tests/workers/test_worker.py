"""A worker meets jobs that others hold or finish, damaged files, and a disk that takes no more."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.launches import work_alone
from support.sweeps import TINY
from support.worker import Worker, assignment, results
from typer.testing import Result

from resformer.errors import DiskError
from resformer.plan.jobs import Job
from resformer.results.members import read
from resformer.store import claims, files
from resformer.store.study import Study
from resformer.workers.event_log import FinishedElsewhere
from resformer.workers.events import Event

pytestmark = pytest.mark.sweep


# --- a job that another worker holds or finishes


def test_a_silent_worker_whose_job_was_taken_over_leaves_it(
    study: Study, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its next heartbeat comes too late."""
    monkeypatch.setattr(claims, "_BEAT_SECONDS", 0.0)
    folder, seen = study.job(job.id), list[int]()

    def taken_over(step: int) -> None:
        seen.append(step)
        if step == 10:
            (folder / "claim-2").write_bytes((folder / "claim-1").read_bytes())

    assert Worker(study, job).run(steps=12, at_step=taken_over) == ["started", "left", "waiting"]
    assert seen[-1] == 12  # of which the last two were asked for while it waited
    assert not study.results.has(job.id)


def test_a_worker_that_commits_second_has_not_finished_the_job(study: Study, job: Job) -> None:
    def finished_elsewhere(step: int) -> None:
        if step == 30:
            study.results.path(job.id).write_bytes(b"another's")

    assert Worker(study, job).run(at_step=finished_elsewhere) == ["started", "elsewhere"]
    assert study.results.path(job.id).read_bytes() == b"another's"
    assert claims.held(study.job(job.id)) is None


def test_a_job_finished_elsewhere_is_reported(study: Study, job: Job) -> None:
    """By a worker that comes to it, or where a list names it, by the supervisor of the workers."""
    assert Worker(study, job).run() == ["started", "finished"]
    assert Worker(study, job).run() == []
    events: list[Event] = []
    FinishedElsewhere(study).drain(events.append)
    assert [(event.kind, event.job) for event in events] == [("elsewhere", job.id)]
    shutil.rmtree(study.path / "done")
    assert Worker(study, job).run() == ["elsewhere"]


def test_a_job_that_was_finished_while_it_was_claimed_is_left(
    study: Study, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker, take = Worker(study, job), claims.take

    def slow(*given: Any) -> Any:
        claim = take(*given)
        study.results.path(job.id).write_bytes(b"another's")
        return claim

    monkeypatch.setattr(claims, "take", slow)
    assert worker.run() == ["waiting", "elsewhere"]
    assert claims.held(study.job(job.id)) is None


def test_a_job_that_was_finished_before_it_was_claimed_is_not_claimed_again(
    study: Study, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two workers may come to a job at once, and one be held up until the other has finished."""
    worker, take = Worker(study, job), claims.take

    def late(*given: Any) -> Any:
        monkeypatch.setattr(claims, "take", take)
        assert Worker(study, job).run() == ["started", "finished"]
        return take(*given)

    monkeypatch.setattr(claims, "take", late)
    assert worker.run() == ["elsewhere"]
    assert claims.attempts(study.job(job.id)) == 1


# --- damaged results and plans


@pytest.mark.parametrize(
    "name", ["result.json", "job.json", "attempt-1/curves.parquet", "attempt-1/timing.json"]
)
@pytest.mark.parametrize("cut", [True, False], ids=["cut", "gone"])
def test_a_damaged_job_is_named_and_runs_again(
    study: Study, job: Job, undisturbed: dict[str, bytes], name: str, cut: bool
) -> None:
    Worker(study, job).run()
    path = study.job(job.id) / name
    if cut:
        path.write_bytes(path.read_bytes()[:-9])
    else:
        path.unlink()
    first = study.results.path(job.id)
    with pytest.raises(Exception, match=path.name.replace(".", r"\.")) as damage:
        study.results.whole(job.to_json())
    study.results.quarantine(first, str(damage.value))
    study.results.quarantine(first, "a second quarantine changes nothing")
    assert not study.results.has(job.id)
    assert study.results.finished([job.id]) == set()
    assert Worker(study, job).run() == ["started", "finished"]
    assert results(study, job.id) == undisturbed
    assert study.results.path(job.id).name == "result-2.json"
    study.results.quarantine(first, "a late one changes nothing either")
    assert study.results.has(job.id)
    assert len(read([study]).members) == 3
    study.results.whole(job.to_json())


def test_a_job_whose_result_is_gone_runs_again_though_a_list_names_it(
    study: Study, job: Job, undisturbed: dict[str, bytes]
) -> None:
    Worker(study, job).run()
    study.results.path(job.id).unlink()
    assert Worker(study, job).run() == ["started", "finished"]
    assert results(study, job.id) == undisturbed


def test_a_sweep_names_a_damaged_file_and_runs_its_job_again(
    resformer: Callable[..., Result], study: Study, tmp_path: Path
) -> None:
    words = ["sweep", *TINY, "engine.workers=1", "--study", "some"]
    assert resformer(*words).exit_code == 0
    (curves,) = study.path.glob("jobs/*/*/attempt-1/curves.parquet")
    whole = curves.read_bytes()
    curves.write_bytes(whole[:-5])
    dry = resformer(*words, "--dry-run")
    assert "damaged, runs again" in dry.stderr
    assert not (study.path / "damaged").exists()
    again = resformer(*words)
    assert again.exit_code == 0
    assert (
        f"damaged, runs again: {curves.relative_to(tmp_path)}: not the bytes that were committed"
        in again.stderr
    )
    assert (curves.parents[1] / "attempt-2" / "curves.parquet").read_bytes() == whole
    assert "damaged" not in resformer("report", "some").stdout
    assert "all finished" in resformer(*words).stderr


def test_a_planned_job_whose_id_is_another_hash_fails(study: Study, job: Job) -> None:
    other = {**job.to_json(), "id": "0123456789abcdef"}
    number = study.launch({"engine": {"retries": 0}}, [other])
    events = work_alone(assignment(study, number, other["id"]))
    assert [event.kind for event in events] == ["started", "failed"]
    assert events[-1].detail.endswith(f": ValueError: the job that was planned is {job.id}")


def test_a_plan_that_is_damaged_during_the_sweep_is_named(study: Study, job: Job) -> None:
    worker = Worker(study, job)
    plan = study.path / "plan-1.jsonl"
    plan.write_bytes(plan.read_bytes()[:-9])
    with pytest.raises(DiskError, match=f"job {job.id} can no longer be read from the plan"):
        worker.run()
    assert not study.job(job.id).exists()


# --- a disk that takes no more


def test_a_full_disk_stops_the_work_and_is_no_failure(
    study: Study, job: Job, undisturbed: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    worker, write = Worker(study, job, checkpoint_seconds=0.0), files.write

    def full(path: Path, data: bytes) -> None:
        if path.name.startswith("checkpoint-20"):
            raise DiskError(
                f"{path}: cannot be written ({len(data):,} bytes): No space left on device"
            )
        write(path, data)

    with monkeypatch.context() as disk:
        disk.setattr(files, "write", full)
        with pytest.raises(
            DiskError, match=r"20\.safetensors: cannot be written \([\d,]+ bytes\): No space"
        ):
            worker.run()
    assert claims.error(study.job(job.id), 1) is None
    assert worker.run() == ["started", "resumed", "finished"]
    assert worker.detail("resumed") == "from step 19"
    assert results(study, job.id) == undisturbed


def test_a_full_disk_does_not_matter_for_a_job_that_another_has_finished(
    study: Study, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder of an attempt that was given up may be tidied."""
    worker, write = Worker(study, job), files.write

    def finished_elsewhere(path: Path, data: bytes) -> None:
        if path.name == "runs.parquet":
            result = {"job": job.id, "attempt": 7, "files": {}}
            study.results.path(job.id).write_bytes(files.with_checksum(result))
            raise DiskError("gone")
        write(path, data)

    monkeypatch.setattr(files, "write", finished_elsewhere)
    assert worker.run() == ["started", "left", "elsewhere"]


def test_a_commit_that_may_not_be_durable_is_no_success(
    study: Study, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The result has its name, but the folder could not be synced."""
    worker, sync = Worker(study, job), files.sync

    def failing(folder: Path) -> None:
        if (folder / "result.json").exists():
            raise OSError(5, "Input/output error")
        sync(folder)

    monkeypatch.setattr(files, "sync", failing)
    with pytest.raises(DiskError, match=r"result\.json: cannot be written"):
        worker.run()
    assert "finished" not in {event.kind for event in worker.events}


def test_a_list_of_finished_jobs_that_cannot_be_written_does_not_matter(
    study: Study, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, line: bytes) -> None:
        raise DiskError("no room")

    monkeypatch.setattr(files, "append", full)
    assert Worker(study, job, checkpoint_seconds=0.0).run() == ["started", "finished"]
    assert list(study.path.glob("jobs/*/*/*/checkpoint-*")) == []
