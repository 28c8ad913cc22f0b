"""Time of a step on the device by its kernels."""

import pandas as pd
from torch.profiler import ProfilerActivity, profile

from lib.bench.cases import Case
from lib.bench.tables import number, table
from lib.gpu.clock import synchronize
from lib.gpu.record import Record
from lib.gpu.steps import COPY, population, way

_MEMBERS, _STEPS = 256, 16
_MOST_SHOWN, _MOST_LETTERS = 20, 70


def measure(device: str, record: Record) -> None:
    """A row per kernel of a step."""
    kernels(device, record, COPY, _MEMBERS)


def kernels(device: str, record: Record, case: Case, members: int) -> None:
    """A row per kernel, on the CPU per operation: calls and microseconds of a step of all members,
    the longest first.
    """
    trained = population(device, case, members)
    for _ in range(_STEPS):
        trained.advance()
    synchronize(device)
    on_gpu = device == "cuda"
    with profile(activities=[ProfilerActivity.CUDA if on_gpu else ProfilerActivity.CPU]) as done:
        for _ in range(_STEPS):
            trained.advance()
        synchronize(device)
    rows = [
        {
            "compiled": trained.shape.train.compile,
            "kernel": event.key,
            "calls": event.count / _STEPS,
            "us": (event.self_device_time_total if on_gpu else event.self_cpu_time_total) / _STEPS,
        }
        for event in done.key_averages()
    ]
    for row in sorted(rows, key=lambda row: -row["us"]):
        if row["us"]:
            record(row)


def render(rows: pd.DataFrame) -> str:
    """The kernels that take longest."""
    whole = rows["us"].sum()
    lines = [
        [
            row["kernel"][:_MOST_LETTERS],
            number(row["calls"]),
            number(row["us"]),
            f"{100 * row['us'] / whole:.1f}",
        ]
        for row in rows.head(_MOST_SHOWN).to_dict("records")
    ]
    title = f"{COPY}, {_MEMBERS} members: kernels of a step, {way(rows)}"
    note = f"Of {len(rows)} kernels, {number(whole)} µs in all; torch's profiler."
    return table(title, ["", "calls", "µs", "%"], lines, [note])
