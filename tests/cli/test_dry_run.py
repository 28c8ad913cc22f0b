"""What a sweep would do: `sweep --dry-run` and `show`."""

import shutil
from pathlib import Path

import pytest
from support.commands import Resformer, check_refused, sweep_here, tree
from support.sweeps import TINY

from resformer.store.study import Study


def test_a_dry_run_prints_the_plan_and_writes_nothing(resformer: Resformer, tmp_path: Path) -> None:
    result = resformer(
        "sweep",
        "--dry-run",
        *TINY[1:],
        "model.depth=1,2",
        "model.residual=true,false",
        "member.seed=range(0,3)",
    )
    assert result.exit_code == 0
    shown = " ".join(result.stdout.split())
    for expected in ("depth", "residual", "members", "parameters", "FLOPs", "add", "plain"):
        assert expected in shown
    assert "12 members in 4 jobs;" in shown
    assert "4 jobs to run, at most about" in shown
    embedding, block, head = (9 + 10) * 8, 4 * 72 + 8 * 32 + 32 + 32 * 8 + 8 + 2 * 16, 8 * 9 + 9
    for depth in (1, 2):
        assert f"{embedding + depth * block + head:,}" in shown
    assert tree(tmp_path) == {}


def test_a_dry_run_of_the_quick_study_counts_its_members(
    resformer: Resformer, tmp_path: Path
) -> None:
    result = resformer("sweep", "--dry-run")
    assert result.exit_code == 0
    assert "384 members in " in " ".join(result.stdout.split())
    assert tree(tmp_path) == {}


def test_a_dry_run_says_which_combinations_are_left_out(resformer: Resformer) -> None:
    result = resformer("sweep", "--dry-run", *TINY, "model/residual=add,rezero", "model.norm=pre")
    assert result.exit_code == 0
    assert "1 member in 1 job" in " ".join(result.stdout.split())
    (line,) = result.stderr.splitlines()
    assert line.startswith("left out: ")
    assert "model.residual=rezero" in line
    assert "model.norm=pre" in line


def test_what_is_left_out_for_one_reason_is_one_line(resformer: Resformer) -> None:
    grid = ["model.depth=1,2,4", "model/residual=add,rezero", "model.norm=pre"]
    result = resformer("show", *grid)
    (line,) = result.stderr.splitlines()
    assert line.startswith("left out: model.depth=1,2,4, model.residual=rezero (")
    assert line.endswith("), 3 combinations")


def test_a_dry_run_of_a_finished_study_plans_new_members_only(
    resformer: Resformer, study: Study, tmp_path: Path
) -> None:
    sweep_here(study, *TINY, "member.seed=range(0,2)")
    before = tree(tmp_path)
    result = resformer("sweep", "--dry-run", *TINY, "member.seed=range(0,3)", "--study", "some")
    shown = " ".join(result.stdout.split())
    assert "3 members in 1 job;" in shown
    assert "some: 1 job to run" in shown
    assert tree(tmp_path) == before


def test_a_dry_run_with_nothing_to_run_asks_no_cluster(
    resformer: Resformer, study: Study, tmp_path: Path
) -> None:
    sweep_here(study, *TINY, "member.seed=range(0,2)")
    before = tree(tmp_path)
    result = resformer(
        "sweep",
        "--dry-run",
        *TINY,
        "member.seed=range(0,2)",
        "engine=ray",
        "engine.address=127.0.0.1:1",
        "--study",
        "some",
    )
    assert result.stderr == ""
    assert "2 members, all finished" in " ".join(result.stdout.split())
    assert tree(tmp_path) == before


def test_show_prints_settings_as_they_resolve_and_the_grid(
    resformer: Resformer, tmp_path: Path
) -> None:
    result = resformer("show", "model.depth=1,4", "model.width=64")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    for expected in (
        "model.hidden=256",
        "model.attention=causal",
        "model.norm=post",
        "train.stop_when_solved=true",
    ):
        assert expected in lines
    assert not any(line.startswith("model.depth=") for line in lines)
    assert "2 members in 2 jobs;" in result.stdout
    assert tree(tmp_path) == {}
    assert resformer("show", "model.depth=0").exit_code == 2


def test_a_dry_run_for_slurm_prints_grid_and_script_without_slurm(
    resformer: Resformer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    which = shutil.which
    monkeypatch.setattr(shutil, "which", lambda name: None if name == "srun" else which(name))
    words = ["--engine", "slurm", "--workers", "4", "engine.memory_gib=2", "--study", "new"]
    words.append("engine.extra='--qos=high --exclusive --comment=\"two words\"'")
    result = resformer("sweep", "--dry-run", *TINY, "member.seed=0,1", "engine.stack=1", *words)
    assert result.exit_code == 0, result.stderr
    assert "2 members in 2 jobs" in " ".join(result.stdout.split())
    script = result.stdout[result.stdout.index("#!/bin/bash") :]
    assert "#SBATCH --mem=2048M" in script
    for option in ("--qos=high", "--exclusive", "--comment='two words'"):
        assert f"#SBATCH {option}" in script.splitlines()
    assert "#SBATCH --array=0-1%2" in script
    assert result.stderr.splitlines()[-1] == (
        "would not run from here: engine=slurm: there is no srun here; run it where jobs are "
        "submitted"
    )
    refused = resformer("sweep", *TINY, *words)
    check_refused(refused, "engine=slurm: there is no srun here")
    assert tree(tmp_path) == {}


def test_blocks_without_a_preset_have_a_row_each(resformer: Resformer) -> None:
    words = ["model=classic,modern", "model.activation=gelu", "model.norm=pre", "model.depth=1"]
    result = resformer("sweep", "--dry-run", *words)
    assert result.exit_code == 0, result.stderr
    assert len([line for line in result.stdout.splitlines() if " copy " in line]) == 2
