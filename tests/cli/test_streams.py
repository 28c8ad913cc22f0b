"""Standard output and error that cannot take what is written, as a user's shell sets them."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.studies import SEEDS, STALLED, WrittenStudy, shape

from resformer.residuals.add import Add
from resformer.residuals.plain import Plain

Shell = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def shell(tmp_path: Path, made: WrittenStudy) -> Shell:
    """A line of shell beside a study `made`, in which `resformer` is the command."""
    for residual, last in ((Add(), 100), (Plain(), STALLED)):
        made.job(shape(1, residual, "pre"), SEEDS, [100] * 5)
        made.job(shape(8, residual, "pre"), SEEDS, [last] * 5)
    made.write()

    def run(line: str, **variables: str) -> subprocess.CompletedProcess[str]:
        script = f'resformer() {{ "{sys.executable}" -m resformer "$@"; }}; {line}'
        return subprocess.run(
            ["bash", "-o", "pipefail", "-c", script],
            cwd=tmp_path,
            env={**os.environ, **variables},
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )

    return run


@pytest.mark.parametrize(
    "variables",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "latin-1"},
        {"PYTHONIOENCODING": "cp437"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ],
    ids=str,
)
def test_what_an_encoding_lacks_is_written_in_ascii(
    shell: Shell, variables: dict[str, str]
) -> None:
    result = shell("resformer report made", **variables)
    assert (result.returncode, result.stderr) == (0, "")
    (limits,) = [line for line in result.stdout.splitlines() if " limit |" in line]
    # Code page 437 has the sign, which is no UTF-8.
    assert ("\N{REPLACEMENT CHARACTER} 8" if "cp437" in variables.values() else ">= 8") in limits
    assert "With residual connections stacks train deeper" in result.stdout


@pytest.mark.parametrize(
    "words",
    ["report made", "report made --format json", "status made", "--version", "--help", "show -h"],
)
def test_a_full_disk_behind_stdout_is_one_line(shell: Shell, words: str) -> None:
    unbuffered = "1" if words in ("report made", "--help") else ""
    result = shell(f"resformer {words} >/dev/full", PYTHONUNBUFFERED=unbuffered)
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith("resformer: standard output cannot be written: No space left on device")


FULL = """
import sys
from resformer.console import streams
with streams.guarded():
    print("text")
    raise {}
"""


@pytest.mark.parametrize(
    ("raised", "code", "last"),
    [
        ("SystemExit(2)", 2, []),
        ("SystemExit(130)", 130, []),
        ("ValueError('a bug')", 1, ["ValueError: a bug"]),
        (
            "SystemExit(0)",
            1,
            ["resformer: standard output cannot be written: No space left on device"],
        ),
    ],
)
def test_a_full_disk_behind_stdout_hides_no_other_error(
    raised: str, code: int, last: list[str]
) -> None:
    with open("/dev/full", "wb") as full:
        result = subprocess.run(
            [sys.executable, "-c", FULL.format(raised)],
            env={**os.environ, "PYTHONUNBUFFERED": ""},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert result.returncode == code
    assert result.stderr.splitlines()[-1:] == last


@pytest.mark.parametrize(
    "line",
    [
        "resformer report made >/dev/full 2>/dev/full; test $? = 1",
        "resformer report made 2>/dev/full",
        "resformer report made >&- 2>&-",
        "resformer report made | head -1",
        "resformer --help | head -1",
        "resformer report made --html page.html 2>&-",
    ],
)
def test_streams_that_are_closed_or_full_are_borne_in_silence(shell: Shell, line: str) -> None:
    result = shell(line)
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.sweep
def test_a_sweep_goes_on_without_its_display(shell: Shell, tmp_path: Path) -> None:
    words = "model.depth=1,2 model.width=16 train.steps=20 train.warmup_steps=5"
    result = shell(f"resformer sweep --study quiet {words} 2>/dev/full")
    assert result.returncode == 0
    assert "add" in result.stdout
    assert shell("resformer report quiet").returncode == 0


def test_a_terminal_of_no_columns_shows_the_report(shell: Shell) -> None:
    assert (
        shell("resformer report made", COLUMNS="0").stdout == shell("resformer report made").stdout
    )


def test_a_path_that_is_named_obeys_no_control_character(shell: Shell) -> None:
    result = shell("resformer report made --html $'\\e[31m.html'")
    assert result.stderr == "\\x1b[31m.html\n"


def test_what_a_closed_stderr_loses_does_not_go_to_stdout(shell: Shell) -> None:
    """That is `print`, whose file None is stdout."""
    words = "report made --html page.html"
    closed, whole = shell(f"resformer {words} 2>&-"), shell(f"resformer {words}")
    assert whole.stderr.splitlines() == ["page.html"]
    assert closed.stdout == whole.stdout
