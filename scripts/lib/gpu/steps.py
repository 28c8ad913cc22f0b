"""Microseconds per member-step, over shapes, stack sizes and precisions."""

import math
import sys
from collections.abc import Sequence
from dataclasses import replace

import pandas as pd
import torch

from lib.bench.cases import MEDIUM, Case
from lib.bench.tables import number, spread, table
from lib.gpu.clock import seconds_per_call
from lib.gpu.record import Record, Row
from resformer.numerics.process import release_memory
from resformer.training.population import Population

_SECONDS = 0.1
_BUDGET = 100
"""Steps of a case, as many as it keeps the losses of; it may take more."""
COPY = Case("S", "copy", depth=8)
FULL = 1024
"""Members of the largest stack that a sweep plans for."""
_PRECISIONS = ("fp32", "tf32", "bf16")
_SORT, _SHALLOW = Case("S", "sort", depth=8), Case("S", "copy", depth=2)
_PRE = Case("S", "copy", depth=8, more=("model.norm=pre",))
GRID = (
    *((COPY, precision, FULL) for precision in _PRECISIONS),
    *((COPY, "fp32", members) for members in (256, 64, 16, 1)),
    *((MEDIUM, precision, 256) for precision in _PRECISIONS),
    *((_SORT, precision, FULL) for precision in ("fp32", "tf32")),
    *((case, "fp32", FULL) for case in (_SHALLOW, _PRE)),
    *((COPY, precision, 64) for precision in ("tf32", "bf16")),
)
"""Cases, precisions and members, the most telling first."""
_WAYS = {True: "by the kernels of train.compile=true", False: "by torch's operations"}


def measure(device: str, record: Record, *, compiled: bool) -> None:
    """A row per case, precision, number of members and repetition; SystemExit if none could be
    computed.
    """
    done = False
    for case, precision, members in GRID:
        for row in rows(device, case, precision, members, compiled=compiled):
            record(row)
            done = done or not row["failed"]
    if not done:
        sys.exit("no step could be computed")


def rows(device: str, case: Case, precision: str, members: int, *, compiled: bool) -> list[Row]:
    """A row per repetition; one with the reason if it cannot be computed."""
    settings = (f"train.precision={precision}", f"train.compile={str(compiled).lower()}")
    key = {
        "case": ", ".join([str(case), *case.more]),
        "precision": precision,
        "members": members,
        "compiled": compiled,
    }
    try:
        trained = population(device, replace(case, more=(*case.more, *settings)), members)
        seconds = seconds_per_member_step(device, trained)
    except Exception as error:  # the others can be computed all the same
        reason = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
        return [{**key, "us": math.nan, "tflops": math.nan, "gib": math.nan, "failed": reason}]
    flops = trained.model.flops_per_step(case.batch)
    most = torch.cuda.max_memory_allocated() / 2**30 if device == "cuda" else 0.0
    return [
        {**key, "us": 1e6 * each, "tflops": flops / each / 1e12, "gib": most, "failed": ""}
        for each in seconds
    ]


def population(device: str, case: Case, members: int) -> Population:
    """Members of a case on a device, once the memory of others is released."""
    release_memory()
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    shape = replace(case, device=device).shape(_BUDGET)
    return Population(shape, case.members(members), dtype=torch.float32)


def seconds_per_member_step(device: str, trained: Population) -> list[float]:
    """Seconds per member-step, a number per repetition: steps with the drawing of their data."""
    calls = seconds_per_call(trained.advance, device, _SECONDS)
    return [seconds / len(trained.flat_PN) for seconds in calls]


def is_compiled(device: str, case: Case) -> bool:
    """True if kernels compute a case on a device, which resformer has chosen if the case leaves it
    open.
    """
    return replace(case, device=device).shape(_BUDGET).train.compile


def way(rows: pd.DataFrame) -> str:
    """Words for what computed these rows."""
    return _WAYS[bool(rows["compiled"].iloc[0])]


def render(rows: pd.DataFrame) -> str:
    """A table per case."""
    title = f"Microseconds per member-step, {way(rows)}"
    head = ["members", "precision", "median", "range", "TFLOP/s", "GiB"]
    tables = [
        table(str(case), head, _lines(part)) for case, part in rows.groupby("case", sort=False)
    ]
    reasons = [f"failed: {reason}" for reason in rows["failed"].dropna().unique() if reason]
    return "\n\n".join([title, *tables, *reasons])


def _lines(rows: pd.DataFrame) -> Sequence[Sequence[str]]:
    lines = []
    for (members, precision), part in rows.groupby(["members", "precision"], sort=False):
        key, us = [f"{members:,}", str(precision)], part["us"]
        if us.isna().any():
            lines.append([*key, "failed", "", "", ""])
            continue
        rate, most = number(part["tflops"].median()), number(part["gib"].max())
        lines.append([*key, number(us.median()), spread(us.min(), us.max()), rate, most])
    return lines
