"""Time to answer on a GPU: studies from the command to their report, and their cells against the
CPU's.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from typing import Any

import pandas as pd

from lib.bench.tables import number, table
from lib.facts import REFERENCE
from lib.gpu.record import Record, Row

_CACHES = ("XDG_CACHE_HOME", "TRITON_CACHE_DIR", "CUDA_CACHE_PATH")
"""Variables of folders in which compiled kernels stay for later commands."""
_KEYS = ("task", "depth", "residual", "norm")
_RESFORMER = (sys.executable, "-P", "-m", "resformer")

Json = dict[str, Any]


def measure(device: str, record: Record) -> None:
    """A row per command: the quick study with empty caches, then the study sort."""
    with tempfile.TemporaryDirectory() as caches:
        environment = {name: f"{caches}/{name}" for name in _CACHES}
        for study, when in (("quick", "cold"), ("sort", "warm")):
            record({"study": study, "when": when, **swept(device, study, [], environment)})


def measure_workers(device: str, record: Record) -> None:
    """A row per number of workers that share the GPU, by default one: the quick study with warm
    caches, which a sweep before them fills.
    """
    swept(device, "quick", [], {})
    for workers in (1, 2, 4):
        made = swept(device, "quick", [f"engine.workers={workers}"], {})
        record({"study": "quick", "workers": workers, **made})


def swept(device: str, study: str, overrides: list[str], environment: dict[str, str]) -> Row:
    """Run a study in an empty results folder: seconds from the command to its report, which goes to
    stderr, and how many of its cells are as on the CPU. SystemExit if it fails.
    """
    with tempfile.TemporaryDirectory() as results:
        words = ["sweep", "--study", study, f"device={device}", *overrides, "--results", results]
        began = time.perf_counter()
        done = subprocess.run(
            [*_RESFORMER, *words],
            check=False,
            stdout=sys.stderr,
            env={**os.environ, **environment},
        )
        seconds = time.perf_counter() - began
        if done.returncode:
            sys.exit(f"resformer {' '.join(words)}: exit code {done.returncode}")
        show = [*_RESFORMER, "report", study, "--format", "json", "--results", results]
        report = json.loads(subprocess.run(show, check=True, stdout=subprocess.PIPE).stdout)
    reference = json.loads((REFERENCE / study / "report.json").read_text())
    cells = len(reference["cells"])
    return {"seconds": seconds, "cells": cells, "agreeing": agreeing(report, reference)}


def agreeing(report: Json, reference: Json) -> int:
    """Number of cells of the reference of which this report says alike whether at least half of the
    seeds solved.
    """
    here = {_key(cell): _solves(cell) for cell in report["cells"]}
    return sum(here.get(_key(cell)) == _solves(cell) for cell in reference["cells"])


def _key(cell: Json) -> tuple[Any, ...]:
    return tuple(cell[key] for key in _KEYS)


def _solves(cell: Json) -> bool:
    return bool(2 * cell["solved"] >= cell["seeds"])


def render(rows: pd.DataFrame) -> str:
    """A line per command."""
    return _table("Seconds from the command to the report", rows, "when", "caches")


def render_workers(rows: pd.DataFrame) -> str:
    """A line per number of workers."""
    title = "Seconds from the command to the report, by workers that share the GPU"
    return _table(title, rows, "workers", "workers")


def _table(title: str, rows: pd.DataFrame, column: str, head: str) -> str:
    lines = [
        [
            row["study"],
            str(row[column]),
            number(row["seconds"]),
            f"{row['agreeing']} of {row['cells']}",
        ]
        for row in rows.to_dict("records")
    ]
    note = (
        "cold: no compiled kernel is there yet. A cell is as on the CPU if at least half of its "
        "seeds solve in both,\nor in neither; the CPU's are those of results/reference."
    )
    return table(title, ["study", head, "s", "cells as on the CPU"], lines, [note])
