"""A Slurm of two nodes on this machine."""

import subprocess
from pathlib import Path

import pytest
from support.engines import LONG, STUDY, Contract, DetachedContract, Start, check_refused, ended
from support.waiting import wait_until

from lib.clusters import loopback

pytestmark = pytest.mark.cluster


class TestSlurm(Contract, DetachedContract):
    pass


def test_preempted_pilots_checkpoint_their_work_and_resume_later(
    engine: list[str], start: Start, tmp_path: Path
) -> None:
    process = start(*LONG, *engine, "engine.retries=0")
    wait_until(
        lambda: len(list(tmp_path.glob("results/tiny/jobs/*/*/attempt-1/checkpoint-*.json"))) == 2
    )
    loopback.preempt(seconds=3)
    code, output = ended(process)
    assert code == 0, output
    assert output.count("goes on from step") == 2, output
    assert len(list(tmp_path.glob("results/tiny/jobs/*/*/claim-2"))) == 2
    assert len(list(tmp_path.glob("results/tiny/jobs/*/*/result.json"))) == 2


def test_impossible_requests_of_slurm_are_refused_before_anything_is_written(
    engine: list[str], start: Start, tmp_path: Path
) -> None:
    refused = {
        "engine.partition=nowhere": "the cluster would not take it: ",
        "engine.gpus=1": "the cluster would not take it: ",
    }
    check_refused(refused, engine, start, tmp_path)


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


def test_a_dry_run_prints_the_batch_script(engine: list[str], start: Start, tmp_path: Path) -> None:
    code, output = ended(start(*STUDY, *engine, "engine.setup=module load python", "--dry-run"))
    assert code == 0, output
    for line in (
        "#SBATCH --time=30",
        "#SBATCH --array=0-1%2",
        "#SBATCH --signal=USR2@90",
    ):
        assert line in output.splitlines()
    setup = output.splitlines().index("# setup")
    assert output.splitlines()[setup + 1 :][:2] == ["export PYTHONSAFEPATH=1", "module load python"]
    assert not list(tmp_path.iterdir())


def test_pilots_that_never_start_end_the_sweep_with_their_log(
    engine: list[str], start: Start, tmp_path: Path
) -> None:
    code, output = ended(start(*STUDY, *engine, "engine.setup='echo no such module >&2; exit 3'"))
    assert code == 1, output
    assert "_log.err: no such module; no result is lost" in output
