"""What `scripts/gpu` does without a GPU: its measuring functions on the CPU, its tables, its parts'
time limits, and its one line where there is no GPU.
"""

import dataclasses
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import torch
from support import sublayers, waiting

from lib.bench.cases import Case
from lib.facts import REFERENCE, ROOT
from lib.gpu import (
    __main__,
    answer,
    breakdown,
    captures,
    ceilings,
    clock,
    contract,
    limited,
    parts,
    peers,
    sharing,
    steps,
    targets,
)
from lib.gpu.parts import PARTS
from lib.gpu.record import Row, to_csv
from resformer.numerics.backends import eager

TINY = Case("S", "copy", depth=1, batch=2)


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    """A repetition is one call."""
    for part in (ceilings, steps, captures):
        monkeypatch.setattr(part, "_SECONDS", 0.0)


def test_without_a_gpu_it_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["gpu", "--out", str(tmp_path / "gpu")])
    assert __main__.main() == 2
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    assert line.startswith(f"scripts/gpu: torch {torch.__version__} sees no NVIDIA GPU here")
    assert not (tmp_path / "gpu").exists()


@pytest.fixture
def command(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`scripts/gpu WORDS...` with a `python3` that prints its words."""
    python = tmp_path / "bin" / "python3"
    python.parent.mkdir()
    python.write_text('#!/bin/sh\necho "$PYTHONPATH: $*"\n')
    python.chmod(0o755)
    environment = {**os.environ, "PATH": f"{python.parent}:{os.environ['PATH']}"}
    return lambda *words: subprocess.run(
        ["bash", ROOT / "scripts" / "gpu", *words],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_wheels_are_put_beside_the_packages_that_are_there(
    tmp_path: Path, command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    (tmp_path / "some-1-py3-none-any.whl").touch()
    install, measure = command("--wheels", tmp_path, "--only", "jax").stdout.splitlines()
    assert "-m pip install" in install
    assert "--no-index --no-deps" in install
    beside = install.partition("--target ")[2].split()[0]
    assert install.endswith(f"{beside} {tmp_path}/some-1-py3-none-any.whl")
    path, _, words = measure.partition(": ")
    assert path.split(":") == [f"{ROOT}/scripts", beside, f"{ROOT}"]
    assert words == "-P -m lib.gpu --only jax"
    assert not Path(beside).exists()


@pytest.mark.parametrize("words", [[], ["/nowhere"]])
def test_a_folder_of_wheels_that_is_not_there_is_refused(
    words: list[str], command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    refused = command("--wheels", *words)
    assert (refused.returncode, refused.stdout) == (2, "")
    (line,) = refused.stderr.splitlines()
    assert line == f"scripts/gpu: --wheels {''.join(words)}: must be a folder with wheels"


def test_it_takes_six_minutes_at_most() -> None:
    """With ten seconds for the command itself."""
    assert sum(part.seconds for part in PARTS.values()) == 350


@pytest.mark.sweep
def test_a_part_that_fails_costs_itself_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two parts, of which the first finds no GPU."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))  # as scripts/gpu has it
    done = parts.Part("done.csv", 1, lambda device, record: None, lambda rows: "its table")
    fails = dataclasses.replace(PARTS["ceilings"], seconds=100)
    monkeypatch.setattr(__main__, "PARTS", {"ceilings": fails, "done": done})
    run = parts.run

    limits = []

    def or_done(name: str, file: Path, seconds: float) -> str:
        limits.append(seconds)
        if name != "done":
            return run(name, file, seconds)
        file.write_text("what\n1\n")
        return ""

    monkeypatch.setattr(parts, "run", or_done)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    card = SimpleNamespace(name="some card")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: card)
    monkeypatch.setattr(sys, "argv", ["gpu", "--out", str(tmp_path)])
    assert __main__.main() == 1
    shown = capsys.readouterr().out
    assert shown == (tmp_path / "gpu.txt").read_text()
    assert "Parts that failed" in shown
    assert "CUDA" in shown.partition("ceilings")[2]
    assert "its table" in shown
    assert limits[0] == 100
    assert 1 < limits[1] < 101  # with what the first has left over
    assert sorted(path.name for path in tmp_path.iterdir()) == ["done.csv", "facts.json", "gpu.txt"]


def test_parts_lack_what_an_earlier_one_took_too_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that a driver keeps from ending."""
    part = parts.Part("some.csv", 1, lambda device, record: None, lambda rows: "its table")
    monkeypatch.setattr(__main__, "PARTS", dict.fromkeys(("late", "next", "last"), part))
    now, limits = [0.0], []

    def run(name: str, file: Path, seconds: float) -> str:
        limits.append(seconds)
        now[0] += seconds + (1.5 if name == "late" else 0.0)
        return ""

    monkeypatch.setattr(__main__, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    monkeypatch.setattr(__main__, "circumstances", dict)
    monkeypatch.setattr(parts, "run", run)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(sys, "argv", ["gpu", "--out", str(tmp_path)])
    assert __main__.main() == 0
    assert limits == [1.0, 0.0, 0.5]


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("print('fine')", ""),
        ("import sys; sys.exit('no build for a GPU')", "no build for a GPU"),
        ("raise ValueError('seven')", "ValueError: seven"),
        ("import sys; sys.exit(3)", "exit code 3"),
        ("import os; os.kill(os.getpid(), 11)", "died of SIGSEGV"),
    ],
)
def test_the_reason_of_a_failure_is_kept(script: str, reason: str) -> None:
    assert limited.run([sys.executable, "-S", "-c", script], 60) == reason


def test_a_part_that_hangs_ends_with_all_that_it_started() -> None:
    began = time.monotonic()
    assert limited.run(["sh", "-c", "sleep 600 & sleep 600"], 0.2) == "stopped after 0.2 s"
    assert time.monotonic() - began < 60  # not the ten minutes of those that hold its output open


STOPPED = """
import sys
from lib.gpu import limited

limited.run(["sh", "-c", "echo begun >&2; echo $$ >$0; sleep 600", sys.argv[1]], 600)
"""


def test_a_part_ends_with_the_command(tmp_path: Path) -> None:
    """Which SIGTERM ends, as at the end of a job's time."""
    file = tmp_path / "pid"
    path = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", STOPPED, file], env=path) as command:
        waiting.wait_until(lambda: file.exists() and file.read_text().endswith("\n"))
        command.terminate()
        assert command.wait(60) == 143
    with pytest.raises(ProcessLookupError):
        os.kill(int(file.read_text()), 0)


def test_rows_are_kept_as_they_come(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    with file.open("w") as opened:
        record = to_csv(opened)
        record({"what": "a, b", "us": 1 / 3, "members": 1024})
        assert file.read_text() == 'what,us,members\n"a, b",0.333333,1024\n'


def test_seconds_of_a_call_are_those_of_the_clock() -> None:
    calls = []

    def call() -> None:
        calls.append(time.perf_counter())
        time.sleep(0.01)

    seconds = clock.seconds_per_call(call, "cpu", 0.05)
    assert len(seconds) == 3
    assert min(seconds) >= 0.01
    assert len(calls) <= 2 + 3 * 5  # a sleep is never shorter than it was asked to be


def test_ceilings() -> None:
    rows = [
        *ceilings.copy("cpu", 1000),
        *ceilings.products("cpu", "bf16", 1, 8, 8, 8),
        *ceilings.products("cpu", "fp32", 3, 8, 4, 2),
    ]
    assert all(row["tb_per_s"] > 0 for row in rows)
    shown = ceilings.render(read(rows))
    assert "(8 × 8)·(8 × 8), bf16" in shown
    assert "3 × (8 × 4)·(4 × 2), fp32" in shown


def test_steps_of_a_case_and_one_that_cannot_be_computed() -> None:
    rows = steps.rows("cpu", TINY, "fp32", 2, compiled=False)
    assert all(row["us"] > 0 and row["tflops"] > 0 for row in rows)
    refused = steps.rows("cpu", TINY, "tf32", 2, compiled=False)
    assert "train.precision=tf32: needs a GPU" in refused[0]["failed"]
    shown = steps.render(read([*rows, *refused]))
    assert f"failed: {refused[0]['failed']}" in shown


@pytest.mark.parametrize("case", dict.fromkeys(case for case, _, _ in steps.GRID), ids=str)
def test_cases_are_of_shapes_that_there_are(case: Case) -> None:
    assert case.shape(2).transformer().flops_per_step(case.batch) > 0


def test_the_script() -> None:
    rows: list[Row] = []
    peers.script("cpu", rows.append, TINY, 2)
    shown = peers.render(read(rows))
    assert all(name in shown for name in ("script, fused AdamW", "script, default AdamW"))


def test_a_jax_without_a_gpu_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a stand-in for JAX, which tests do not need."""
    monkeypatch.setitem(sys.modules, "jax", SimpleNamespace(default_backend=lambda: "cpu"))
    with pytest.raises(SystemExit, match="jax computes on cpu here: no build of it for a GPU"):
        peers.scan("cuda", lambda row: None, TINY, "fp32", 2)


def test_captures() -> None:
    plain = dataclasses.replace(TINY, more=("train.compile=false",))
    rows = captures.rows("cpu", plain, 5)
    assert captures.render(read(rows)).splitlines()[0].endswith("by torch's operations")
    line = captures.render(read(rows)).splitlines()[4].split()
    assert (line[0], line[-1]) == ("5", "3")  # of five, two, one


def test_jobs_at_once_share_a_process() -> None:
    worker = sharing.Worker("cpu", TINY)
    worker.prepare(2, 2)
    assert worker.rate(0.0) > 0


def test_a_table_of_jobs_at_once_that_was_interrupted() -> None:
    rates = [(16, 1, "processes", 100.0), (16, 2, "processes", 150.0), (16, 2, "streams", 90.0)]
    keys = ("members", "jobs", "way", "rate")
    rows = [{**dict(zip(keys, each, strict=True)), "compiled": True} for each in rates]
    shown = sharing.render(read(rows)).splitlines()
    assert shown[0].endswith("by the kernels of train.compile=true")
    assert [line.split()[-1] for line in shown[4:7]] == ["1.00", "1.50", "0.90"]


def test_kernels_of_a_step() -> None:
    rows: list[Row] = []
    breakdown.kernels("cpu", rows.append, TINY, 2)
    assert rows[0]["us"] == max(row["us"] for row in rows) > 0
    assert rows[0]["kernel"] in breakdown.render(read(rows))


def test_the_contract_is_of_tests_that_there_are() -> None:
    for test in contract._TESTS:
        file, _, name = test.partition("::")
        assert f"def {name}(" in (ROOT / "tests" / file).read_text() or not name


def test_gradients_are_asked_for_on_the_device_of_the_weights() -> None:
    """By tensors without values, which do not mix with those of the CPU."""
    parts = (part.to("meta") for part in sublayers.CLASSIC.drawn(2, 3, torch.float32))
    parts = sublayers.outcome("ffn", eager, sublayers.CLASSIC, *parts)
    assert {part.device.type for part in parts} == {"meta"}


def test_outcomes_of_the_contracts_tests_are_kept() -> None:
    rows: list[Row] = []
    plugin = contract._Outcomes(rows.append)
    for when, outcome in (("setup", "passed"), ("call", "passed"), ("teardown", "failed")):
        plugin.pytest_runtest_logreport(
            pytest.TestReport(
                nodeid="tests/test_on_a_gpu.py::test_bits",
                location=("", 0, ""),
                keywords={},
                outcome=outcome,
                longrepr=None,
                when=when,
                duration=1.5,
            )
        )
    assert [row["outcome"] for row in rows] == ["passed", "failed"]
    assert "failed: test_bits" in contract.render(read(rows))


def test_a_report_is_compared_with_that_of_the_cpu() -> None:
    """A cell in which half of the seeds solve is one that solves; one that is missing agrees with
    nothing.
    """
    reference = json.loads((REFERENCE / "quick" / "report.json").read_text())
    cells = [{**cell, "solved": cell["seeds"] / 2} for cell in reference["cells"]]
    solving = sum(2 * cell["solved"] >= cell["seeds"] for cell in reference["cells"])
    assert 0 < solving < len(cells)
    assert answer.agreeing({"cells": cells}, reference) == solving
    assert answer.agreeing({"cells": []}, reference) == 0
    row = {"study": "quick", "workers": 2, "seconds": 9.0, "cells": 16, "agreeing": 15}
    assert "15 of 16" in answer.render_workers(read([row]))


def test_every_target_is_decided_by_what_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures by which four targets are just reached and two are not."""
    monkeypatch.setattr(targets, "cpu_core", lambda: 1.21e-3)
    case = {"case": str(steps.COPY), "members": steps.FULL}
    measured = {
        "torch": [{**case, "compiled": False, "precision": "fp32", "us": 40.0}],
        "kernels": [
            {**case, "compiled": True, "precision": "fp32", "us": 12.0},
            {**case, "compiled": True, "precision": "tf32", "us": 6.0},
            {**case, "compiled": True, "precision": "tf32", "us": 1.0, "case": "another"},
        ],
        "script": [{"peer": "script", "precision": "fp32", "members": 1, "us": 600.0}],
        "jax": [
            {"peer": "jax", "precision": "fp32", "members": 256, "us": 35.9},
            {"peer": "jax", "precision": "tf32", "members": 256, "us": 99.0},
        ],
        "quick": [{"study": "quick", "seconds": 9.0}, {"study": "quick", "seconds": 20.1}],
    }
    shown = targets.render({part: pd.DataFrame(rows) for part, rows in measured.items()})
    reached = [not line.endswith("not reached") for line in shown.splitlines()[4:10]]
    assert reached == [True, True, True, True, False, False]
    assert targets.render({}).count("not measured") == 6


def test_a_cpu_core_is_that_of_the_committed_benchmark() -> None:
    """Some milliseconds: some thousand members a second would be another processor's."""
    assert 1e-3 < targets.cpu_core() < 1e-2


def read(rows: list[Any]) -> pd.DataFrame:
    """Rows as a table that was written and read."""
    file = io.StringIO()
    record = to_csv(file)
    for row in rows:
        record(row)
    return pd.read_csv(io.StringIO(file.getvalue()))
