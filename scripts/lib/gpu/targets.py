"""Targets on an H100 or H200, beside the figures that were measured."""

import json
import math
from collections.abc import Mapping

import pandas as pd

from lib.bench.limit import shares
from lib.bench.tables import number, table
from lib.facts import REFERENCE
from lib.gpu.steps import COPY, FULL

_CPU = REFERENCE / "bench"
_CPU_CASE = f"{COPY.name}, {COPY.task}, {COPY.tokens} tokens"
_MOST_US = {"fp32": 12.0, "tf32": 6.0}
_LEAST_CPU, _LEAST_SCRIPT, _LEAST_JAX = 100.0, 50.0, 3.0
_MOST_SECONDS = 20.0


def render(measured: Mapping[str, pd.DataFrame]) -> str:
    """A row per target; without the figure if a part that decides it was not measured."""
    full = {precision: _ours(measured, precision, FULL) for precision in _MOST_US}
    best = _ours(measured, "fp32", None)
    script, jax = (_peer(measured, part) for part in ("script", "jax"))
    core = 1e6 * cpu_core()
    quick = measured.get("quick", pd.DataFrame(columns=["study", "seconds"]))
    lines = [
        _most(f"{precision}, a stack of {FULL:,}, µs per member-step", most, full[precision])
        for precision, most in _MOST_US.items()
    ]
    lines += [
        _least("fp32: × one CPU core", _LEAST_CPU, core / best),
        _least("fp32: × script, per member", _LEAST_SCRIPT, script / best),
        _least("fp32: × JAX", _LEAST_JAX, jax / best),
        _most(
            "the study quick, from command to report, s",
            _MOST_SECONDS,
            quick.loc[quick["study"] == "quick", "seconds"].max(),
        ),
    ]
    note = (
        f"Wanted of an H100 or H200. {COPY}; by the kernels\n"
        "or by torch's operations, whichever is faster; × from the fastest stack of each. One CPU "
        f"core takes {number(core)} µs:\nresults/reference/bench/limit.csv, {_processor()}."
    )
    return table("Wanted and found", ["", "wanted", "found", ""], lines, [note])


def cpu_core() -> float:
    """Seconds per member-step of one CPU core, as scripts/bench measured it."""
    cost = shares(pd.read_csv(_CPU / "limit.csv"))
    chosen = (cost["case"] == _CPU_CASE) & (cost["members"] > 1) & (cost["build"] == "")
    return float(cost.loc[chosen, "ms"].iloc[0]) / 1000


def _processor() -> str:
    machine = json.loads((_CPU / "facts.json").read_text())["limit"]["machine"]
    return str(machine["processor"])


def _ours(measured: Mapping[str, pd.DataFrame], precision: str, members: int | None) -> float:
    """Least median of microseconds per member-step; NaN if there is none."""
    parts = [measured[name] for name in ("kernels", "torch") if name in measured]
    if not parts:
        return math.nan
    rows = pd.concat(parts)
    chosen = (rows["case"] == str(COPY)) & (rows["precision"] == precision)
    if members is not None:
        chosen &= rows["members"] == members
    return _least_median(rows[chosen], ["compiled", "members"])


def _peer(measured: Mapping[str, pd.DataFrame], part: str) -> float:
    """Likewise of a peer in fp32."""
    if part not in measured:
        return math.nan
    rows = measured[part]
    return _least_median(rows[rows["precision"] == "fp32"], ["peer", "members"])


def _least_median(rows: pd.DataFrame, by: list[str]) -> float:
    return float(rows.groupby(by)["us"].median().min())


def _most(name: str, most: float, value: float) -> list[str]:
    return [name, f"≤ {most:.0f}", *_verdict(value, reached=value <= most)]


def _least(name: str, least: float, value: float) -> list[str]:
    return [name, f"≥ {least:.0f}", *_verdict(value, reached=value >= least)]


def _verdict(value: float, *, reached: bool) -> list[str]:
    if math.isnan(value):
        return ["", "not measured"]
    return [number(value), "" if reached else "not reached"]
