"""Time of a step by its parts."""

import time

import pandas as pd
import torch
from torch.profiler import ProfilerActivity, profile

from lib.bench.cases import Case
from lib.bench.tables import number, table
from resformer.numerics.process import configure_worker
from resformer.training.population import Population

_CASES = [Case("S", "sort", depth=8), Case("S", "copy", depth=8)]
_STEPS = 32
_PARTS = {
    "attention": ("_Attend", "_AttendBackward"),
    "FFN": ("_Ffn", "_FfnBackward"),
    "norm": ("_Norm", "_NormBackward"),
    "residual additions": ("aten::add", "aten::add_"),
    "joining the gradients": ("aten::cat",),
}


def measure(repeats: int) -> pd.DataFrame:
    """A row per case, part and repetition:
    share of the step's wall time, with torch's profiler on.
    """
    configure_worker()
    return pd.DataFrame(
        [row for case in _CASES for n in range(repeats) for row in _shares(case, n)]
    )


def _shares(case: Case, repetition: int) -> list[dict[str, object]]:
    population = Population(case.shape(_STEPS), case.members(case.stack), dtype=torch.float32)
    for _ in range(_STEPS):
        population.advance()
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        began = time.perf_counter()
        for _ in range(_STEPS):
            population.advance()
        seconds = time.perf_counter() - began
    spent = {event.key: event.self_cpu_time_total / 1e6 for event in profiled.key_averages()}
    shares = {
        part: sum(spent.get(key, 0.0) for key in keys) / seconds for part, keys in _PARTS.items()
    }
    shares["rest: optimiser, head, loss, data, Python"] = 1.0 - sum(shares.values())
    name = f"{case.task}, {case.tokens} tokens"
    return [
        {"case": name, "part": part, "repetition": repetition, "share": share}
        for part, share in shares.items()
    ]


def render(rows: pd.DataFrame) -> str:
    """Shares by case."""
    shares = 100 * rows.groupby(["part", "case"], sort=False)["share"].median().unstack("case")
    lines = [[str(part), *map(number, row)] for part, row in shares.iterrows()]
    return table(
        "Where the time of a step at S depth 8 goes, %", ["", *map(str, shares.columns)], lines
    )
