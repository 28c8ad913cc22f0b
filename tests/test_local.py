"""Small sweeps for real: what they compute, and what is left of them when workers and supervisors
die.
"""

import contextlib
import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support import shapes
from support.sweeps import TINY_SETTINGS
from support.waiting import wait_until
from typer.testing import Result

from resformer import config
from resformer.engines.local import Local
from resformer.errors import UserError
from resformer.model.shape import RESULTS_ONLY, Member, Recording, Shape
from resformer.numerics.process import configure_worker
from resformer.plan import jobs, provenance
from resformer.plan.jobs import Job
from resformer.store import claims, files, folder
from resformer.store.claims import Claim, HeartbeatObserver, attempts, take
from resformer.store.study import Study
from resformer.sweep import launch
from resformer.sweep.launch import Launch
from resformer.sweep.request import Request
from resformer.tasks.copy import Copy
from resformer.training.loop import Training, train
from resformer.workers.assignment import Assignment
from resformer.workers.events import Event
from resformer.workers.signals import Stop
from resformer.workers.worker import work

pytestmark = pytest.mark.sweep

SWEEP = [
    "model.depth=1",
    *TINY_SETTINGS,
    "engine.stack=1",
    "engine.workers=2",
]

TESTS = Path(__file__).parent
TAKE = """
import sys
from pathlib import Path
from resformer.store.claims import HeartbeatObserver, take

take(Path(sys.argv[1]), 1, 0, HeartbeatObserver(60.0))
"""


@pytest.fixture
def shape() -> Shape:
    return shapes.shape(task=Copy(length=5, symbols=8), depth=1, width=8, hidden=16)


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return Study(tmp_path / "results" / "tiny")


@pytest.fixture
def _as_in_a_worker() -> None:
    configure_worker()


def steps(shape: Shape, count: int, eval_every: int = 5) -> Shape:
    """The shape, trained by every member for so many steps."""
    return replace(
        shape,
        train=replace(shape.train, steps=count, eval_every=eval_every, stop_when_solved=False),
    )


def planned(
    study: Study,
    shapes: Sequence[Shape],
    seeds: int = 2,
    stack: int = 2,
    retries: int = 1,
    lease: float = 60.0,
    overrides: Sequence[str] = (),
    checkpoint: float = 60.0,
    recording: Recording = RESULTS_ONLY,
) -> Launch:
    engine = Local(workers=2, stack=stack, retries=retries, lease_seconds=lease, memory_gib=None)
    members = [Member(seed=seed, lr=lr) for seed in range(seeds) for lr in (1e-3, 1e-2)]
    request = Request(
        study="tiny",
        overrides=[list(overrides)],
        shapes=[(shape, members) for shape in shapes],
        engine=engine,
        checkpoint_seconds=checkpoint,
        recordings=dict.fromkeys(shapes, recording),
    )
    return launch.plan(request, study)


def run(
    plan: Launch,
    tell: Callable[[Event], None],
    workers: int = 2,
    stop: Callable[[], bool] = lambda: False,
) -> Assignment:
    assignment = plan.start(["sweep"])
    plan.request.engine.run(assignment, workers=workers, emit=tell, stop=Stop(stop))
    return assignment


def pid(study: Study, job_id: str, attempt: int = 1) -> int:
    """The process that holds a job."""
    claim = study.job(job_id) / f"claim-{attempt}"
    return int(json.loads(claim.read_text().split("\n")[0])["pid"])


def pids(study: Study) -> set[int]:
    """Every process that held a job."""
    return {
        pid(study, path.parent.name, int(path.name[6:]))
        for path in study.path.glob("jobs/*/*/claim-*")
    }


def attempt(study: Study, job_id: str) -> int:
    """The attempt that was committed."""
    return int(json.loads((study.job(job_id) / "result.json").read_bytes())["attempt"])


def errors(study: Study) -> list[Path]:
    return sorted(study.path.glob("jobs/*/*/attempt-*/error.txt"))


def runs(process: int) -> bool:
    """True while a process runs; a zombie, which has ended, does not."""
    try:
        os.kill(process, 0)
        return ") Z " not in Path(f"/proc/{process}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def work_alone(plan: Launch, events: list[Event]) -> None:
    """Run what a plan wants in this process."""
    stop = Stop(lambda: False)
    work(plan.start(["sweep"]), worker=0, workers=1, emit=events.append, stop=stop)


# --- results


@pytest.mark.usefixtures("_as_in_a_worker")
def test_a_sweep_finishes_and_its_bits_are_those_of_each_job_alone(
    study: Study, shape: Shape, tmp_path: Path
) -> None:
    plan = planned(study, [shape, steps(shape, 40)], seeds=3)
    events: list[Event] = []
    run(plan, events.append)

    assert len(plan.jobs) == 6
    assert study.results.finished(plan.jobs) == set(plan.jobs)
    assert Counter(event.job for event in events if event.kind == "finished") == Counter(plan.jobs)
    assert {event.kind for event in events} - {"waiting", "elsewhere"} == {
        "started",
        "progress",
        "finished",
    }
    assert {event.worker for event in events} == {0, 1}
    assert not multiprocessing.active_children()
    assert launch.plan(plan.request, study).unfinished == {}

    alone = Study(tmp_path / "alone" / "tiny")
    alone.launch({}, [])
    for job in plan.new:
        trained = train(job.shape, job.members, lambda now: None, lambda _: None)
        claim = take(alone.job(job.id), 1, 0, HeartbeatObserver(60.0))
        assert isinstance(claim, Claim)
        alone.results.commit(
            claim, {"runs": trained.runs, "curves": trained.curves}, trained.timing
        )
        for name in ("runs.parquet", "curves.parquet"):
            assert (study.job(job.id) / "attempt-1" / name).read_bytes() == (
                claim.folder / name
            ).read_bytes()
        written = files.verify_checksum((study.job(job.id) / "job.json").read_bytes())
        assert written is not None
        assert jobs.from_json(written) == job


def test_the_longest_job_is_first(study: Study, shape: Shape) -> None:
    plan = planned(study, [shape, steps(shape, 80), steps(shape, 40)], stack=4)
    order: list[str] = []
    run(plan, lambda event: order.append(event.job) if event.kind == "started" else None, workers=1)
    assert [study.planned()[job]["shape"]["train"]["steps"] for job in order] == [80, 40, 20]
    assert list(study.planned()) == order


def test_no_more_workers_than_jobs(shape: Shape) -> None:
    engine = Local(workers=None, stack=1, retries=0, lease_seconds=60.0, memory_gib=None)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert engine.count(["job"] * 1000, "cpu") == cores
    assert engine.count(["job"] * 1000, "cuda") == 1
    assert engine.count(["job"], "cpu") == 1
    assert replace(engine, workers=3).count(["job"] * 2, "cpu") == 2
    assert replace(engine, workers=3).count(["job"] * 9, "cuda") == 3


# --- what a launch plans


def test_only_members_that_are_neither_finished_nor_planned_are_planned(
    study: Study, shape: Shape
) -> None:
    first = planned(study, [shape], seeds=1)
    assert first.finished == 0
    run(first, lambda event: None)
    assert planned(study, [shape], seeds=1).unfinished == {}

    more = planned(study, [shape], seeds=2)  # one seed more, planned and not run
    assert [[member.seed for member in job.members] for job in more.new] == [[1, 1]]
    assert more.finished == 2
    more.start(["sweep"])

    most = planned(study, [shape, steps(shape, 40)], seeds=3, stack=99)
    assert {(job.shape.train.steps, member.seed) for job in most.new for member in job.members} == {
        (20, 2),
        (40, 0),
        (40, 1),
        (40, 2),
    }
    assert set(most.unfinished) == {job.id for job in (*more.new, *most.new)}
    assert set(most.jobs) == {job.id for job in (*first.new, *more.new, *most.new)}
    assert (most.members, most.finished) == (12, 2)
    run(most, lambda event: None)

    assert study.results.finished(most.jobs) == set(most.jobs)
    rows = [
        tuple(row)
        for job in study.planned()
        for row in study.results.table(job, "runs")[["seed", "lr"]].itertuples()
    ]
    assert len(rows) == 12
    assert [record["launch"] for record in study.launches()] == [1, 2, 3]
    assert [attempts(study.job(job)) for job in study.planned()] == [1] * len(most.jobs)


@pytest.mark.parametrize(
    ("section", "name"),
    [("versions", "torch"), ("fingerprint", "training"), ("fingerprint", "task copy")],
)
def test_results_of_other_code_are_not_mixed(
    study: Study, shape: Shape, section: str, name: str
) -> None:
    refuses_another(study, shape, section, name)


LATER = """
import ast, json

before = ast.dump(ast.parse("def f(): pass"))
ast.FunctionDef._fields, ast.FunctionDef.more = (*ast.FunctionDef._fields, "more"), []
assert ast.dump(ast.parse("def f(): pass")) != before

from support import shapes
from resformer.plan import provenance

print(json.dumps(provenance.fingerprint([shapes.shape()], [])))
"""


def test_code_is_the_same_to_every_python() -> None:
    """Later ones have a field more in what they parse, which is empty."""
    path = os.pathsep.join(map(str, (TESTS, TESTS.parent)))
    later = subprocess.run(
        [sys.executable, "-c", LATER],
        env={**os.environ, "PYTHONPATH": path},
        check=True,
        capture_output=True,
        text=True,
    )
    here = provenance.fingerprint([shapes.shape()], [])
    assert json.loads(later.stdout) == here
    assert all(here.values()), "each role has code"
    assert len(set(here.values())) == len(here)


def test_a_launch_that_records_modules_is_of_other_code(study: Study, shape: Shape) -> None:
    """As launches once did: its code may or may not be the same."""
    planned(study, [shape]).start(["sweep"])
    path = study.path / "launches" / "1.json"
    record = files.verify_checksum(path.read_bytes())
    assert record is not None
    record["fingerprint"] = {"resformer.model": "0123456789ab", "resformer.train": "0123456789ab"}
    path.write_bytes(files.with_checksum(record))
    with pytest.raises(
        UserError,
        match=r"an earlier resformer, whose launch records resformer\.model and not backend",
    ):
        planned(study, [shape])


PROBING = Recording(probe_every=10)


def test_a_launch_that_takes_up_probing_jobs_records_the_code_of_the_probes(
    study: Study, shape: Shape
) -> None:
    planned(study, [shape], recording=PROBING).start(["sweep"])
    again = planned(study, [shape])
    assert again.unfinished
    assert not again.new
    again.start(["sweep"])
    first, second = (record["fingerprint"] for record in study.launches())
    assert second == first
    assert second["probes"]


def test_probing_jobs_of_other_code_are_not_taken_up(study: Study, shape: Shape) -> None:
    refuses_another(study, shape, "fingerprint", "probes", PROBING)


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize(
    ("section", "name"),
    [
        ("versions", "compiler"),
        ("fingerprint", "kernels"),
        ("fingerprint", "training"),
    ],
)
def test_results_of_other_kernels_are_not_mixed(
    study: Study, shape: Shape, section: str, name: str
) -> None:
    refuses_another(study, with_kernels(shape), section, name)


@pytest.mark.usefixtures("kernels")
def test_results_with_and_without_kernels_are_not_mixed_unless_asked_for(
    study: Study, shape: Shape
) -> None:
    planned(study, [with_kernels(shape)]).start(["sweep"])
    with pytest.raises(
        UserError, match=r"train\.compile=auto: would be false here.*planned with true"
    ):
        planned(study, [shape])
    assert len(planned(study, [shape], overrides=["train.compile=false"]).new) == 2


def with_kernels(shape: Shape) -> Shape:
    return shapes.changed(shape, compile=True)


def refuses_another(
    study: Study, shape: Shape, section: str, name: str, recording: Recording = RESULTS_ONLY
) -> None:
    planned(study, [shape], recording=recording).start(["sweep"])
    path = study.path / "launches" / "1.json"
    record = files.verify_checksum(path.read_bytes())
    assert record is not None
    now, record[section][name] = record[section][name], "0.0.older"
    path.write_bytes(files.with_checksum(record))
    before = sorted(study.path.rglob("*"))
    with pytest.raises(UserError, match=rf"0\.0\.older.*{re.escape(now)}"):
        planned(study, [shape])
    assert sorted(study.path.rglob("*")) == before


# --- jobs that fail


def test_a_job_that_raises_leaves_its_traceback_and_the_others_finish(
    study: Study, shape: Shape, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = planned(study, [shape], seeds=3, retries=1)
    bad, *good = plan.new
    honest = Training.run

    def brittle(training: Training, *rest: Any) -> object:
        if tuple(training.members) == bad.members:
            raise ArithmeticError("on purpose")
        return honest(training, *rest)

    events: list[Event] = []
    monkeypatch.setattr(Training, "run", brittle)
    work_alone(plan, events)
    assert study.results.finished(plan.jobs) == {job.id for job in good}
    assert [event.kind for event in events if event.job == bad.id] == [
        "started",
        "retried",
        "started",
        "failed",
    ]
    assert "on purpose" in events[[event.kind for event in events].index("failed")].detail
    assert study.failure(bad.id) == "ArithmeticError: on purpose"
    assert len(errors(study)) == 2
    for path in errors(study):
        assert path.read_text().startswith("Traceback")
        assert "in brittle" in path.read_text()

    work_alone(planned(study, [shape], seeds=3, retries=0), events)
    assert attempts(study.job(bad.id)) == 3  # without retries, but with a fresh attempt

    monkeypatch.undo()
    work_alone(planned(study, [shape], seeds=3, retries=0), events)
    assert study.results.finished(plan.jobs) == set(plan.jobs)
    assert attempt(study, bad.id) == 4


def test_a_planned_job_that_cannot_be_read_fails_alone(study: Study, shape: Shape) -> None:
    good = Job(shape=shape, members=(Member(0, 1e-3),)).to_json()
    bad = {
        **good,
        "id": "bad0bad0bad0bad0",
        "shape": {**good["shape"], "task": {"name": "no such task"}},
    }
    number = study.launch({"engine": {"retries": 1}}, [bad, good])
    events: list[Event] = []
    Local(workers=1, stack=1, retries=1, lease_seconds=60.0, memory_gib=None).run(
        Assignment(
            study=study.path,
            launch=number,
            jobs=(bad["id"], good["id"]),
            retries=1,
            lease_seconds=60.0,
            checkpoint_seconds=60.0,
        ),
        workers=1,
        emit=events.append,
        stop=Stop(lambda: False),
    )
    assert study.results.finished([bad["id"], good["id"]]) == {good["id"]}
    assert [event.kind for event in events if event.job == bad["id"]] == [
        "started",
        "retried",
        "started",
        "failed",
    ]
    assert "no such task" in str(study.failure(bad["id"]))


def job_ids(words: Sequence[str]) -> list[str]:
    return [job.id for job in config.request("tiny", words).jobs()]


def in_the_way(study: Study, job_id: str) -> None:
    """A folder where the first attempt has to write a file, in a study that has no launch yet."""
    folder.make(study.path.parent)
    (study.path / "launches").mkdir(parents=True)
    (study.job(job_id) / "attempt-1" / "runs.parquet").mkdir(parents=True)


def test_a_failed_job_is_listed_and_makes_the_exit_code_1(
    study: Study, resformer: Callable[..., Result]
) -> None:
    words = [*SWEEP, "train.steps=20", "member.seed=range(0,3)", "engine.retries=0"]
    bad, *good = job_ids(words)
    in_the_way(study, bad)

    result = resformer("sweep", *words, "--study", "tiny")
    assert result.exit_code == 1
    assert bad in result.stderr.splitlines()[-1]
    assert "Is a directory" in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.stderr
    assert study.results.finished([bad, *good]) == set(good)
    assert [path.parent.parent.name for path in errors(study)] == [bad]
    assert "copy, length 5" in result.stdout  # the report of the others

    result = resformer("sweep", *words, "--study", "tiny")
    assert result.exit_code == 0
    assert study.results.finished([bad, *good]) == {bad, *good}


def test_a_sweep_of_which_nothing_finishes_has_failed(
    study: Study, resformer: Callable[..., Result]
) -> None:
    words = [*SWEEP, "train.steps=20", "engine.retries=0"]
    (only,) = job_ids(words)
    in_the_way(study, only)
    result = resformer("sweep", *words, "--study", "tiny")
    assert only in result.stderr
    assert result.exit_code == 1  # not 2: the request was fine


def test_a_job_whose_worker_died_before_it_said_a_word_has_failed(
    study: Study, resformer: Callable[..., Result]
) -> None:
    """The claim alone counts as an attempt, and a failed job is listed whoever noticed."""
    words = [*SWEEP, "train.steps=20", "member.seed=range(0,2)", "engine.retries=0"]
    lost, other = job_ids(words)
    folder.make(study.path.parent)
    (study.path / "launches").mkdir(parents=True)
    subprocess.run([sys.executable, "-c", TAKE, str(study.job(lost))], check=True)

    result = resformer("sweep", *words, "--study", "tiny")
    assert study.results.finished([lost, other]) == {other}
    assert lost in result.stderr
    assert result.exit_code == 1


# --- workers that die


def test_a_killed_worker_costs_its_job_one_attempt(study: Study, shape: Shape) -> None:
    plan = planned(study, [shape, steps(shape, 400)], seeds=4, stack=2)
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
    assert {job: attempt(study, job) for job in plan.jobs} == {
        job: 1 + (job == victim) for job in plan.jobs
    }
    (retried,) = (event for event in events if event.kind == "retried")
    assert retried.job == victim
    assert "SIGKILL" in retried.detail
    assert not any(event.kind == "failed" for event in events)
    assert errors(study) == []
    assert not multiprocessing.active_children()


def test_without_retries_a_killed_worker_fails_its_job_only(study: Study, shape: Shape) -> None:
    plan = planned(study, [shape, steps(shape, 400)], seeds=4, stack=2, retries=0)
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

    run(planned(study, [shape, steps(shape, 400)], seeds=4, stack=2, retries=0), lambda event: None)
    assert study.results.finished(plan.jobs) == set(plan.jobs)


def test_a_worker_that_was_silent_for_a_lease_loses_its_job_and_its_members_count_once(
    study: Study, shape: Shape
) -> None:
    plan = planned(study, [steps(shape, 400)], seeds=2, stack=2, lease=1.0)
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
    assert (attempt(study, victim), attempt(study, other)) == (2, 1)
    finished = [event.job for event in events if event.kind == "finished"]
    assert sorted(finished) == sorted(plan.jobs)


# --- sweeps that are stopped


def test_an_interrupt_leaves_no_worker_behind(study: Study, shape: Shape) -> None:
    plan = planned(study, [steps(shape, 5000)], seeds=2)
    started: set[str] = set()

    def tell(event: Event) -> None:
        started.add(event.job)
        if len(started) == 2 and event.kind == "progress":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(plan, tell)
    assert not multiprocessing.active_children()
    assert len(pids(study)) == 2
    wait_until(lambda: not any(map(runs, pids(study))), 1.0)
    assert study.results.finished(plan.jobs) == set()


def test_an_interrupt_is_no_failure_of_the_jobs(
    study: Study, shape: Shape, capfd: pytest.CaptureFixture[str]
) -> None:
    """Even when the workers have said much that nobody has read."""
    plan = planned(study, [steps(shape, 20_000, eval_every=1)], seeds=2, retries=0)

    def tell(event: Event) -> None:
        wait_until(lambda: len(pids(study)) == 2, 30.0)
        time.sleep(2.0)  # the pipes fill up
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(plan, tell)
    assert len(pids(study)) == 2
    assert [path.read_text() for path in errors(study)] == []
    assert "Traceback" not in capfd.readouterr().err


class Sweep:
    """`resformer sweep` as a process with its own group, as a terminal starts it."""

    def __init__(self, folder: Path, number: int, words: Sequence[str]) -> None:
        self.study = Study(folder / "results" / "tiny")
        self.err = folder / f"stderr-{number}"
        with open(self.err, "wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "resformer", "sweep", *words, "--study", "tiny"],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=err,
                start_new_session=True,
            )

    def workers(self) -> set[int]:
        return pids(self.study)

    def finished(self) -> set[str]:
        return {path.parent.name for path in self.study.path.glob("jobs/*/*/result.json")}

    def stderr(self) -> str:
        return self.err.read_text()

    def wait(self) -> int:
        return self.process.wait(timeout=60)


def ctrl_c(sweep: Sweep) -> None:
    os.killpg(sweep.process.pid, signal.SIGINT)


def terminate(sweep: Sweep) -> None:
    sweep.process.terminate()


def terminate_all(sweep: Sweep) -> None:
    os.killpg(sweep.process.pid, signal.SIGTERM)


def kill(sweep: Sweep) -> None:
    sweep.process.kill()


@pytest.fixture
def sweep(tmp_path: Path, sigint: None) -> Iterator[Callable[..., Sweep]]:
    started: list[Sweep] = []

    def start(*words: str) -> Sweep:
        started.append(Sweep(tmp_path, len(started), words))
        return started[-1]

    yield start
    for one in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(one.process.pid, signal.SIGKILL)
        one.process.wait()


def stopped(sweep: Sweep, stop: Callable[[Sweep], None], code: int, before: int) -> int:
    """Stop the sweep once it has finished a job, and look that it left cleanly; returns how many
    jobs are finished.
    """
    wait_until(lambda: len(sweep.finished()) > before, 60)
    stop(sweep)
    assert sweep.wait() == code
    wait_until(lambda: not any(map(runs, sweep.workers())), 1.0)
    assert "same command" in sweep.stderr()
    assert "Traceback" not in sweep.stderr()
    assert errors(sweep.study) == []
    return len(sweep.finished())


def test_a_stopped_sweep_says_how_to_go_on_and_the_same_command_does(
    sweep: Callable[..., Sweep],
) -> None:
    words = [*SWEEP, "train.steps=300", "member.seed=range(0,8)"]
    done = stopped(sweep(*words), ctrl_c, 130, before=0)
    done = stopped(sweep(*words), terminate, 143, before=done)
    assert done < 8

    last = sweep(*words)
    assert last.wait() == 0
    assert last.finished() == set(last.study.planned())
    assert len(last.finished()) == 8
    assert f"({done} finished before)" in last.stderr()
    assert (
        len(list(last.study.path.glob("jobs/*/*/attempt-*/runs.parquet"))) == 8
    )  # nothing was run twice


def test_ctrl_c_before_the_first_worker_runs_leaves_nothing_behind(
    sweep: Callable[..., Sweep],
) -> None:
    one = sweep(*SWEEP, "train.steps=300", "member.seed=range(0,6)")
    wait_until(lambda: "2 workers" in one.stderr(), 60)
    time.sleep(0.5)  # the fork server imports torch
    ctrl_c(one)
    assert one.wait() == 130
    assert "same command" in one.stderr()
    assert "Traceback" not in one.stderr()


LONG = [*SWEEP, "train.steps=100000", "member.seed=range(0,6)", "train.stop_when_solved=false"]


def training(sweep: Sweep) -> set[int]:
    """Both workers, once they train."""
    wait_until(lambda: len(sweep.workers()) == 2, 60)
    time.sleep(1.0)
    return sweep.workers()


@pytest.mark.parametrize(
    ("signum", "to_all", "code"),
    [
        (signal.SIGINT, True, 130),
        (signal.SIGTERM, True, 143),
        (signal.SIGTERM, False, 143),
        (signal.SIGUSR1, True, 143),
        (signal.SIGUSR2, False, 143),
    ],
)
def test_the_first_signal_puts_the_work_away_within_five_seconds(
    sweep: Callable[..., Sweep], signum: signal.Signals, to_all: bool, code: int
) -> None:
    one = sweep(*LONG)
    workers, began = training(one), time.monotonic()
    (os.killpg if to_all else os.kill)(one.process.pid, signum)
    assert one.wait() == code
    assert time.monotonic() - began < 5.5  # of which half a second is the machine's
    wait_until(lambda: not any(map(runs, workers)), 1.0)
    assert "the same command goes on" in one.stderr()
    assert "Traceback" not in one.stderr()
    for job in one.study.path.glob("jobs/*/*"):
        steps = [int(path.stem[11:]) for path in job.glob("attempt-1/checkpoint-*.json")]
        assert len(steps) == 1
        assert steps[0] > 0
        assert claims.held(job) is None


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_to_the_group_before_the_first_worker_runs_leaves_nothing_behind(
    sweep: Callable[..., Sweep], signum: signal.Signals
) -> None:
    """While the fork server imports torch;
    as when a cluster calls a step off in its first seconds.
    """
    one = sweep(*LONG)
    wait_until(lambda: "2 workers" in one.stderr(), 60)
    time.sleep(0.4)
    os.killpg(one.process.pid, signum)
    assert one.wait() == 143
    assert "the same command goes on" in one.stderr()
    assert "Traceback" not in one.stderr()


def test_the_second_signal_ends_a_sweep_at_once(sweep: Callable[..., Sweep]) -> None:
    one = sweep(*LONG)
    workers = training(one)
    for worker in workers:
        os.kill(worker, signal.SIGSTOP)  # it will not put anything away
    ctrl_c(one)
    time.sleep(1.0)
    assert one.process.poll() is None
    began = time.monotonic()
    ctrl_c(one)
    assert one.wait() == 130
    assert time.monotonic() - began < 3.5  # workers have four seconds after the first
    wait_until(lambda: not any(map(runs, workers)), 1.0)
    assert "Traceback" not in one.stderr()


@pytest.mark.parametrize(
    ("stop", "code"),
    [(terminate, 143), (terminate_all, 143), (kill, -signal.SIGKILL)],
    ids=["TERM", "TERM all", "KILL"],
)
def test_no_worker_outlives_its_supervisor(
    sweep: Callable[..., Sweep], stop: Callable[[Sweep], None], code: int
) -> None:
    one = sweep(
        *SWEEP, "train.steps=100000", "member.seed=range(0,6)", "train.stop_when_solved=false"
    )
    wait_until(lambda: len(one.workers()) == 2, 60)
    workers = one.workers()
    assert all(map(runs, workers))
    stop(one)
    assert one.wait() == code
    wait_until(lambda: not any(map(runs, workers)), 15)
    assert errors(one.study) == []
    assert "Traceback" not in one.stderr()
    assert ("same command" in one.stderr()) == (code == 143)


def test_a_member_of_two_plans_is_finished_if_either_job_is(study: Study, shape: Shape) -> None:
    """Two commands that planned at the same moment; only the first ran to its end."""
    first, second = (
        planned(study, [shape], seeds=2, stack=8),
        planned(study, [shape], seeds=3, stack=8),
    )
    run(first, lambda _: None)
    second.start(["sweep"])
    again = planned(study, [shape], seeds=2, stack=8)
    assert (again.finished, again.unfinished, again.new) == (4, {}, [])
