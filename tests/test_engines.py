"""One suite over all engines, as a user types it: the same bits, failures, deaths, Ctrl-C and going
on.
"""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from lib.clusters import loopback
from resformer.store import folder

pytestmark = pytest.mark.cluster

STUDY = [
    *(
        "--study",
        "tiny",
        "model.depth=1,2",
        "model.width=8",
        "model.heads=2",
        "task.length=5",
        "task.symbols=8",
    ),
    *(
        "train.eval_sequences=16",
        "engine.stack=1",
        "engine.workers=2",
        "member.seed=0,1",
        "train.steps=40",
    ),
]
LONG = [
    *STUDY[:-2],
    "member.seed=0",
    "train.steps=5000",
    "train.stop_when_solved=false",
    "train.checkpoint_seconds=0.5",
]


Start = Callable[..., subprocess.Popen[str]]


def on(*engines: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("engine", engines, indirect=True, scope="module")


@pytest.fixture(scope="module")
def engine(request: pytest.FixtureRequest) -> Iterator[list[str]]:
    """The words that choose it."""
    try:
        with getattr(loopback, request.param)() as words:
            yield words
    except loopback.Missing as missing:
        pytest.skip(f"there is no {missing} here")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """`resformer sweep WORDS...` in an empty working directory; nothing of it is left behind."""
    running = []

    def started_here(*words: str) -> subprocess.Popen[str]:
        running.append(started(tmp_path, *words))
        return running[-1]

    yield started_here
    for process in running:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def started(folder: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "resformer", "sweep", *words],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Its exit code, and all it said."""
    try:
        out, err = process.communicate(timeout=300)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    return process.returncode, out + err


def tables(folder: Path) -> dict[str, bytes]:
    """Every table of results, by job and name."""
    return {
        f"{path.parent.parent.name}/{path.name}": path.read_bytes()
        for path in folder.glob("results/tiny/jobs/*/*/attempt-*/*.parquet")
    }


def wait_until(condition: Callable[[], bool], seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


def holders(folder: Path) -> set[int]:
    """Processes that hold a job that is not finished."""
    found = set()
    for path in folder.glob("results/tiny/jobs/*/*/claim-*"):
        first, _, counter = path.read_text().partition("\n")
        if counter.strip().isdecimal():
            found.add(int(json.loads(first)["pid"]))
    return found


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The tables of the study as a local sweep makes them."""
    folder = tmp_path_factory.mktemp("alone")
    assert ended(started(folder, *STUDY))[0] == 0
    return tables(folder)


@on("local", "ray", "slurm")
def test_the_same_bits(
    engine: list[str], start: Start, alone: dict[str, bytes], tmp_path: Path
) -> None:
    code, said = ended(start(*STUDY, *engine))
    assert code == 0, said
    assert "4 members, 4 jobs to run, 2 workers" in said
    assert "[4/4]" in said
    assert tables(tmp_path) == alone


@on("local", "ray", "slurm")
def test_a_failing_job_fails_alone(
    engine: list[str], start: Start, alone: dict[str, bytes], tmp_path: Path
) -> None:
    """A folder stands where each attempt of one job has to write."""
    bad = min(alone).partition("/")[0]
    folder.make(tmp_path / "results")
    (tmp_path / "results" / "tiny" / "launches").mkdir(parents=True)
    for attempt in (1, 2):
        (
            tmp_path / "results/tiny/jobs" / bad[:2] / bad / f"attempt-{attempt}" / "runs.parquet"
        ).mkdir(parents=True)
    code, said = ended(start(*STUDY, *engine))
    assert code == 1, said
    assert f"{bad}: " in said
    assert {path.parent.name for path in tmp_path.glob("results/tiny/jobs/*/*/result.json")} == {
        name.partition("/")[0] for name in alone
    } - {bad}


@on("local", "ray", "slurm")
def test_killed_workers_are_replaced_and_cost_nothing_but_time(
    engine: list[str], start: Start, tmp_path: Path
) -> None:
    process = start(*LONG, *engine)
    wait_until(lambda: len(holders(tmp_path)) == 2)
    for holder in holders(tmp_path):
        os.kill(holder, signal.SIGKILL)
    code, said = ended(process)
    assert code == 0, said
    assert len(list(tmp_path.glob("results/tiny/jobs/*/*/result.json"))) == 2
    assert len(list(tmp_path.glob("results/tiny/jobs/*/*/claim-2"))) == 2


@on("local", "ray", "slurm")
def test_ctrl_c_puts_work_away_and_the_same_command_goes_on(
    engine: list[str], start: Start, tmp_path: Path
) -> None:
    check_stopped(signal.SIGINT, engine, start, tmp_path)


@on("ray")
def test_so_does_sigterm_though_ray_has_a_handler_of_its_own(
    engine: list[str], start: Start, tmp_path: Path
) -> None:
    check_stopped(signal.SIGTERM, engine, start, tmp_path)


def check_stopped(signum: signal.Signals, engine: list[str], start: Start, tmp_path: Path) -> None:
    process = start(*LONG, *engine)
    wait_until(lambda: len(holders(tmp_path)) == 2)
    os.kill(process.pid, signum)
    code, said = ended(process)
    assert code == 128 + signum, said
    assert "the same command goes on" in said
    assert "Traceback" not in said
    wait_until(lambda: not holders(tmp_path), 5.0)
    assert not list(tmp_path.glob("results/tiny/jobs/*/*/attempt-*/error.txt"))
    assert list(tmp_path.glob("results/tiny/jobs/*/*/attempt-*/checkpoint-*"))
    code, said = ended(start(*LONG, *engine))
    assert code == 0, said
    assert "goes on from step" in said


@on("ray", "slurm")
def test_detached_it_goes_on_alone_and_status_follows(
    engine: list[str], start: Start, alone: dict[str, bytes], tmp_path: Path
) -> None:
    code, said = ended(start(*STUDY, *engine, "--detach"))
    assert code == 0, said
    assert "left to " in said
    wait_until(
        lambda: ["finished", "4", "4"] in [line.split() for line in status(tmp_path).splitlines()]
    )
    assert tables(tmp_path) == alone


def status(folder: Path) -> str:
    command = [sys.executable, "-m", "resformer", "status", "tiny"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout


@on("ray", "slurm")
def test_detached_it_is_ended_by_what_it_says(
    engine: list[str], start: Start, tmp_path: Path
) -> None:
    code, said = ended(start(*LONG, *engine, "--detach"))
    assert code == 0, said
    wait_until(lambda: len(holders(tmp_path)) == 2)
    ending = re.search("^to end it: (.*)$", said, re.MULTILINE)
    assert ending is not None
    subprocess.run(ending[1], shell=True, check=True, capture_output=True)
    wait_until(lambda: not any(map(psutil.pid_exists, holders(tmp_path))))
    assert not list(tmp_path.glob("results/tiny/jobs/*/*/result.json"))


@on("ray")
def test_a_lost_node_loses_nothing(engine: list[str], start: Start, tmp_path: Path) -> None:
    process = start(*LONG, *engine)
    wait_until(lambda: len(holders(tmp_path)) == 2)
    loopback.lose_second_node()
    code, said = ended(process)
    loopback.second_node()
    assert code == 0, said
    assert len(list(tmp_path.glob("results/tiny/jobs/*/*/result.json"))) == 2
    assert len(list(tmp_path.glob("results/tiny/jobs/*/*/claim-2"))) == 1


def check_refused(refused: dict[str, str], engine: list[str], start: Start, folder: Path) -> None:
    """With each of these settings the sweep is refused for this reason, in a line, and nothing is
    written.
    """
    for word, reason in refused.items():
        words = [
            other for other in (*STUDY, *engine) if not other.startswith(word.partition("=")[0])
        ]
        code, said = ended(start(*words, word))
        assert code == 2, said
        assert reason in said
        assert len(said.splitlines()) == 1
    assert not list(folder.iterdir())


@on("ray")
def test_no_more_pilots_than_slots(engine: list[str], start: Start, tmp_path: Path) -> None:
    study = [word for word in STUDY if not word.startswith("engine.workers")]
    code, said = ended(start(*study, *engine, "engine.workers=64", "--dry-run"))
    assert code == 0, said
    assert "4 jobs to run" in said
    assert "with 2 workers" in said


@on("ray")
def test_what_a_cluster_of_ray_cannot_give_is_said_before_anything_is_written(
    engine: list[str], start: Start, tmp_path: Path
) -> None:
    refused = {
        "engine.cpus=2": "engine.cpus=2, engine.gpus=0: no node of the cluster at ",
        "engine.gpus=0.5": "engine.gpus=0.5: no node of the cluster at ",
        "engine.gpus=2": "engine.gpus=2.0: must be from 0 to 1: a worker computes on one",
        "device=cuda": "engine.gpus=0: with device=cuda, say what part of a GPU a worker gets",
        "engine.address=127.0.0.1:1": "engine.address=127.0.0.1:1: no Ray cluster answers there",
        "engine.address=ray://here": "engine.address=ray://here: must be auto, local, or host:port",
    }
    check_refused(refused, engine, start, tmp_path)


@on("slurm")
def test_preempted_pilots_put_their_work_away_and_go_on_later(
    engine: list[str], start: Start, tmp_path: Path
) -> None:
    process = start(*LONG, *engine, "engine.retries=0")
    wait_until(
        lambda: len(list(tmp_path.glob("results/tiny/jobs/*/*/attempt-1/checkpoint-*.json"))) == 2
    )
    loopback.preempt(seconds=3)
    code, said = ended(process)
    assert code == 0, said
    assert said.count("goes on from step") == 2, said
    assert len(list(tmp_path.glob("results/tiny/jobs/*/*/claim-2"))) == 2
    assert len(list(tmp_path.glob("results/tiny/jobs/*/*/result.json"))) == 2


@on("slurm")
def test_what_slurm_would_not_take_is_said_before_anything_is_written(
    engine: list[str], start: Start, tmp_path: Path
) -> None:
    refused = {
        "engine.partition=none": "the cluster would not take it: ",
        "engine.gpus=1": "the cluster would not take it: ",
        "engine.workers=null": "engine.workers=null: with engine=slurm, say how many pilots to "
        "submit",
        "device=cuda": "engine.gpus=0: with device=cuda, say how many GPUs a pilot gets",
    }
    check_refused(refused, engine, start, tmp_path)


@on("slurm")
@pytest.mark.parametrize("what", ["up", "down"])
def test_slurm_loopback_takes_no_folder_that_is_not_its_own(
    engine: list[str], tmp_path: Path, what: str
) -> None:
    (tmp_path / "mine").write_text("mine")
    done = subprocess.run(
        [loopback.LOOPBACK, what, tmp_path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "is not empty, and no Slurm of this script's" in done.stderr
    assert (tmp_path / "mine").read_text() == "mine"


@on("slurm")
def test_a_dry_run_prints_what_it_would_submit(
    engine: list[str], start: Start, tmp_path: Path
) -> None:
    code, said = ended(start(*STUDY, *engine, "engine.setup=module load python", "--dry-run"))
    assert code == 0, said
    for line in (
        "#SBATCH --time=30",
        "#SBATCH --array=0-1%2",
        "#SBATCH --signal=USR2@90",
        "module load python",
    ):
        assert line in said.splitlines()
    assert not list(tmp_path.iterdir())


@on("slurm")
def test_pilots_that_never_start_end_the_sweep_with_what_they_said(
    engine: list[str], start: Start, tmp_path: Path
) -> None:
    code, said = ended(start(*STUDY, *engine, "engine.setup='echo no such module >&2; exit 3'"))
    assert code == 1, said
    assert "_log.err: no such module; no result is lost" in said
