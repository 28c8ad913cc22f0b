"""A job that was left, killed or damaged is gone on with, and ends with the bits of one that was
not.
"""

import contextlib
import io
import math
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from support import shapes
from support.sweeps import TINY_SETTINGS

from resformer.console.progress import follow
from resformer.engines.local import Local
from resformer.errors import DiskError
from resformer.model.shape import Member, Recording, Shape
from resformer.numerics.process import configure_worker
from resformer.plan import jobs, provenance
from resformer.plan.jobs import Job
from resformer.results.members import read
from resformer.store import claims, files
from resformer.store.study import Study
from resformer.tasks.copy import Copy
from resformer.training.population import Population
from resformer.workers.assignment import Assignment
from resformer.workers.event_log import FinishedElsewhere
from resformer.workers.events import Event
from resformer.workers.signals import Stop
from resformer.workers.worker import work

pytestmark = pytest.mark.sweep

STEPS = 40


@pytest.fixture(autouse=True)
def _as_in_a_worker() -> None:
    configure_worker()


@pytest.fixture
def job() -> Job:
    tiny = shapes.shape(task=Copy(length=5, symbols=8), depth=1, width=8, hidden=16)
    long = shapes.changed(tiny, steps=STEPS, stop_when_solved=False)
    members = (Member(0, 1e-2), Member(1, 1e30), Member(2, 1e-3))
    return Job(shape=long, members=members, recording=Recording(keep_weights=True))


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return Study(tmp_path / "results" / "tiny")


def engine(retries: int) -> Local:
    return Local(workers=1, stack=None, retries=retries, lease_seconds=60.0, memory_gib=None)


def assignment(
    study: Study, launch: int, job: str, retries: int, checkpoint_seconds: float = 60.0
) -> Assignment:
    return Assignment(
        study=study.path,
        launch=launch,
        jobs=(job,),
        retries=retries,
        lease_seconds=60.0,
        checkpoint_seconds=checkpoint_seconds,
    )


class Sweep:
    """The loop of a worker over one job, in this process, told to stop after so many steps."""

    def __init__(
        self, study: Study, job: Job, retries: int = 0, checkpoint_seconds: float = 60.0
    ) -> None:
        self.study, self.job, self.events = study, job, list[Event]()
        number = study.launch({"engine": {"retries": retries}}, [job.to_json()])
        self.assignment = assignment(study, number, job.id, retries, checkpoint_seconds)

    def run(
        self, steps: float = 1e9, at_step: Callable[[int], None] = lambda step: None
    ) -> list[str]:
        """Run the sweep; its kinds of events, progress left out."""
        polls, self.events = 0, []

        def requested() -> bool:
            nonlocal polls
            polls += 1  # once before the job is taken, then before every step
            at_step(polls - 2)
            return polls - 2 >= steps

        stop = Stop(requested)
        work(self.assignment, worker=0, workers=1, emit=self.events.append, stop=stop)
        return [event.kind for event in self.events if event.kind != "progress"]

    def detail(self, kind: str) -> str:
        (event,) = (event for event in self.events if event.kind == kind)
        return event.detail


def results(study: Study, job: Job) -> dict[str, bytes]:
    result = study.results.read(job.id)
    assert result.attempt == claims.attempts(study.job(job.id))
    return {name: data for name, data in result.contents.items() if name != "timing.json"}


@pytest.fixture
def undisturbed(tmp_path: Path, job: Job) -> dict[str, bytes]:
    study = Study(tmp_path / "undisturbed" / "tiny")
    study.path.parent.mkdir()
    assert Sweep(study, job).run() == ["started", "finished"]
    contents = results(study, job)
    assert set(contents) == {"runs.parquet", "curves.parquet", "weights.safetensors"}
    return contents


def holder(study: Study, job: Job) -> int:
    """The process that holds a job."""
    who = claims.held(study.job(job.id))
    assert who is not None
    assert who.holder is not None
    return who.holder.pid


def sealed(path: Path) -> dict[str, Any]:
    record = files.verify_checksum(path.read_bytes())
    assert record is not None
    return record


# --- stopped, and gone on with


def test_a_job_that_is_left_again_and_again_ends_with_the_same_bits(
    study: Study, job: Job, undisturbed: dict[str, bytes]
) -> None:
    """Leaving is no failure: it takes no retry, of which there is none."""
    sweep, step = Sweep(study, job), 0
    for more in (0, 1, 9, 1, 12):
        kinds = sweep.run(steps=more)
        assert (
            kinds == ["started", *(["resumed"] if step or (more > 0 and step) else []), "left"]
            or step == 0
        )
        step += more
        assert not study.results.has(job.id)
    assert sweep.run() == ["started", "resumed", "finished"]
    assert sweep.detail("resumed") == f"from step {step}"
    assert results(study, job) == undisturbed
    assert claims.failures(study.job(job.id), 1) == 1


def test_what_breaks_at_a_stop_is_no_failure(
    study: Study, job: Job, undisturbed: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signal to the whole process group ends the compiler that a worker waits for, too."""
    sweep = Sweep(study, job)

    def compiler(shape: Shape) -> dict[str, str]:
        raise RuntimeError("c++ failed: died with SIGTERM")

    with monkeypatch.context() as patched:
        patched.setattr(provenance, "environment", compiler)
        assert sweep.run(steps=0) == ["started", "left"]
    assert study.failure(job.id) is None
    assert sweep.run() == ["started", "finished"]
    assert results(study, job) == undisturbed


def test_a_killed_worker_costs_what_it_did_since_the_last_checkpoint(
    study: Study, job: Job, undisturbed: dict[str, bytes]
) -> None:
    plan = Sweep(study, job, retries=1, checkpoint_seconds=0.0)
    events: list[Event] = []

    def tell(event: Event) -> None:
        events.append(event)
        evaluated = event.progress.step if event.progress is not None else 0
        if evaluated == 20 and claims.attempts(study.job(job.id)) == 1:
            with contextlib.suppress(ProcessLookupError):
                os.kill(holder(study, job), signal.SIGKILL)

    engine(retries=1).run(plan.assignment, workers=1, emit=tell, stop=Stop(lambda: False))
    kinds = [event.kind for event in events if event.kind != "progress"]
    assert kinds[:4] == ["started", "retried", "started", "resumed"]
    (resumed,) = (event.detail for event in events if event.kind == "resumed")
    assert int(resumed.removeprefix("from step ")) >= 19
    assert results(study, job) == undisturbed


@pytest.mark.parametrize("signum", [signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM])
def test_a_worker_that_a_cluster_calls_off_leaves_its_job_to_another(
    study: Study, job: Job, undisturbed: dict[str, bytes], signum: signal.Signals
) -> None:
    plan, events = Sweep(study, job), list[Event]()

    def tell(event: Event) -> None:
        events.append(event)
        if event.kind == "progress" and len(events) == 3:
            os.kill(holder(study, job), signum)

    engine(retries=0).run(plan.assignment, workers=1, emit=tell, stop=Stop(lambda: False))
    kinds = [event.kind for event in events if event.kind != "progress"]
    assert kinds[:4] == ["started", "left", "started", "resumed"] or kinds == [
        "started",
        "finished",
    ]
    assert study.results.has(job.id)
    assert results(study, job) == undisturbed


def test_a_checkpoint_is_made_as_often_as_asked_for_and_as_cheaply_as_it_can(
    study: Study, job: Job
) -> None:
    made: set[int] = set()

    def look(step: int) -> None:
        made.update(int(path.stem[11:]) for path in study.path.glob("jobs/*/*/*/checkpoint-*.json"))

    Sweep(study, job, checkpoint_seconds=0.0).run(at_step=look)
    assert made == set(range(STEPS - 1))
    assert list(study.path.glob("jobs/*/*/*/checkpoint-*")) == []


def test_a_short_job_makes_no_checkpoint(study: Study, job: Job) -> None:
    Sweep(study, job, checkpoint_seconds=60.0).run(
        at_step=lambda step: (
            None if not list(study.path.glob("jobs/*/*/*/checkpoint-*")) else pytest.fail("made")
        )
    )


# --- a checkpoint that cannot be used


@pytest.mark.parametrize("name", ["torch", "threads", "processor", "code"])
def test_a_checkpoint_of_other_circumstances_is_named_and_not_mixed_in(
    study: Study,
    job: Job,
    undisturbed: dict[str, bytes],
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here = provenance.environment(job.shape, job.recording, len(job.members))
    sweep = Sweep(study, job)
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(provenance, "environment", lambda *_: {**here, name: "another"})
        assert sweep.run(steps=15) == ["started", "left"]
    assert sweep.run() == ["started", "restarted", "finished"]
    assert (
        sweep.detail("restarted")
        == f"the checkpoint of step 15 was made with {name} another, this is {here[name]}"
    )
    assert results(study, job) == undisturbed


@pytest.mark.parametrize("key", ["rows", "records", "bits", "kept", "seconds"])
def test_a_checkpoint_that_makes_no_sense_is_not_used(
    study: Study, job: Job, undisturbed: dict[str, bytes], key: str
) -> None:
    sweep = Sweep(study, job)
    sweep.run(steps=15)
    path = study.job(job.id) / "attempt-1" / "checkpoint-15.json"
    record = sealed(path)
    record["facts"][key] = {"bits": 3, "seconds": None}.get(key, [7])
    path.write_bytes(files.with_checksum(record))
    assert sweep.run() == ["started", "restarted", "finished"]
    assert results(study, job) == undisturbed


def test_a_checkpoint_that_cannot_be_used_does_not_hide_one_that_can(
    study: Study, job: Job, undisturbed: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One machine came far, another took over from the start; on the other one it goes on from
    there.
    """
    here, sweep = (
        provenance.environment(job.shape, job.recording, len(job.members)),
        Sweep(study, job),
    )
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(provenance, "environment", lambda *_: {**here, "torch": "another"})
        sweep.run(steps=30)
    assert sweep.run(steps=15) == ["started", "restarted", "left"]
    assert sweep.run() == ["started", "resumed", "finished"]
    assert sweep.detail("resumed") == "from step 15"
    assert results(study, job) == undisturbed


def test_a_damaged_checkpoint_costs_time_only(
    study: Study, job: Job, undisturbed: dict[str, bytes]
) -> None:
    sweep = Sweep(study, job)
    sweep.run(steps=15)
    path = study.job(job.id) / "attempt-1" / "checkpoint-15.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    assert sweep.run() == ["started", "finished"]
    assert results(study, job) == undisturbed


# --- a job that somebody else has


def test_a_silent_worker_that_lost_its_job_gives_it_up(
    study: Study, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its next sign of life comes too late."""
    monkeypatch.setattr(claims, "_BEAT_SECONDS", 0.0)
    folder, seen = study.job(job.id), list[int]()

    def taken_over(step: int) -> None:
        seen.append(step)
        if step == 10:
            (folder / "claim-2").write_bytes((folder / "claim-1").read_bytes())

    assert Sweep(study, job).run(steps=12, at_step=taken_over) == ["started", "left", "waiting"]
    assert seen[-1] == 12  # of which the last two were asked for while it waited
    assert not study.results.has(job.id)


def test_a_worker_that_commits_second_has_not_finished_the_job(study: Study, job: Job) -> None:
    def finished_elsewhere(step: int) -> None:
        if step == 30:
            study.results.path(job.id).write_bytes(b"somebody's")

    assert Sweep(study, job).run(at_step=finished_elsewhere) == ["started", "elsewhere"]
    assert study.results.path(job.id).read_bytes() == b"somebody's"
    assert claims.held(study.job(job.id)) is None


def test_a_job_that_somebody_else_has_finished_is_told_of(study: Study, job: Job) -> None:
    """By a worker that comes to it, or where a list names it, by whoever looks after the
    workers.
    """
    assert Sweep(study, job).run() == ["started", "finished"]
    assert Sweep(study, job).run() == []
    events: list[Event] = []
    FinishedElsewhere(study).drain(events.append)
    assert [(event.kind, event.job) for event in events] == [("elsewhere", job.id)]
    shutil.rmtree(study.path / "done")
    assert Sweep(study, job).run() == ["elsewhere"]


# --- a result that is damaged


@pytest.mark.parametrize(
    "name", ["result.json", "job.json", "attempt-1/curves.parquet", "attempt-1/timing.json"]
)
@pytest.mark.parametrize("cut", [True, False], ids=["cut", "gone"])
def test_a_damaged_job_is_named_and_runs_again(
    study: Study, job: Job, undisturbed: dict[str, bytes], name: str, cut: bool
) -> None:
    Sweep(study, job).run()
    path = study.job(job.id) / name
    if cut:
        path.write_bytes(path.read_bytes()[:-9])
    else:
        path.unlink()
    first = study.results.path(job.id)
    with pytest.raises(Exception, match=path.name.replace(".", r"\.")) as damage:
        study.results.whole(job.to_json())
    study.results.quarantine(first, str(damage.value))
    study.results.quarantine(first, "who comes second changes nothing")
    assert not study.results.has(job.id)
    assert study.results.finished([job.id]) == set()
    sweep = Sweep(study, job)
    assert sweep.run() == ["started", "finished"]
    assert results(study, job) == undisturbed
    assert study.results.path(job.id).name == "result-2.json"
    study.results.quarantine(first, "who comes late changes nothing either")
    assert study.results.has(job.id)
    assert len(read([study]).members) == 3
    study.results.whole(job.to_json())


# --- a disk that takes no more


def test_what_the_disk_does_not_take_stops_the_work_and_is_no_failure(
    study: Study, job: Job, undisturbed: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep, write = Sweep(study, job, checkpoint_seconds=0.0), files.write

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
            sweep.run()
    assert claims.error(study.job(job.id), 1) is None
    assert sweep.run() == ["started", "resumed", "finished"]
    assert sweep.detail("resumed") == "from step 19"
    assert results(study, job) == undisturbed


def test_a_disk_that_took_no_more_after_somebody_else_finished_does_not_matter(
    study: Study, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder of an attempt that was given up may be tidied."""
    sweep, write = Sweep(study, job), files.write

    def finished_elsewhere(path: Path, data: bytes) -> None:
        if path.name == "runs.parquet":
            result = {"job": job.id, "attempt": 7, "files": {}}
            study.results.path(job.id).write_bytes(files.with_checksum(result))
            raise DiskError("gone")
        write(path, data)

    monkeypatch.setattr(files, "write", finished_elsewhere)
    assert sweep.run() == ["started", "left", "elsewhere"]


def test_a_commit_of_which_it_is_not_known_whether_it_is_durable_is_no_success(
    study: Study, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The result has its name, but the folder could not be synced."""
    sweep, sync = Sweep(study, job), files.sync

    def failing(folder: Path) -> None:
        if (folder / "result.json").exists():
            raise OSError(5, "Input/output error")
        sync(folder)

    monkeypatch.setattr(files, "sync", failing)
    with pytest.raises(DiskError, match=r"result\.json: cannot be written"):
        sweep.run()
    assert "finished" not in {event.kind for event in sweep.events}


def test_a_list_that_cannot_be_written_does_not_matter(
    study: Study, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, line: bytes) -> None:
        raise DiskError("no room")

    monkeypatch.setattr(files, "append", full)
    assert Sweep(study, job, checkpoint_seconds=0.0).run() == ["started", "finished"]
    assert list(study.path.glob("jobs/*/*/*/checkpoint-*")) == []


def test_a_plan_that_is_damaged_while_it_is_worked_on_is_named(study: Study, job: Job) -> None:
    sweep = Sweep(study, job)
    plan = study.path / "plan-1.jsonl"
    plan.write_bytes(plan.read_bytes()[:-9])
    with pytest.raises(DiskError, match=f"job {job.id} can no longer be read from the plan"):
        sweep.run()
    assert not study.job(job.id).exists()


def test_a_job_that_was_finished_while_it_was_claimed_is_left(
    study: Study, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep, take = Sweep(study, job), claims.take

    def slow(*given: Any) -> Any:
        claim = take(*given)
        study.results.path(job.id).write_bytes(b"somebody's")
        return claim

    monkeypatch.setattr(claims, "take", slow)
    assert sweep.run() == ["waiting", "elsewhere"]
    assert claims.held(study.job(job.id)) is None


# --- the command line


WORDS = ["model.depth=1", *TINY_SETTINGS, "member.seed=0,1", "engine.workers=1"]


def test_a_sweep_names_what_is_damaged_and_runs_it_again(
    resformer: Callable[..., Any], tmp_path: Path
) -> None:
    assert resformer("sweep", *WORDS, "--study", "tiny").exit_code == 0
    (curves,) = (tmp_path / "results").glob("tiny/jobs/*/*/attempt-1/curves.parquet")
    whole = curves.read_bytes()
    curves.write_bytes(whole[:-5])
    dry = resformer("sweep", *WORDS, "--study", "tiny", "--dry-run")
    assert "damaged, runs again" in dry.stderr
    assert not (tmp_path / "results" / "tiny" / "damaged").exists()
    again = resformer("sweep", *WORDS, "--study", "tiny")
    assert again.exit_code == 0
    assert (
        f"damaged, runs again: {curves.relative_to(tmp_path)}: not the bytes that were committed"
        in again.stderr
    )
    assert (curves.parents[1] / "attempt-2" / "curves.parquet").read_bytes() == whole
    assert "damaged" not in resformer("report", "tiny").stdout
    assert "all finished" in resformer("sweep", *WORDS, "--study", "tiny").stderr


def test_train_goes_on_where_it_was_left(
    resformer: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    advance = Population.advance

    def interrupted(population: Population) -> None:
        if population.steps == 12:
            os.kill(os.getpid(), signal.SIGTERM)
        advance(population)

    monkeypatch.setattr(Population, "advance", interrupted)
    words = ["train", *WORDS]
    stopped = resformer(*words)
    assert stopped.exit_code == 143
    assert "the same command goes on" in stopped.stderr
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    again = resformer(*words)
    assert again.exit_code == 0
    assert "goes on from step 13" in again.stderr


def test_out_of_memory_halves_what_is_computed_at_once_and_changes_no_bit(
    study: Study, job: Job, undisturbed: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep, advance = Sweep(study, job, checkpoint_seconds=0.0), Population.advance

    def short(population: Population) -> None:
        if population.chunk_size > 1 and population.steps == 12:
            raise torch.OutOfMemoryError("CUDA out of memory")
        advance(population)

    monkeypatch.setattr(Population, "advance", short)
    halvings = math.ceil(math.log2(len(job.members)))
    assert halvings >= 1
    assert sweep.run() == ["started", *["halved", "resumed"] * halvings, "finished"]
    details = [event.detail for event in sweep.events if event.kind in ("halved", "resumed")]
    assert details[-2:] == ["out of memory; members at once: 1", "from step 12"]
    assert study.results.timing(job.id)["at_once"] == 1
    assert results(study, job) == undisturbed


def test_errors_other_than_out_of_memory_halve_nothing(
    study: Study, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(population: Population) -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(Population, "advance", broken)
    assert Sweep(study, job).run() == ["started", "failed"]


def test_a_worker_goes_on_in_the_memory_it_may_have(tmp_path: Path) -> None:
    """For real: four members at once do not fit into a gibibyte."""
    words = [
        "model.depth=2",
        "model.width=64",
        "model.heads=4",
        "task.length=32",
        "task.symbols=8",
        "train.batch=512",
    ]
    words += [
        "train.steps=1",
        "train.eval_every=1",
        "train.eval_sequences=16",
        "train.compile=false",
    ]
    words += [
        "member.seed=range(0,4)",
        "--study",
        "large",
        "--workers",
        "1",
        "engine.stack=4",
        "engine.retries=0",
    ]
    by_memory = {}
    for memory in ("null", "1.0"):
        command = [
            sys.executable,
            "-m",
            "resformer",
            "sweep",
            *words,
            f"engine.memory_gib={memory}",
        ]
        output = subprocess.run(
            [*command, "--results", memory],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        ).stderr
        assert ("out of memory; members at once: 2" in output) == (memory != "null")
        study = Study(tmp_path / memory / "large")
        (job,) = study.planned()
        by_memory[memory] = results(study, jobs.from_json(study.planned()[job]))
    assert by_memory["null"] == by_memory["1.0"]


def test_a_worker_that_wants_more_memory_than_it_may_have_fails_its_job(
    resformer: Callable[..., Any],
) -> None:
    words = [
        *WORDS,
        "train.batch=65536",
        "train.steps=20",
        "engine.retries=0",
        "engine.memory_gib=0.5",
    ]
    result = resformer("sweep", *words, "--study", "large")
    assert result.exit_code == 1
    assert "failed: " in result.stderr
    assert "memory" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("value", ["-1", "nan", "1e9", "true", "abc", "0,1"])
def test_how_often_a_checkpoint_is_made_has_a_range(
    resformer: Callable[..., Any], value: str
) -> None:
    result = resformer("sweep", *WORDS, f"train.checkpoint_seconds={value}")
    assert result.exit_code == 2
    assert "train.checkpoint_seconds" in result.stderr


def test_checkpoint_seconds_is_no_setting_of_a_job(resformer: Callable[..., Any]) -> None:
    assert resformer("sweep", *WORDS, "--study", "tiny").exit_code == 0
    result = resformer("sweep", *WORDS, "--study", "tiny", "train.checkpoint_seconds=5")
    assert "all finished" in result.stderr


# --- a plan that says one thing and means another


def test_a_planned_job_that_is_not_what_its_id_says_fails(study: Study, job: Job) -> None:
    other = {**job.to_json(), "id": "0123456789abcdef"}
    number = study.launch({"engine": {"retries": 0}}, [other])
    events: list[Event] = []
    work(
        assignment(study, number, other["id"], 0),
        worker=0,
        workers=1,
        emit=events.append,
        stop=Stop(lambda: False),
    )
    assert [event.kind for event in events] == ["started", "failed"]
    assert events[-1].detail == f"ValueError: the job that was planned is {job.id}"


# --- what a person sees of all that


def test_what_another_sweep_finished_is_said_at_the_end_and_counted_once(job: Job) -> None:
    shown = io.StringIO()
    planned = {name: {**job.to_json(), "id": name} for name in ("mine", "theirs")}
    with follow(planned, range(2), Console(file=shown, width=200)) as tell:
        for kind, name in (
            ("resumed", "mine"),
            ("elsewhere", "mine"),
            ("finished", "mine"),
            ("elsewhere", "theirs"),
            ("elsewhere", "theirs"),
            ("restarted", "theirs"),
        ):
            tell(Event(kind, 0, name, detail="from step 5"))  # type: ignore[arg-type]
    lines = [
        line.partition(", after")[0].partition("post: ")[2] or line
        for line in shown.getvalue().splitlines()
    ]
    assert lines == [
        "goes on from step 5",
        "finished",
        "starts again: from step 5",
        "1 job finished by another sweep",
    ]
