"""`member.lr=auto` as a user types it."""

import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from support.commands import Resformer, check_refused, tree
from support.launches import work_alone

import resformer as library
from resformer import config
from resformer.rounds.loop import launches
from resformer.store.study import Study

EASY = [
    "model.depth=1,2",
    "model.width=8",
    "model.heads=2",
    "task.length=5",
    "task.symbols=8",
    "train.eval_sequences=16",
    "train.warmup_steps=0",
    "train.steps=100",
    "train.target_accuracy=0.4",
    "train.compile=false",
    "member.seed=0,1,2",
    "member.lr=auto",
    "--study",
    "some",
]
"""Two cells that solve in some ten steps; one of them at the largest rate that it starts with."""


Swept = tuple[subprocess.CompletedProcess[str], Path]


def members(results: Path) -> pd.DataFrame:
    """Seed, rate, depth and outcome of every member."""
    columns = ["depth", "seed", "lr", "outcome", "solved_step", "final_loss"]
    return library.runs("some", results)[columns].sort_values(columns[:3], ignore_index=True)


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Swept:
    """A sweep of that study that has run: what it printed, and its working directory."""
    here = tmp_path_factory.mktemp("swept")
    words = [sys.executable, "-m", "resformer", "sweep", *EASY]
    return subprocess.run(words, cwd=here, capture_output=True, text=True, check=False), here


@pytest.mark.sweep
def test_a_sweep_extends_its_rates_where_the_best_is_at_the_edge_and_ends(
    swept: Swept, resformer: Resformer, tmp_path: Path
) -> None:
    result, there = swept
    assert result.returncode == 0, result.stderr
    shutil.copytree(there / "results", tmp_path / "results")
    assert "member.lr=auto: starts with 0.001, 0.003, 0.01, 0.03; more" in result.stderr
    assert "round 2, which the results call for: 3 new members, depth 1, learning rate 0.1, " in (
        result.stderr
    )
    assert "round 3" not in result.stderr
    cells = library.report("some", tmp_path / "results")["cells"]
    assert [cell["lr_at_edge"] for cell in cells] == [False, False]
    before = tree(tmp_path)
    again = resformer("sweep", *EASY)
    assert (again.exit_code, again.stdout) == (0, result.stdout)
    assert "27 members, all finished" in again.stderr
    assert tree(tmp_path) == before


@pytest.mark.sweep
def test_a_sweep_that_ends_between_or_within_rounds_goes_on_to_the_same_study(
    swept: Swept, resformer: Resformer, tmp_path: Path
) -> None:
    whole = swept[1] / "results"
    words = EASY[: EASY.index("--study")]
    for within in (False, True):
        study = Study(tmp_path / f"cut-{within}" / "some")
        rounds = launches(config.request("some", words), study, settle=False)
        work_alone(next(rounds).start(["sweep"]))
        if within:
            assert next(rounds).start(["sweep"])  # planned, and none of it runs
        result = resformer("sweep", *EASY, "--results", str(study.path.parent))
        assert result.exit_code == 0
        assert "27 members (24 finished before)" in result.stderr
        pd.testing.assert_frame_equal(members(study.path.parent), members(whole))


def test_what_may_follow_is_said_before(resformer: Resformer) -> None:
    for words in (["sweep", "--dry-run", *EASY], ["show", *EASY[: EASY.index("--study")]]):
        result = resformer(*words)
        assert result.exit_code == 0
        assert "24 members in 2 jobs" in " ".join(result.stdout.split())
        assert "more rates may follow in further rounds" in result.stderr


@pytest.mark.parametrize("rates", ["auto,1e-2", "1e-2,auto"])
def test_auto_stands_alone(resformer: Resformer, rates: str) -> None:
    check_refused(resformer("sweep", f"member.lr={rates}", "model.depth=1"), "member.lr=")


def test_train_does_not_search(resformer: Resformer, tmp_path: Path) -> None:
    check_refused(resformer("train", "member.lr=auto"), "member.lr=auto")
    assert tree(tmp_path) == {}
