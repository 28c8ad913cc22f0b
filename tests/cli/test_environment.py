"""Variables of the environment, and files of the working directory, that break other programs."""

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from support.commands import Command, Resformer
from support.sweeps import SMALL

from resformer import cli
from resformer.errors import DiskError
from resformer.workers import environment

ROOT = Path(cli.__file__).parents[1]
SHADOWED = ("random", "struct", "copy", "queue", "select", "types", "numpy", "sort", "signal")


@pytest.mark.sweep
@pytest.mark.parametrize("path", ["", f"{ROOT}{os.pathsep}"])
def test_nothing_of_the_working_directory_is_imported(tmp_path: Path, path: str) -> None:
    """By the command as pip installs it, whose own path begins with its folder; also where
    PYTHONPATH has an empty entry, but for what Python and the package itself import at once.
    """
    script, folder = tmp_path / "bin" / "resformer", tmp_path / "here"
    for made in (script.parent, folder):
        made.mkdir()
    script.write_text(
        "from resformer.__main__ import main\nif __name__ == '__main__':\n    main()\n"
    )
    early = ("types", "copy") if path else ()
    for name in {*SHADOWED, "torch", "resformer"} - {*early}:
        (folder / f"{name}.py").write_text('raise SystemExit("shadow")\n')
    unset = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    unset |= {"PYTHONPATH": path} if path else {}
    result = subprocess.run(
        [sys.executable, script, "sweep", *SMALL],
        cwd=folder,
        env=unset,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    ("path", "left"), [(":/a::/b:", "/a:/b"), (":", ""), ("/a:.", "/a:."), ("", "")]
)
def test_empty_entries_of_the_path_are_taken_out(
    monkeypatch: pytest.MonkeyPatch, path: str, left: str
) -> None:
    """By a start of the command anew; a folder that is named stays, also the working directory."""
    started: list[list[str]] = []
    monkeypatch.setattr(environment.os, "execv", lambda file, words: started.append(words))
    monkeypatch.setattr(environment.sys, "orig_argv", ["python", "-m", "resformer"])
    monkeypatch.setenv("PYTHONPATH", path)
    environment.for_command()
    assert os.environ["PYTHONPATH"] == left
    assert started == [[sys.executable, "-m", "resformer"]] * (path != left)


def test_workers_do_not_look_into_the_working_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONSAFEPATH", "")
    monkeypatch.setattr(environment.sys, "orig_argv", ["python"])
    environment.for_command()
    assert os.environ["PYTHONSAFEPATH"] == "1"


def test_a_notebooks_backend_does_not_matter(command: Command, results: Path) -> None:
    result = command("report", "small", "--figures", "drawn", MPLBACKEND="nonsense")
    assert result.returncode == 0, result.stderr


def test_ranges_are_read_without_assertions(command: Command) -> None:
    result = command("show", "member.seed=range(0,3)", PYTHONOPTIMIZE="2")
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""


@pytest.mark.parametrize("words", [["-OOO", "-m"], ["-sO", "-m"], ["-Om"]])
def test_an_interpreter_without_assertions_is_refused(words: list[str], tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, *words, "resformer", "show", "-O"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert result.stderr.startswith("resformer: python -O: ")
    assert len(result.stderr.splitlines()) == 1
    assert (result.returncode, result.stdout) == (2, "")


def test_a_broken_plugin_of_hydra_has_no_effect(command: Command, tmp_path: Path) -> None:
    broken = tmp_path / "path" / "hydra_plugins" / "bad" / "__init__.py"
    broken.parent.mkdir(parents=True)
    broken.write_text('raise RuntimeError("bad")\n')
    path = os.pathsep.join([str(tmp_path / "path"), os.environ.get("PYTHONPATH", "")])
    result = command("show", PYTHONPATH=path)
    assert result.returncode == 0, result.stderr


def test_the_library_leaves_the_plugins_of_hydra_alone(tmp_path: Path) -> None:
    plugin = tmp_path / "hydra_plugins" / "mine.py"
    plugin.parent.mkdir()
    plugin.write_text("HERE = True\n")
    code = "import resformer.config; from hydra_plugins.mine import HERE; assert HERE"
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path}, check=True)


def test_entry_points_that_cannot_be_read_have_no_effect(command: Command, tmp_path: Path) -> None:
    """Whichever package has them: torch looks for backends of devices among all of them."""
    bad = tmp_path / "path" / "bad-1.0.dist-info"
    bad.mkdir(parents=True)
    (bad / "METADATA").write_text("Name: bad\nVersion: 1.0\n")
    (bad / "entry_points.txt").write_text("[resformer.tasks]\nnonsense\n")
    path = os.pathsep.join([str(bad.parent), os.environ.get("PYTHONPATH", "")])
    result = command("show", PYTHONPATH=path)
    assert result.returncode == 0, result.stderr


def test_a_number_of_lines_that_rich_does_not_take(command: Command, results: Path) -> None:
    result = command("status", "small", LINES="\N{SUPERSCRIPT TWO}")
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("value", ["abc", ":", "0:", "1:2:3", ""])
def test_no_list_of_cores_keeps_torch_from_being_imported(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setattr(environment.sys, "orig_argv", ["python"])
    for given, kept in ((value, None), ("0 2-7:2,1-3", "0 2-7:2,1-3")):
        monkeypatch.setenv("GOMP_CPU_AFFINITY", given)
        monkeypatch.setenv("TORCH_LOGS", "nonsense")
        environment.for_command()
        assert os.environ.get("GOMP_CPU_AFFINITY") == kept
        assert "TORCH_LOGS" not in os.environ


@pytest.mark.parametrize(
    "words",
    [
        "status small --results=~/results",
        "report small --html=~/made",
        "report small --figures=~/made",
        "export small ~/made --to=csv",
        "probe --to=~/made model.depth=1 model.width=8 model.heads=2 member.seed=0",
    ],
)
def test_home_is_expanded_in_every_path(
    resformer: Resformer, results: Path, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = results.parent
    monkeypatch.setenv("HOME", str(home))
    result = resformer(*words.split())
    assert result.exit_code == 0, result.stderr
    assert not (home / "~").exists()
    assert (home / "made").exists() == ("made" in words)


def test_an_unknown_home_is_left_as_it_is(command: Command) -> None:
    result = command("status", "--results=~nobody-here/results")
    assert "~nobody-here/results: there is no study" in result.stderr


def test_a_time_zone_that_python_does_not_take(command: Command, results: Path) -> None:
    result = command("status", "small", TZ="XXX-99")
    assert result.returncode == 0, result.stderr


@pytest.mark.sweep
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="there is no setpriv")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives folders away")
def test_a_working_directory_that_cannot_be_read(tmp_path: Path) -> None:
    """As under sudo -u from a folder of mode 0700."""
    closed, results = tmp_path / "closed", tmp_path / "results"
    closed.mkdir(mode=0o700)
    os.chown(closed, 65534, 65534)
    without = "-dac_override,-dac_read_search"
    drop = ["setpriv", "--bounding-set", without, "--inh-caps", without]
    result = subprocess.run(
        [*drop, sys.executable, "-P", "-m", "resformer", "sweep", *SMALL, "--results", results],
        cwd=closed,
        check=False,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr


def test_a_job_submitted_from_a_job_is_one_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    inherited = {"SLURM_JOB_ID": "7", "SLURM_MEM_PER_CPU": "1G", "SBATCH_TIMELIMIT": "1"}
    kept = {"SLURM_CONF": "/etc/slurm.conf", "SBATCH_QOS": "high", "SBATCH_PARTITION": "gpu"}
    for name, value in {**inherited, **kept}.items():
        monkeypatch.setenv(name, value)
    with environment.outside_of_jobs(["SBATCH_PARTITION", "SBATCH_QOS"]):
        seen = {name: os.environ.get(name) for name in (*inherited, *kept)}
    assert seen == {**dict.fromkeys(inherited), **kept}
    assert {name: os.environ[name] for name in inherited} == inherited


def test_in_a_notebook_progress_is_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("JPY_PARENT_PID", raising=False)
    assert cli._consoles()[1].is_terminal
    monkeypatch.setenv("JPY_PARENT_PID", "1")
    assert not cli._consoles()[1].is_terminal


@pytest.mark.parametrize(
    ("number", "end"),
    [
        (errno.ENOSPC, "; no result is lost: see to it and go on\n"),
        (errno.ENOENT, "; see to it and go on\n"),  # as where the results folder is deleted
    ],
)
def test_no_result_is_lost_unless_a_folder_is(
    number: int, end: str, capsys: pytest.CaptureFixture[str]
) -> None:
    reason = f"results/some/claim-1: cannot be written (12 bytes): {os.strerror(number)}"
    with pytest.raises(typer.Exit), cli._answering():
        raise DiskError(reason)
    assert capsys.readouterr().err == f"resformer: {reason}{end}"


def test_windows_is_refused_in_a_line() -> None:
    """Before anything is imported that Windows lacks."""
    lacking = "sys.modules |= dict.fromkeys(('fcntl', 'grp', 'pwd', 'resource', 'termios'))"
    code = f"import sys; {lacking}; sys.platform = 'win32'"
    code += "; from resformer.__main__ import main; main()"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert result.stderr == "resformer: runs on Linux and macOS; on Windows in WSL\n"
    assert result.returncode == 2


def test_the_command_is_recorded_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli.sys, "argv", ["/somewhere/resformer/__main__.py", "sweep", "task=sort"])
    assert cli._command() == ["resformer", "sweep", "task=sort"]
