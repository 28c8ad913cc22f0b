"""Variables of the environment, and files of the working directory, that break other programs."""

import os
from pathlib import Path

import pytest
from support.commands import Command
from support.sweeps import SMALL

from resformer import cli
from resformer.workers import environment

SHADOWED = ("random", "struct", "copy", "queue", "select", "types", "numpy", "sort", "signal")


@pytest.mark.sweep
def test_nothing_of_the_working_directory_is_imported(command: Command, tmp_path: Path) -> None:
    for name in (*SHADOWED, "torch", "resformer"):
        (tmp_path / f"{name}.py").write_text('raise SystemExit("shadow")\n')
    result = command("sweep", *SMALL, PYTHONSAFEPATH="1")
    assert result.returncode == 0, result.stderr


def test_workers_do_not_look_into_the_working_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    monkeypatch.setattr(environment.sys, "orig_argv", ["python"])
    environment.for_command()
    assert os.environ["PYTHONSAFEPATH"] == "1"


def test_a_notebooks_backend_does_not_matter(command: Command, results: Path) -> None:
    result = command("report", "small", "--figures", "drawn", MPLBACKEND="nonsense")
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("level", ["1", "2"])
def test_ranges_are_read_without_assertions(command: Command, level: str) -> None:
    result = command("show", "member.seed=range(0,3)", PYTHONOPTIMIZE=level)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""


def test_a_broken_plugin_of_hydra_has_no_effect(command: Command, tmp_path: Path) -> None:
    broken = tmp_path / "path" / "hydra_plugins" / "bad" / "__init__.py"
    broken.parent.mkdir(parents=True)
    broken.write_text('raise RuntimeError("bad")\n')
    path = os.pathsep.join([str(tmp_path / "path"), os.environ.get("PYTHONPATH", "")])
    result = command("show", PYTHONPATH=path)
    assert result.returncode == 0, result.stderr


def test_a_time_zone_that_python_does_not_take(command: Command, results: Path) -> None:
    result = command("status", "small", TZ="XXX-99")
    assert result.returncode == 0, result.stderr


def test_a_job_submitted_from_a_job_is_one_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    inherited = {"SLURM_JOB_ID": "7", "SLURM_MEM_PER_CPU": "1G", "SBATCH_TIMELIMIT": "1"}
    kept = {"SLURM_CONF": "/etc/slurm.conf", "SBATCH_QOS": "high", "SBATCH_PARTITION": "gpu"}
    for name, value in {**inherited, **kept}.items():
        monkeypatch.setenv(name, value)
    with environment.outside_of_jobs(["SBATCH_PARTITION"]):
        seen = {name: os.environ.get(name) for name in (*inherited, *kept)}
    assert seen == {**dict.fromkeys(inherited), **kept}
    assert {name: os.environ[name] for name in inherited} == inherited


def test_every_change_has_its_reason() -> None:
    for variable in (*environment.RESULTS, *environment.COMMANDS):
        assert variable.reason


def test_in_a_notebook_progress_is_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("JPY_PARENT_PID", raising=False)
    assert cli._consoles()[1].is_terminal
    monkeypatch.setenv("JPY_PARENT_PID", "1")
    assert not cli._consoles()[1].is_terminal


def test_windows_is_refused_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli.sys, "platform", "win32")
    with pytest.raises(SystemExit, match="resformer: runs on Linux and macOS; on Windows in WSL"):
        cli.main()


def test_the_command_is_recorded_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli.sys, "argv", ["/somewhere/resformer/__main__.py", "sweep", "task=sort"])
    assert cli._command() == ["resformer", "sweep", "task=sort"]
