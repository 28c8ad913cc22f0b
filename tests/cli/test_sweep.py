"""`resformer sweep` and `resformer train`: output, exit code and files."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.commands import Command, Resformer, tree
from support.sweeps import TINY

from resformer.training.loop import Training


@pytest.fixture(scope="module")
def swept(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[subprocess.CompletedProcess[str], Path]:
    """A sweep of two seeds that has run: what it printed, and its working directory."""
    here = tmp_path_factory.mktemp("swept")
    words = [sys.executable, "-m", "resformer", "sweep", *TINY, "member.seed=range(0,2)"]
    return subprocess.run(words, cwd=here, capture_output=True, text=True, check=False), here


@pytest.fixture
def finished(swept: tuple[object, Path], tmp_path: Path) -> Path:
    """A copy of that study in this test's working directory."""
    shutil.copytree(swept[1] / "results", tmp_path / "results")
    (folder,) = (path for path in (tmp_path / "results").iterdir() if path.is_dir())
    return folder


def seeds(plan: Path) -> list[int]:
    """Seeds of all members that a launch planned."""
    jobs = map(json.loads, plan.read_text().splitlines())
    return [member["seed"] for job in jobs for member in job["members"]]


@pytest.mark.sweep
def test_a_sweep_prints_its_report(swept: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    result, here = swept
    (plan,) = here.glob("results/*/plan-1.jsonl")
    name = plan.parent.name
    assert result.returncode == 0, result.stderr
    assert name.startswith("seed-")
    assert f"{name}: copy, length 5, 8 symbols" in result.stdout
    assert "0/2" in result.stdout
    assert "How deep: no depth." in result.stdout
    assert "2 members, 1 job to run, 1 worker" in result.stderr
    assert "copy depth 1 add post: 2 unsolved" in result.stderr
    assert "\x1b" not in result.stdout + result.stderr, "no colours and no cursor in a pipe"
    assert seeds(plan) == [0, 1]


@pytest.mark.sweep
@pytest.mark.usefixtures("finished")
def test_a_sweep_writes_the_page_and_the_figures_of_its_report(
    resformer: Resformer, tmp_path: Path
) -> None:
    words = [*TINY, "member.seed=range(0,2)", "--html", "page.html", "--figures", "drawn"]
    result = resformer("sweep", *words)
    assert result.exit_code == 0, result.stderr
    assert "page.html" in result.stderr.splitlines()
    assert "<html" in (tmp_path / "page.html").read_text()
    assert list((tmp_path / "drawn").glob("*.svg"))


@pytest.mark.sweep
@pytest.mark.usefixtures("finished")
def test_the_same_sweep_again_trains_nothing(
    resformer: Resformer,
    tmp_path: Path,
    swept: tuple[subprocess.CompletedProcess[str], Path],
) -> None:
    before = tree(tmp_path)
    result = resformer("sweep", *TINY, "member.seed=range(0,2)")
    assert (result.exit_code, result.stdout) == (0, swept[0].stdout)
    assert "2 members, all finished" in result.stderr
    assert tree(tmp_path) == before


@pytest.mark.sweep
def test_more_seeds_train_only_the_new_ones(command: Command, finished: Path) -> None:
    before = tree(finished)
    result = command("sweep", *TINY, "member.seed=range(0,4)")
    assert result.returncode == 0, result.stderr
    assert "0/4" in result.stdout
    assert "4 members (2 finished before)" in result.stderr
    assert seeds(finished / "plan-2.jsonl") == [2, 3]
    after = tree(finished)
    assert {path: after[path] for path in before} == before, "what was committed is not touched"
    assert len(list((finished / "jobs").glob("*/*/result.json"))) == 2


def test_train_prints_the_outcome_of_each_member(resformer: Resformer, tmp_path: Path) -> None:
    words = ["train", *TINY, "member.seed=0,1", "member.lr=1e-3,3e-3"]
    result = resformer(*words)
    assert result.exit_code == 0, result.stderr
    head, *lines = result.stdout.splitlines()
    assert "copy depth 1 add post" in head
    assert len(lines) == 4
    for seed in (0, 1):
        for lr in ("0.001", "0.003"):
            assert sum(f"seed {seed}, learning rate {lr}: unsolved" in line for line in lines) == 1
    assert "held-out loss" in result.stderr
    before = tree(tmp_path)
    again = resformer(*words)
    assert (again.exit_code, again.stdout, again.stderr) == (0, result.stdout, "")
    assert tree(tmp_path) == before


def test_train_that_fails_exits_with_1_and_says_why(
    resformer: Resformer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("the dog has eaten it")

    monkeypatch.setattr(Training, "run", broken)
    result = resformer("train", *TINY, "engine.retries=1")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "the dog has eaten it" in result.stderr
    assert "Traceback" not in result.stderr
    assert len(list(tmp_path.glob("results/train/jobs/*/*/attempt-*/error.txt"))) == 2
