"""Signals of a command."""

import importlib
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from resformer.workers.signals import Interrupts, Stopped

pytestmark = pytest.mark.usefixtures("sigint")

SWALLOWS = """
import os, signal, time

try:
    for _ in range(2):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.2)
except KeyboardInterrupt:
    pass
else:
    whole = True
"""
"""A module that is interrupted while it is imported, as numpy is by torch, and goes on."""


def test_an_import_is_not_interrupted_and_then_the_command_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "interrupted_module.py").write_text(SWALLOWS)
    monkeypatch.syspath_prepend(tmp_path)

    def command() -> None:
        with Interrupts().handled():
            importlib.import_module("interrupted_module")
            time.sleep(10)

    with pytest.raises(Stopped) as stopped:
        command()
    assert stopped.value.code == 130
    assert sys.modules["interrupted_module"].whole


def test_a_signal_elsewhere_stops_at_once() -> None:
    def command() -> None:
        with Interrupts().handled():
            os.kill(os.getpid(), signal.SIGINT)
            pytest.fail("goes on")

    with pytest.raises(Stopped):
        command()


def test_a_signal_that_waits_for_an_import_dies_with_its_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "last_module.py").write_text(SWALLOWS.replace("0.2", "0.01"))
    monkeypatch.syspath_prepend(tmp_path)
    with Interrupts().handled():
        importlib.import_module("last_module")
    time.sleep(0.1)
