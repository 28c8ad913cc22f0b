"""This machine's processes; their failures, deaths and signals are tried in `sweeps/`."""

from multiprocessing import forkserver
from pathlib import Path

import pytest
from support.commands import Resformer
from support.engines import STUDY, Start, ended, tables
from support.sweeps import SMALL

from resformer import config

pytestmark = pytest.mark.sweep


def test_one_worker_gives_the_bits_of_two(
    start: Start, alone: dict[str, bytes], tmp_path: Path
) -> None:
    words = ["engine.workers=1" if word == "engine.workers=2" else word for word in STUDY]
    code, output = ended(start(*words))
    assert code == 0, output
    assert tables(tmp_path) == alone


def exhausted(resformer: Resformer, *words: str) -> None:
    """One line, exit code 1."""
    result = resformer(*words)
    assert result.exit_code == 1, result
    assert result.stderr.splitlines()[-1] == (
        "resformer: resource temporarily unavailable: no process or thread can be started; "
        "see ulimit -u, or use fewer workers; no result is lost"
    )


def test_a_fork_server_that_cannot_fork_is_a_line(
    resformer: Resformer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ended(_: int) -> int:
        raise EOFError("unexpected EOF")

    monkeypatch.setattr(forkserver, "read_signed", ended)
    exhausted(resformer, "sweep", *SMALL)


def test_a_thread_that_cannot_be_started_is_a_line(
    resformer: Resformer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start_thread(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(config, "request", start_thread)
    exhausted(resformer, "show")
