"""An engine's words, and sweeps that are started with them."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.engines import STUDY, Start, ended, started, tables

from lib.clusters import loopback


@pytest.fixture(scope="module")
def engine(request: pytest.FixtureRequest) -> Iterator[list[str]]:
    """The words that choose the engine of `test_<engine>.py`."""
    try:
        with getattr(loopback, request.path.stem.removeprefix("test_"))() as words:
            yield words
    except loopback.Missing as missing:
        pytest.skip(f"there is no {missing} here")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """`resformer sweep WORDS...` in an empty working directory; nothing of it is left behind."""
    running = []

    def started_here(*words: str) -> subprocess.Popen[str]:
        running.append(started(tmp_path, *words))
        return running[-1]

    yield started_here
    for process in running:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The tables of the study as a local sweep makes them."""
    folder = tmp_path_factory.mktemp("alone")
    assert ended(started(folder, *STUDY))[0] == 0
    return tables(folder)
