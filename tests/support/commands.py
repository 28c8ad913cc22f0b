"""What a command must leave as it was, and how it refuses a request."""

import subprocess
from collections.abc import Callable
from pathlib import Path

from typer.testing import Result

from resformer import config
from resformer.store.study import Study
from resformer.sweep import launch
from support.launches import work_alone

Resformer = Callable[..., Result]
Command = Callable[..., subprocess.CompletedProcess[str]]


def tree(folder: Path) -> dict[str, bytes | None]:
    """Every file with its bytes, and every folder; but for a report's cache."""
    paths = [path for path in sorted(folder.rglob("*")) if ".cache" not in path.parts]
    return {str(path): path.read_bytes() if path.is_file() else None for path in paths}


def check_refused(result: Result | subprocess.CompletedProcess[str], named: str) -> None:
    """One line on stderr that names the setting, nothing on stdout, exit code 2."""
    code = result.exit_code if isinstance(result, Result) else result.returncode
    assert code == 2, result
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("resformer: ")
    assert result.stderr.endswith("\n")
    assert named in line


def sweep_here(study: Study, *words: str) -> None:
    """Run the sweep of these words in this process."""
    work_alone(launch.plan(config.request(study.name, words), study).start(["sweep"]))
