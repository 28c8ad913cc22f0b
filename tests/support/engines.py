"""The contract of all engines, as a user types it: the same bits, failures, deaths, Ctrl-C and
going on.
"""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil

from resformer.store import folder
from support.sweeps import TINY_SETTINGS
from support.waiting import wait_until

STUDY = [
    "--study",
    "tiny",
    "model.depth=1,2",
    *TINY_SETTINGS,
    "engine.stack=1",
    "engine.workers=2",
    "member.seed=0,1",
    "train.steps=40",
]
LONG = [
    *STUDY[:-2],
    "member.seed=0",
    "train.steps=2500",
    "train.compile=false",
    "train.stop_when_solved=false",
    "train.checkpoint_seconds=0.5",
]
"""Two jobs of some seconds, by torch: kernels would be done before anything can happen to them."""

UNENDING = [*(word for word in LONG if not word.startswith("train.steps")), "train.steps=1000000"]

Start = Callable[..., subprocess.Popen[str]]


def started(folder: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "resformer", "sweep", *words],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """A process's exit code, and its stdout and stderr."""
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


def holders(folder: Path) -> set[int]:
    """Processes that hold a job that is not finished."""
    pids = set()
    for path in folder.glob("results/tiny/jobs/*/*/claim-*"):
        first, _, counter = path.read_text().partition("\n")
        if counter.strip().isdecimal():
            pids.add(int(json.loads(first)["pid"]))
    return pids


def status(folder: Path) -> str:
    command = [sys.executable, "-m", "resformer", "status", "tiny"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout


def check_stopped(signum: signal.Signals, engine: list[str], start: Start, tmp_path: Path) -> None:
    """A sweep that gets this signal puts its work away."""
    process = start(*LONG, *engine)
    wait_until(lambda: len(holders(tmp_path)) == 2)
    os.kill(process.pid, signum)
    code, output = ended(process)
    assert code == 128 + signum, output
    assert "the same command goes on" in output
    assert "Traceback" not in output
    wait_until(lambda: not holders(tmp_path), 5.0)
    assert not list(tmp_path.glob("results/tiny/jobs/*/*/attempt-*/error.txt"))
    assert list(tmp_path.glob("results/tiny/jobs/*/*/attempt-*/checkpoint-*"))


def check_refused(refused: dict[str, str], engine: list[str], start: Start, folder: Path) -> None:
    """With each of these settings the sweep is refused for this reason, in a line, and nothing is
    written.
    """
    for word, reason in refused.items():
        words = [
            other for other in (*STUDY, *engine) if not other.startswith(word.partition("=")[0])
        ]
        code, output = ended(start(*words, word))
        assert code == 2, output
        assert reason in output
        assert len(output.splitlines()) == 1
    assert not list(folder.iterdir())


class Contract:
    """Tests of all engines; `engine` has the words that choose one."""

    def test_an_engine_gives_the_bits_of_a_local_sweep(
        self, engine: list[str], start: Start, alone: dict[str, bytes], tmp_path: Path
    ) -> None:
        """And its workers import nothing of the working directory, which Ray's search."""
        shadow = f"from pathlib import Path\nPath({str(tmp_path)!r}, 'ran').touch()\n"
        for name in ("torch", "resformer", "random", "sort", "numpy", "resource"):
            (tmp_path / f"{name}.py").write_text(f"{shadow}raise SystemExit('shadow')\n")
        code, output = ended(start(*STUDY, *engine))
        assert code == 0, output
        assert not (tmp_path / "ran").exists()
        assert "4 members, 4 jobs to run, 2 workers" in output
        assert "[4/4]" in output
        assert tables(tmp_path) == alone

    def test_a_failing_job_fails_alone(
        self, engine: list[str], start: Start, alone: dict[str, bytes], tmp_path: Path
    ) -> None:
        """A folder stands where each attempt of one job has to write."""
        bad = min(alone).partition("/")[0]
        folder.make(tmp_path / "results")
        (tmp_path / "results" / "tiny" / "launches").mkdir(parents=True)
        for attempt in (1, 2):
            (
                tmp_path
                / "results/tiny/jobs"
                / bad[:2]
                / bad
                / f"attempt-{attempt}"
                / "runs.parquet"
            ).mkdir(parents=True)
        code, output = ended(start(*STUDY, *engine))
        assert code == 1, output
        assert f"{bad}: " in output
        assert {
            path.parent.name for path in tmp_path.glob("results/tiny/jobs/*/*/result.json")
        } == {name.partition("/")[0] for name in alone} - {bad}

    def test_killed_workers_are_replaced_and_cost_nothing_but_time(
        self, engine: list[str], start: Start, tmp_path: Path
    ) -> None:
        process = start(*LONG, *engine)
        wait_until(lambda: len(holders(tmp_path)) == 2)
        for holder in holders(tmp_path):
            os.kill(holder, signal.SIGKILL)
        code, output = ended(process)
        assert code == 0, output
        assert len(list(tmp_path.glob("results/tiny/jobs/*/*/result.json"))) == 2
        assert len(list(tmp_path.glob("results/tiny/jobs/*/*/claim-2"))) == 2

    def test_ctrl_c_checkpoints_the_work_and_the_same_command_resumes(
        self, engine: list[str], start: Start, tmp_path: Path
    ) -> None:
        check_stopped(signal.SIGINT, engine, start, tmp_path)
        code, output = ended(start(*LONG, *engine))
        assert code == 0, output
        assert "goes on from step" in output


class DetachedContract:
    """Tests of the engines whose pilots outlive the command."""

    def test_a_detached_sweep_runs_on_and_status_follows(
        self, engine: list[str], start: Start, alone: dict[str, bytes], tmp_path: Path
    ) -> None:
        code, output = ended(start(*STUDY, *engine, "--detach"))
        assert code == 0, output
        assert "left to " in output
        results = "results/tiny/jobs/*/*/result.json"
        wait_until(lambda: len(list(tmp_path.glob(results))) == 4)
        assert ["finished", "4", "4"] in [line.split() for line in status(tmp_path).splitlines()]
        assert tables(tmp_path) == alone

    def test_a_detached_sweep_is_ended_by_the_command_it_prints(
        self, engine: list[str], start: Start, tmp_path: Path
    ) -> None:
        # A pilot may be ready long before the other, whose job is still to be seen then.
        code, output = ended(start(*UNENDING, *engine, "--detach"))
        assert code == 0, output
        wait_until(lambda: len(holders(tmp_path)) == 2)
        ending = re.search("^to end it: (.*)$", output, re.MULTILINE)
        assert ending is not None
        subprocess.run(ending[1], shell=True, check=True, capture_output=True)
        wait_until(lambda: not any(map(psutil.pid_exists, holders(tmp_path))))
        assert not list(tmp_path.glob("results/tiny/jobs/*/*/result.json"))
