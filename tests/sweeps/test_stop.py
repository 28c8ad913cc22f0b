"""Sweeps that are interrupted, signalled or killed: no worker is left, and the same command
resumes.
"""

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from support import shapes
from support.launches import errors, local, pids, planned, run
from support.sweeps import TINY_SETTINGS
from support.waiting import wait_until

from resformer.model.shape import Shape
from resformer.store import claims
from resformer.store.study import Study
from resformer.workers.events import Event

pytestmark = pytest.mark.sweep


def alive(process: int) -> bool:
    """True while a process runs; a zombie, which has ended, does not."""
    try:
        os.kill(process, 0)
        return ") Z " not in Path(f"/proc/{process}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def check_ended(processes: set[int], seconds: float = 1.0) -> None:
    wait_until(lambda: not any(map(alive, processes)), seconds)


# --- in this process


def test_an_interrupt_leaves_no_worker_behind(study: Study, shape: Shape) -> None:
    long = shapes.changed(shape, steps=5000, stop_when_solved=False)
    plan = planned(study, [long], engine=local(stack=2, retries=1))
    started: set[str] = set()

    def tell(event: Event) -> None:
        started.add(event.job)
        if len(started) == 2 and event.kind == "progress":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(plan, tell)
    assert not multiprocessing.active_children()
    assert len(pids(study)) == 2
    check_ended(pids(study))
    assert study.results.finished(plan.jobs) == set()


def test_an_interrupt_is_no_failure_of_the_jobs(
    study: Study, shape: Shape, capfd: pytest.CaptureFixture[str]
) -> None:
    """Even when the workers have sent many events that nobody has read."""
    long = shapes.changed(shape, steps=20_000, eval_every=1, stop_when_solved=False)
    plan = planned(study, [long], engine=local(stack=2))

    def tell(event: Event) -> None:
        wait_until(lambda: len(pids(study)) == 2, 30.0)
        time.sleep(2.0)  # the pipes fill up
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(plan, tell)
    assert len(pids(study)) == 2
    assert [path.read_text() for path in errors(study)] == []
    assert "Traceback" not in capfd.readouterr().err


# --- as a process


class Sweep:
    """`resformer sweep` as a process with its own group, as a terminal starts it."""

    def __init__(self, folder: Path, number: int, words: Sequence[str]) -> None:
        self.study = Study(folder / "results" / "some")
        self.err = folder / f"stderr-{number}"
        with open(self.err, "wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "resformer", "sweep", *words, "--study", "some"],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=err,
                start_new_session=True,
            )

    def training_workers(self) -> set[int]:
        """Both workers, once each has ended a step."""
        wait_until(lambda: self._stepping() == 2, 60)
        return pids(self.study)

    def _stepping(self) -> int:
        """Jobs of which a second step has begun."""
        held = map(claims.held, self.study.path.glob("jobs/*/*"))
        return sum(holder is not None and holder.beats > 1 for holder in held)

    def finished(self) -> set[str]:
        return {path.parent.name for path in self.study.path.glob("jobs/*/*/result.json")}

    def stderr(self) -> str:
        return self.err.read_text()

    def signal(self, signum: signal.Signals, to_all: bool = False) -> None:
        (os.killpg if to_all else os.kill)(self.process.pid, signum)

    def check_stopped(self, code: int) -> None:
        """The exit code, and a stderr that says how to resume."""
        assert self.process.wait(timeout=60) == code
        assert "the same command goes on" in self.stderr()
        assert "Traceback" not in self.stderr()


Start = Callable[..., Sweep]

SWEEP = ["model.depth=1", *TINY_SETTINGS, "engine.stack=1", "engine.workers=2"]
LONG = [*SWEEP, "train.steps=100000", "member.seed=range(0,6)", "train.stop_when_solved=false"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[Sweep] = []

    def start(*words: str) -> Sweep:
        started.append(Sweep(tmp_path, len(started), words))
        return started[-1]

    yield start
    for sweep in started:
        with contextlib.suppress(ProcessLookupError):
            sweep.signal(signal.SIGKILL, to_all=True)
        sweep.process.wait()


def test_the_same_command_resumes_a_stopped_sweep(start: Start) -> None:
    words, done = [*SWEEP, "train.steps=300", "member.seed=range(0,8)"], 0
    for signum, to_all, code in ((signal.SIGINT, True, 130), (signal.SIGTERM, False, 143)):
        sweep = start(*words)
        wait_until(lambda sweep=sweep, done=done: len(sweep.finished()) > done, 60)
        sweep.signal(signum, to_all)
        sweep.check_stopped(code)
        check_ended(pids(sweep.study))
        assert errors(sweep.study) == []
        done = len(sweep.finished())
    assert done < 8

    last = start(*words)
    assert last.process.wait(timeout=60) == 0
    assert last.finished() == set(last.study.planned())
    assert len(last.finished()) == 8
    assert f"({done} finished before)" in last.stderr()
    runs = list(last.study.path.glob("jobs/*/*/attempt-*/runs.parquet"))
    assert len(runs) == 8, "nothing was run twice"


@pytest.mark.parametrize(
    ("signum", "to_all", "code"),
    [
        (signal.SIGINT, True, 130),
        (signal.SIGTERM, False, 143),
        (signal.SIGHUP, True, 129),
        (signal.SIGUSR2, False, 143),
    ],
)
def test_the_first_signal_checkpoints_all_jobs_within_five_seconds(
    start: Start, signum: signal.Signals, to_all: bool, code: int
) -> None:
    sweep = start(*LONG)
    workers, began = sweep.training_workers(), time.monotonic()
    sweep.signal(signum, to_all)
    sweep.check_stopped(code)
    assert time.monotonic() - began < 5.5  # of which half a second is the machine's
    check_ended(workers)
    assert errors(sweep.study) == []
    for job in sweep.study.path.glob("jobs/*/*"):
        steps = [int(path.stem[11:]) for path in job.glob("attempt-1/checkpoint-*.json")]
        assert len(steps) == 1
        assert steps[0] > 0
        assert claims.held(job) is None


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGUSR1, 143)])
def test_a_signal_to_the_group_before_the_first_worker_runs_leaves_nothing_behind(
    start: Start, signum: signal.Signals, code: int
) -> None:
    """While the fork server imports torch, as when a cluster cancels a step at once."""
    sweep = start(*LONG)
    wait_until(lambda: "2 workers" in sweep.stderr(), 60)
    time.sleep(0.4)
    sweep.signal(signum, to_all=True)
    sweep.check_stopped(code)


def test_the_second_signal_ends_a_sweep_at_once(start: Start) -> None:
    sweep = start(*LONG)
    workers = sweep.training_workers()
    for worker in workers:
        os.kill(worker, signal.SIGSTOP)  # it will not checkpoint anything
    sweep.signal(signal.SIGINT, to_all=True)
    time.sleep(1.0)
    assert sweep.process.poll() is None
    began = time.monotonic()
    sweep.signal(signal.SIGINT, to_all=True)
    assert sweep.process.wait(timeout=60) == 130
    assert time.monotonic() - began < 3.5  # workers have four seconds after the first
    check_ended(workers)
    assert "Traceback" not in sweep.stderr()


def test_no_worker_outlives_a_killed_supervisor(start: Start) -> None:
    sweep = start(*LONG)
    workers = sweep.training_workers()
    assert all(map(alive, workers))
    sweep.signal(signal.SIGKILL)
    assert sweep.process.wait(timeout=60) == -signal.SIGKILL
    check_ended(workers, 15)
    assert errors(sweep.study) == []
    assert "Traceback" not in sweep.stderr()
    assert "same command" not in sweep.stderr()


def test_a_sweep_that_is_stopped_for_longer_than_a_lease_goes_on_where_it_was(start: Start) -> None:
    """As by Ctrl-Z and `fg`: whoever waits for a job was stopped with its holder, and looks anew.

    SIGSTOP, as nobody's shell reads the terminal's SIGTSTP for a session of its own.
    """
    lease = 5.0
    lasting = ["train.steps=10,100000", "train.stop_when_solved=false"]
    sweep = start(*SWEEP, *lasting, f"engine.lease_seconds={lease}", "member.seed=0")
    wait_until(lambda: len(sweep.finished()) == 1, 60)  # so that one worker waits for the other
    (long,) = sweep.study.planned().keys() - sweep.finished()

    def beats() -> int:
        held = claims.held(sweep.study.job(long))
        return held.beats if held else 0

    wait_until(lambda: beats() > 0, 60)
    time.sleep(1.0)  # it has looked
    sweep.signal(signal.SIGSTOP, to_all=True)
    time.sleep(1.4 * lease)
    before = beats()
    sweep.signal(signal.SIGCONT, to_all=True)
    wait_until(lambda: beats() > before, 60)
    time.sleep(1.0)  # it has looked again
    assert claims.attempts(sweep.study.job(long)) == 1
