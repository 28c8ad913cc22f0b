"""A sweep before it runs: its grid, with parameters, FLOPs and time."""

from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from resformer.report.progress import clock, counted
from resformer.report.summary import shape_settings

Json = dict[str, Any]

_SHORT = {"task": "task", "model.depth": "depth", "model.residual": "residual", "model.norm": "norm"}


def preview(
    name: str, jobs: Sequence[Json], swept: Sequence[str], to_run: int, workers: int, seconds: float
) -> RenderableType:
    """The table of shapes and the totals of a study's jobs, of which `to_run` are unfinished."""
    axes = list(dict.fromkeys(["task", "depth", "residual", "norm", *(_SHORT.get(key, key) for key in swept)]))
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1))
    for axis in axes:
        if not axis.startswith("member."):
            table.add_column(axis, overflow="fold")
    for heading in ("members", "parameters", "MFLOPs/step", "TFLOPs"):
        table.add_column(heading, justify="right", overflow="fold")
    rows: dict[tuple[str, ...], list[int | float]] = {}
    for job in jobs:
        shape = shape_settings(job)
        key = tuple(str(shape.get(axis, "")) for axis in axes if not axis.startswith("member."))
        row = rows.setdefault(key, [0, job["parameters"], job["flops_per_step"] / 1e6, 0.0])
        row[0] += len(job["members"])
        row[3] += _flops(job) / 1e12
    for key, (members, parameters, flops, total) in rows.items():
        table.add_row(*key, f"{members}", f"{parameters:,}", f"{flops:,.1f}", f"{total:,.2f}")
    count = sum(len(job["members"]) for job in jobs)
    total = sum(map(_flops, jobs)) / 1e12
    told = (
        f"{name}: {counted(count, 'member')} in {counted(len(jobs), 'job')}, {counted(to_run, 'job')} to run; "
        f"{total:,.1f} TFLOPs in matrix products if every member uses up its budget: "
        f"at most about {clock(seconds)} with {counted(workers, 'worker')}"
    )
    return Group(table, Text(told))


def _flops(job: Json) -> float:
    return float(len(job["members"]) * job["flops_per_step"] * job["shape"]["train"]["steps"])
