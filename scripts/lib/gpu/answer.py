"""Time to answer on a GPU: studies from the command to their report."""

import os
import subprocess
import sys
import tempfile
import time

import pandas as pd

from lib.bench.tables import number, table
from lib.gpu.record import Record

_CACHES = ("XDG_CACHE_HOME", "TRITON_CACHE_DIR", "CUDA_CACHE_PATH")
"""Variables of folders in which compiled kernels stay for later commands."""


def measure(device: str, record: Record) -> None:
    """A row per command: the quick study with empty caches, then again, and the study sort."""
    with tempfile.TemporaryDirectory() as caches:
        for study, when in (("quick", "cold"), ("sort", "warm"), ("quick", "warm")):
            seconds = sweep(device, "--study", study, caches=caches)
            record({"study": study, "when": when, "seconds": seconds})


def measure_workers(device: str, record: Record) -> None:
    """A row per number of workers that share the GPU: the quick study with warm caches."""
    for workers in (2, 4):
        seconds = sweep(device, "--study", "quick", f"engine.workers={workers}")
        record({"study": "quick", "workers": workers, "seconds": seconds})


def sweep(device: str, *words: str, caches: str | None = None) -> float:
    """Seconds of `resformer sweep` with these words, in an empty results folder; its report goes to
    stderr. SystemExit if it fails.
    """
    environment = {} if caches is None else {name: f"{caches}/{name}" for name in _CACHES}
    with tempfile.TemporaryDirectory() as results:
        command = [sys.executable, "-P", "-m", "resformer", "sweep", *words]
        began = time.perf_counter()
        done = subprocess.run(
            [*command, f"device={device}", "--results", results],
            check=False,
            stdout=sys.stderr,
            env={**os.environ, **environment},
        )
        seconds = time.perf_counter() - began
    if done.returncode:
        sys.exit(f"resformer sweep {' '.join(words)}: exit code {done.returncode}")
    return seconds


def render(rows: pd.DataFrame) -> str:
    """A line per command."""
    lines = [[row["study"], row["when"], number(row["seconds"])] for row in rows.to_dict("records")]
    note = "cold: no compiled kernel is there yet."
    return table("Seconds from the command to the report", ["study", "caches", "s"], lines, [note])


def render_workers(rows: pd.DataFrame) -> str:
    """A line per number of workers."""
    lines = [
        [row["study"], str(row["workers"]), number(row["seconds"])]
        for row in rows.to_dict("records")
    ]
    title = "Seconds from the command to the report, by workers that share the GPU"
    return table(title, ["study", "workers", "s"], lines)
