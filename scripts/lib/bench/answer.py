"""Time to answer: the quick study from a cold start to its report, against a script per run."""

import math
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd

from lib.bench.tables import number, table
from resformer.model.shape import Member, Shape
from resformer.plan import jobs
from resformer.store.study import Study

_STUDY = "quick"
_SCRIPT = str(Path(__file__).parent / "script.py")
_SAMPLE_SEED = 0
_STARTS = 5


def measure() -> pd.DataFrame:
    """A row per process: the study first and last, the script without a step, and one run of every
    cell of the study.

    A run's seed and learning rate are drawn at random among those that the study trained in its
    cell; `runs` is how many runs it stands for.
    """
    draw = random.Random(_SAMPLE_SEED)
    starts = [
        {"what": "start", "seconds": timed([sys.executable, _SCRIPT, "--steps=0"])[0]}
        for _ in range(_STARTS)
    ]
    before, trained = _study()
    runs = [
        _run(shape, draw.choice(members), len(members))
        for shape, members in sorted(trained.items(), key=lambda cell: str(cell[0]))
    ]
    return pd.DataFrame([before, *starts, *runs, _study()[0]])


def _study() -> tuple[dict[str, Any], dict[Shape, list[Member]]]:
    """The study with empty folders for results and for whatever is cached; its members by shape."""
    with tempfile.TemporaryDirectory() as scratch:
        results = f"{scratch}/results"
        sweep = ["-m", "resformer", "sweep", "--study", _STUDY, "--results", results]
        words = [sys.executable, *sweep]
        seconds, _ = timed(words, {"XDG_CACHE_HOME": f"{scratch}/cache", "TMPDIR": scratch})
        trained: dict[Shape, list[Member]] = {}
        for planned in Study(Path(results) / _STUDY).planned().values():
            job = jobs.from_json(planned)
            trained.setdefault(job.shape, []).extend(job.members)
        return {"what": "resformer", "seconds": seconds}, trained


def _run(shape: Shape, member: Member, count: int) -> dict[str, Any]:
    cell = {
        "depth": shape.model.depth,
        "residual": str(type(shape.residual).__name__ == "Add").lower(),
        "norm": shape.model.norm,
    }
    run = {**cell, "lr": member.lr, "seed": member.seed, "steps": shape.train.steps}
    words = [sys.executable, _SCRIPT, *(f"--{name}={value}" for name, value in run.items())]
    seconds, last_line = timed(words)
    return {"what": "script", **run, "runs": count, "seconds": seconds, "ended": last_line}


def timed(
    words: list[str], environment: Mapping[str, str] = MappingProxyType({})
) -> tuple[float, str]:
    """Seconds from the process's start to its end, and the last line it printed."""
    began = time.perf_counter()
    done = subprocess.run(
        words, stdout=subprocess.PIPE, text=True, check=True, env={**os.environ, **environment}
    )
    return time.perf_counter() - began, done.stdout.rstrip().rpartition("\n")[2]


def render(rows: pd.DataFrame) -> str:
    """Both times, and what the estimate rests on."""
    studies, starts, runs = (
        rows[rows["what"] == what] for what in ("resformer", "start", "script")
    )
    total, count = (runs["runs"] * runs["seconds"]).sum(), int(runs["runs"].sum())
    ours = studies["seconds"].mean()
    cells = [
        [
            f"script, a process per run, {count} runs",
            f"{number(total)} ± {number(_error(runs))}",
            "",
        ],
        *(
            [f"resformer, cold start to report, {when}", number(s), number(total / s)]
            for when, s in zip(("first", "last"), studies["seconds"], strict=True)
        ),
        ["resformer, mean", number(ours), number(total / ours)],
    ]
    notes = [
        f"The script's time is that of {len(runs)} runs, one drawn at random in every cell of the "
        "study, each times",
        "the cell's runs; ± a standard error (at most: cells that differ in norm only are taken "
        "for alike).",
        f"Starting the script, torch's import included, is {number(starts['seconds'].mean())} s of "
        "each run.",
    ]
    return table(f"Time to answer: the study {_STUDY}, seconds", ["", "seconds", "×"], cells, notes)


def _error(runs: pd.DataFrame) -> float:
    """Standard error of the total in seconds, by collapsed strata (Cochran 1977, Sampling
    Techniques, 5A.12).

    One draw per cell says nothing of the spread within it, so cells that differ in norm only are
    paired; their true difference counts as spread, hence at most this.
    """
    scaled = runs.assign(scaled=runs["runs"] * runs["seconds"])
    pairs = scaled.pivot(index=["depth", "residual"], columns="norm", values="scaled")
    return math.sqrt(((pairs["post"] - pairs["pre"]) ** 2).sum())
