"""Fixtures that tests share: small shapes, and the command line as a user types it."""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from support import shapes
from support.studies import WrittenStudy
from support.sweeps import SMALL
from typer.testing import CliRunner, Result

from resformer.cli import app
from resformer.model.settings import ModelSettings
from resformer.model.shape import Shape, TrainSettings
from resformer.numerics.backends import compiled, eager
from resformer.numerics.backends.base import Backend
from resformer.numerics.backends.kernels import build
from resformer.store.study import Study
from resformer.workers import signals

collect_ignore = [] if torch.cuda.is_available() else ["test_on_a_gpu.py"]
if importlib.util.find_spec("triton") is None and not os.environ.get("CI"):
    collect_ignore.append("test_fused.py")  # for macOS and ARM there is none; in CI there has to be

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # Triton asks when it is imported, which no test has done


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A skipped test proves nothing: in CI it is a failure."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and reporter is not None and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(autouse=True, scope="session")
def _signals() -> None:
    """What tests start ignores no signal, though this process does, as under nohup (SIGHUP) or in
    the background of a shell (SIGINT): a handler, unlike an ignored signal, is not inherited.
    """
    for signum in {*signals.SIGNALS} - {*signals.heeded()}:
        signal.signal(signum, lambda signum, frame: None)


@pytest.fixture(autouse=True)
def _process() -> Iterator[None]:
    """One thread; and denormal numbers again after each test, which training in this process
    flushes.
    """
    torch.set_num_threads(1)
    yield
    torch.set_flush_denormal(False)


@pytest.fixture
def kernels() -> None:
    """Skips, with the reason, where there are no compiled kernels."""
    if reason := build.missing():
        pytest.skip(reason)


@pytest.fixture(params=[eager, compiled], ids=["eager", "compiled"])
def backend(request: pytest.FixtureRequest) -> Backend:
    if request.param is compiled:
        request.getfixturevalue("kernels")
    return request.param


@pytest.fixture
def model() -> ModelSettings:
    return shapes.model()


@pytest.fixture
def settings() -> TrainSettings:
    return shapes.settings()


@pytest.fixture
def shape() -> Shape:
    return shapes.shape()


@pytest.fixture
def study(tmp_path: Path) -> Study:
    """A study without launches, in the results folder of this test's working directory."""
    return Study(tmp_path / "results" / "some")


@pytest.fixture
def made(tmp_path: Path) -> WrittenStudy:
    """A study for cells written by hand, in the results folder of this test's working directory."""
    return WrittenStudy(tmp_path / "results")


@pytest.fixture(scope="session")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder with the study `small`, swept once; who changes it copies it."""
    results = tmp_path_factory.mktemp("swept") / "results"
    result = CliRunner().invoke(app, ["sweep", *SMALL, "--results", str(results)])
    assert result.exit_code == 0, result.stderr
    return results


@pytest.fixture
def results(swept: Path, tmp_path: Path) -> Path:
    """A copy of it in this test's working directory."""
    ignore = shutil.ignore_patterns(".cache")
    return Path(shutil.copytree(swept, tmp_path / "results", ignore=ignore))


@pytest.fixture
def resformer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """`resformer(*words)` in this process, in an empty working directory;
    stdout and stderr apart.
    """
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(app, list(words))


@pytest.fixture
def command(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`resformer WORDS...` as a process of its own, in an empty working directory; variables are
    set for it alone.
    """

    def run(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "resformer", *words],
            cwd=tmp_path,
            env={**os.environ, **variables},
            capture_output=True,
            text=True,
            check=False,
        )

    return run
