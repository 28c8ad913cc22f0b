"""The campaign of strange machines: what it asks of each, and that each may fail."""

import time
from pathlib import Path

import psutil
import pytest

from lib.faults import machines
from lib.faults.strange import Machine


@pytest.fixture
def ordinary(tmp_path: Path) -> machines._Ordinary:
    good = tmp_path / "good"
    good.mkdir()
    return machines._Ordinary(good=good, texts={"": "usual\n"}, tables={})


def failures(ordinary: machines._Ordinary, machine: Machine) -> tuple[str, ...]:
    folder = ordinary.good.with_name("trial")
    folder.mkdir()
    return machines._judged(machine, folder, ordinary=ordinary).failures


def test_there_are_a_hundred_each_with_a_row_of_its_own() -> None:
    rows = [f"{machine}: {machine.outcome}" for machine in machines.machines()]
    assert len(set(rows)) == len(rows) >= 100
    assert all("\n" not in row and "```" not in row for row in rows)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("echo usual", None),
        ("echo some", "some"),
        ("true", ""),
        ("echo some >&2; echo usual", None),
    ],
)
def test_the_right_outcome_passes(
    ordinary: machines._Ordinary, line: str, says: str | None
) -> None:
    assert failures(ordinary, Machine(kind="folder", line=line, words="", says=says)) == ()


@pytest.mark.parametrize(
    ("line", "says", "reason"),
    [
        ("echo other", None, "another text"),
        ("echo other", "some", "is not said"),
        ("echo other", "", "prints 'other"),
        ("echo usual; exit 1", None, "exit code 1"),
        ("false | echo usual", None, "exit code 1"),
        ("echo usual; echo Traceback >&2", None, "a traceback"),
        ("echo usual; printf '\\e[31m' >&2", None, "prints control characters"),
    ],
)
def test_another_outcome_is_a_failed_point(
    ordinary: machines._Ordinary, line: str, says: str | None, reason: str
) -> None:
    (failure,) = failures(ordinary, Machine(kind="folder", line=line, words="", says=says))
    assert reason in failure


def test_a_hang_is_one_failed_point_and_leaves_no_process(
    ordinary: machines._Ordinary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machines, "_SECONDS", 0.5)
    line = "setsid sleep 61.5 & sleep 61.5; true"
    (failure,) = failures(ordinary, Machine(kind="folder", line=line, words=""))
    assert "did not end within 0.5 s" in failure
    time.sleep(0.1)
    left = [process.info["cmdline"] for process in psutil.process_iter(["cmdline"])]
    assert ["sleep", "61.5"] not in left
