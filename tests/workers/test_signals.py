"""Signals of a command."""

import importlib
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from resformer import __main__, cli
from resformer.workers import signals
from resformer.workers.signals import Interrupts, Stopped

SWALLOWS = """
import os, signal, time

try:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.2)
except BaseException:
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

    began = time.monotonic()
    with pytest.raises(Stopped) as stopped:
        command()
    assert time.monotonic() - began < 5  # the sleep is cut short
    assert stopped.value.code == 130
    assert sys.modules["interrupted_module"].whole


HANGS = """
import os, signal, time

for _ in range(3):
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(0.2)
"""


def test_the_second_signal_interrupts_an_import_that_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a plugin's may; the first one is delivered several times."""
    (tmp_path / "hanging_module.py").write_text(HANGS)
    monkeypatch.syspath_prepend(tmp_path)
    began = time.monotonic()
    with pytest.raises(Stopped) as stopped, Interrupts().handled():
        importlib.import_module("hanging_module")
    assert stopped.value.code == 143
    assert 0.2 <= time.monotonic() - began < 0.4
    assert "hanging_module" not in sys.modules


def test_a_command_that_is_interrupted_while_it_begins_says_so_in_a_line(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def begin() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(10)

    monkeypatch.setattr(__main__.environment, "for_command", lambda: None)
    monkeypatch.setattr(cli, "main", begin)
    with pytest.raises(SystemExit) as leaving:
        __main__.main()
    assert leaving.value.code == 130
    assert capfd.readouterr().err == "resformer: stopped\n"


def test_no_signal_is_swallowed_between_a_commands_words_and_its_work(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """By Typer, which reads them."""
    monkeypatch.setattr(__main__.environment, "for_command", lambda: None)
    monkeypatch.setattr(cli.sys, "argv", ["resformer", "--version"])
    monkeypatch.setattr(cli, "__version__", Interrupting())
    with pytest.raises(SystemExit) as leaving:
        __main__.main()
    assert leaving.value.code == 143
    assert capfd.readouterr().err == "resformer: stopped\n"


class Interrupting:
    def __str__(self) -> str:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(10)
        return ""


def test_an_ignored_signal_stays_ignored() -> None:
    """As under nohup, or in a cluster that was started under it."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interrupts().handled():
            os.kill(os.getpid(), signal.SIGHUP)
        with signals.recorded() as names:
            os.kill(os.getpid(), signal.SIGHUP)
            os.kill(os.getpid(), signal.SIGUSR1)
        assert names == ["SIGUSR1"]
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_pilot_is_cancelled_by_sigint_also_where_it_is_ignored() -> None:
    """As in a cluster that a shell started in the background."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with signals.recorded() as names:
            os.kill(os.getpid(), signal.SIGINT)
        assert names == ["SIGINT"]
    finally:
        signal.signal(signal.SIGINT, before)


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
