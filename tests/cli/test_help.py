"""Help and version: quickly, without imports of what they do not need."""

import subprocess
import sys

import pytest
from support.commands import Resformer

from resformer import __version__


@pytest.mark.parametrize("words", [[], ["train"], ["sweep"], ["report"]])
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_shows_usage_and_options(resformer: Resformer, words: list[str], flag: str) -> None:
    result = resformer(*words, flag)
    assert (result.exit_code, result.stderr) == (0, "")
    assert "Usage:" in result.stdout
    for expected in {
        "": ["train", "sweep", "report"],
        "sweep": ["--study", "--dry-run"],
        "report": ["--format"],
    }.get("".join(words), ["KEY=VALUE"]):
        assert expected in result.stdout


@pytest.mark.parametrize("flag", ["-v", "--version"])
def test_version_is_printed(resformer: Resformer, flag: str) -> None:
    result = resformer(flag)
    assert (result.exit_code, result.stdout, result.stderr) == (0, f"{__version__}\n", "")


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["sweep", "--help"]])
def test_help_imports_nothing_heavy(words: list[str]) -> None:
    code = (
        "import atexit, sys\n"
        "atexit.register(lambda: print(*sys.modules, file=sys.stderr))\n"
        f"sys.argv = ['resformer', *{words}]\n"
        "from resformer.cli import main\n"
        "main()\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert "Usage:" in result.stdout
    loaded = set(result.stderr.split())
    assert "typer" in loaded
    assert not loaded & {"torch", "hydra", "omegaconf", "pandas", "numpy", "pyarrow", "matplotlib"}
