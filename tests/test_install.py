"""`scripts/install` in a checkout whose virtual environment is missing, whole or half made."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
WHOLE = "#!/bin/sh\nexit 0\n"
WITHOUT_PIP = '#!/bin/sh\n[ "$2" != pip ]\n'
MAKES = f"""#!/bin/sh
[ "$2" = venv ] || exit 0
mkdir -p "$3/bin" && printf '{WHOLE.encode("unicode_escape").decode()}' >"$3/bin/python"
chmod +x "$3/bin/python"
"""
"""Stands for `python3`, and makes virtual environments that stand for real ones."""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "scripts").mkdir()
    for name in ("pyproject.toml", "scripts/install", "scripts/constraints.txt"):
        shutil.copy(ROOT / name, tmp_path / name)
    executable(tmp_path / "bin" / "python3", MAKES)
    return tmp_path


def executable(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def install(checkout: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    path = f"{checkout / 'bin'}:{os.environ['PATH']}"
    return subprocess.run(
        ["bash", checkout / "scripts" / "install", ""],
        env={**inherited, "PATH": path, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def test_an_environment_is_made_once(checkout: Path) -> None:
    assert install(checkout).returncode == 0
    python = checkout / ".venv" / "bin" / "python"
    python.write_text(WITHOUT_PIP)  # which nothing needs once all is installed
    again = install(checkout)
    assert (again.returncode, again.stderr) == (0, "")
    assert python.read_text() == WITHOUT_PIP


def test_one_whose_making_was_interrupted_is_made_again(checkout: Path) -> None:
    python = executable(checkout / ".venv" / "bin" / "python", WITHOUT_PIP)
    (checkout / ".venv" / "left").touch()
    assert install(checkout).returncode == 0
    assert python.read_text() == WHOLE
    assert not (checkout / ".venv" / "left").exists()


def test_an_active_environment_is_never_removed(checkout: Path) -> None:
    active = checkout / "active"
    executable(active / "bin" / "python", WITHOUT_PIP)
    assert install(checkout, VIRTUAL_ENV=str(active)).returncode != 0
    assert (active / "bin" / "python").read_text() == WITHOUT_PIP
