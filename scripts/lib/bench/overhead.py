"""Costs besides training: starting, planning, compiling, evaluating, and what a job costs besides
its steps.
"""

import contextlib
import io
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pandas as pd

from lib.bench.answer import timed
from lib.bench.tables import number, spread, table
from resformer.config import request
from resformer.numerics.process import configure_worker
from resformer.plan import jobs
from resformer.store import study
from resformer.sweep import launch
from resformer.training.loop import Training
from resformer.workers.signals import Stop
from resformer.workers.worker import work

_DEPTHS = (2, 32)
_JOBS = 100
_GRID = [
    "model.depth=range(1,41)",
    "model.width=range(4,204,4)",
    "model.heads=1",
    "member.seed=range(0,5)",
]
"""40 depths x 50 widths x 5 seeds: 10,000 members in 2,000 jobs."""
_TINY = [
    "model.depth=1",
    f"member.seed=range(0,{_JOBS})",
    "engine.stack=1",
    "train.steps=2",
    "train.warmup_steps=0",
    "train.eval_every=1",
]
_STEPS = 200
_EVALUATED = {
    "at the end": f"train.eval_every={_STEPS}",
    "every 10 steps": "train.eval_every=10",
    "by default": "train.eval_every=null",
}
REQUESTS = {
    "plan": _GRID,
    "tiny": _TINY,
    **{
        when: [
            "model.depth=2",
            f"train.steps={_STEPS}",
            "train.stop_when_solved=false",
            "member.seed=range(0,16)",
            word,
        ]
        for when, word in _EVALUATED.items()
    },
}
"""Settings by the name of what is measured."""
_FIRST_STEP = """
import sys, time
began = time.perf_counter()
from resformer.config import request
from resformer.training.population import Population
import torch
[(shape, members)] = request(None, [f"model.depth={sys.argv[1]}"]).shapes
Population(shape, members, dtype=torch.float32).advance()
print(time.perf_counter() - began)
"""


def measure(repeats: int) -> pd.DataFrame:
    """A row per measurement and repetition, in seconds."""
    configure_worker()
    rows: list[dict[str, Any]] = []
    for repetition in range(repeats):
        help_seconds, _ = timed([sys.executable, "-m", "resformer", "--help"])
        seconds_of = {"help": help_seconds, "plan": _plan(), "job": _job()}
        seconds_of |= {f"compile, depth {depth}": _compiling(depth) for depth in _DEPTHS}
        seconds_of |= {f"evaluated {when}": _evaluated(when) for when in _EVALUATED}
        rows += [
            {"what": what, "repetition": repetition, "seconds": seconds}
            for what, seconds in seconds_of.items()
        ]
    return pd.DataFrame(rows)


def _plan() -> float:
    """Seconds to expand 10,000 members to 2,000 jobs and put the plan on disk."""
    with tempfile.TemporaryDirectory() as scratch:
        began = time.perf_counter()
        requested = request("plan", REQUESTS["plan"])
        plan = launch.plan(requested, study.find(Path(scratch), requested.study))
        plan.start([])
        return time.perf_counter() - began


def _job() -> float:
    """Seconds that claiming, recording and committing add to a job, in the worker's own loop."""
    with tempfile.TemporaryDirectory() as scratch:
        requested = request("tiny", REQUESTS["tiny"])
        plan = launch.plan(requested, study.find(Path(scratch), requested.study))
        assignment = plan.start([])
        began = time.perf_counter()
        with contextlib.redirect_stderr(io.StringIO()):
            work(
                assignment,
                worker=0,
                workers=1,
                emit=lambda event: None,
                stop=Stop(lambda: False),
            )
        middle = time.perf_counter()
        for planned in plan.unfinished.values():
            job = jobs.from_json(planned)
            Training(job.shape, job.members).run()
        return ((middle - began) - (time.perf_counter() - middle)) / _JOBS


def _compiling(depth: int) -> float:
    """Seconds by which the first step is later where nothing was compiled before."""
    with tempfile.TemporaryDirectory() as cache:
        words = [sys.executable, "-c", _FIRST_STEP, str(depth)]
        cold, warm = (float(timed(words, {"XDG_CACHE_HOME": cache})[1]) for _ in range(2))
    return cold - warm


def _evaluated(when: str) -> float:
    """Seconds of the first steps of a job of 16 at depth 2, where most of quick's members solve."""
    [(shape, members)] = request(None, REQUESTS[when]).shapes
    began = time.perf_counter()
    Training(shape, members).run()
    return time.perf_counter() - began


def render(rows: pd.DataFrame) -> str:
    """Medians, and how compile time grows with depth."""
    seconds = rows.set_index(["what", "repetition"])["seconds"].unstack("what")
    names = {
        "help": "resformer --help",
        "plan": "expand and freeze 10,000 members in 2,000 jobs",
        "job": "per job, besides its training: start, claim, commit",
        **{f"compile, depth {depth}": f"compile, then train at depth {depth}" for depth in _DEPTHS},
        **{f"evaluated {when}": f"{_STEPS} steps of 16, evaluated {when}" for when in _EVALUATED},
    }
    lines = [
        [
            name,
            f"{seconds[what].median():.3f}",
            f"{seconds[what].min():.3f} – {seconds[what].max():.3f}",
        ]
        for what, name in names.items()
    ]
    shallow, deep = (seconds[f"compile, depth {depth}"] for depth in _DEPTHS)
    ratios = deep / shallow
    note = (
        f"Compile time at depth {_DEPTHS[1]} is {number(ratios.median())} times that at depth "
        f"{_DEPTHS[0]} ({spread(ratios.min(), ratios.max())}): the kernels know no depth."
    )
    dense, coarse, never = (
        seconds[f"evaluated {when}"] for when in ("by default", "every 10 steps", "at the end")
    )
    cost = [
        f"{number((dense / other).median())} times {what} "
        f"({spread((dense / other).min(), (dense / other).max())})"
        for other, what in ((coarse, "those evaluated every 10"), (never, "those without"))
    ]
    evaluated = f"{_STEPS} steps with the default evaluations take {', '.join(cost)}."
    notes = [note, evaluated]
    return table("What is not training, seconds", ["", "median", "range"], lines, notes)
