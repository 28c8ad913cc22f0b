"""One sentence, made of the numbers: what residual connections did, and what they cost."""

import statistics
from collections.abc import Sequence
from typing import Any

from resformer.reporting.summary import BASELINE, depths_of, key_of

Json = dict[str, Any]

RESIDUAL = "add"
_NORMS = {"none": "no norm", "pre": "pre-norm", "post": "post-norm"}


def verdict(summary: Json) -> str:
    """What the study showed within its budget and learning rates, in one sentence per task."""
    tasks = dict.fromkeys(cell["task"] for cell in summary["cells"])
    return " ".join(_sentence(summary, task) for task in tasks)


def _sentence(summary: Json, task: str) -> str:
    cells = [cell for cell in summary["cells"] if cell["task"] == task]
    rates = sorted({row["lr"] for row in summary["rates"] if row["task"] == task})
    steps = summary["settings"].get("train.steps")
    budget = f"{steps} steps" if steps is not None else "each cell's budget"
    within = f"Within {budget} and {'these learning rates' if len(rates) > 1 else f'learning rate {rates[0]:g}'}"
    schemes = sorted({cell["residual"] for cell in cells}, key=lambda name: (name != RESIDUAL, name == BASELINE, name))
    by_scheme = {scheme: _reach(summary, task, scheme) for scheme in schemes}
    if len(by_scheme) > 1 and len(set(by_scheme.values())) == 1:
        reached = f"{by_scheme[schemes[0]]}, {' and '.join(_named(scheme, schemes) for scheme in schemes)} alike"
    else:
        reached = ", ".join(f"{_named(scheme, schemes)} {reach}" for scheme, reach in by_scheme.items())
    cost = _cost(cells) if {RESIDUAL, BASELINE} <= set(schemes) else ""
    return f"{within}, {task} is solved {reached}{cost}."


def _named(scheme: str, schemes: Sequence[str]) -> str:
    without = "without them" if RESIDUAL in schemes else "without residual connections"
    return {RESIDUAL: "with residual connections", BASELINE: without}.get(scheme, f"with {scheme}")


def _reach(summary: Json, task: str, scheme: str) -> str:
    """How deep a scheme goes, by norm placement where they differ."""
    rows = [row for row in summary["limits"] if row["task"] == task and row["residual"] == scheme]
    reaches = [_depths(row, summary["cells"]) for row in rows]
    if len(set(reaches)) == 1:
        return reaches[0]
    if len({row["norm"] for row in rows}) < len(rows):
        found = [row["depth_limit"] for row in rows]
        deepest = max(limit for limit in found if limit is not None)
        shallowest = "at no depth" if None in found else f"to depth {min(found)}"
        return f"{shallowest} at the least and to depth {deepest} at the most, depending on norm and other settings"
    return " and ".join(
        f"{reach} ({_NORMS.get(row['norm'], row['norm'])})" for row, reach in zip(rows, reaches, strict=True)
    )


def _depths(row: Json, cells: Sequence[Json]) -> str:
    """The unbroken run of depths that a column solves."""
    floor, limit, tried = row["depth_floor"], row["depth_limit"], depths_of(row, cells)
    if limit is None:
        return "at no depth"
    reach = f"to depth {limit}" if floor == tried[0] else f"from depth {floor} to {limit}"
    return f"{reach}, the deepest tried" if limit == tried[-1] else reach


def _cost(cells: Sequence[Json]) -> str:
    """Parameters, FLOPs and time per step of the residual connection against none, over cells alike in all else."""
    pairs = []
    for cell in cells:
        if cell["residual"] == RESIDUAL:
            wanted = key_of(cell) | {"residual": BASELINE}
            pairs += [(cell, other) for other in cells if all(other[name] == value for name, value in wanted.items())]
    if not pairs:
        return ""
    more = {
        name: {with_[name] - without[name] for with_, without in pairs} for name in ("parameters", "flops_per_step")
    }
    parameters = "no parameters" if more["parameters"] == {0} else f"up to {max(more['parameters']):,} parameters"
    flops = "no matrix products" if more["flops_per_step"] == {0} else f"{max(more['flops_per_step']):,} FLOPs per step"
    times = [
        with_["ms_per_member_step"] / without["ms_per_member_step"]
        for with_, without in pairs
        if with_["ms_per_member_step"] and without["ms_per_member_step"]
    ]
    time = f"; a step took {statistics.median(times):.2f} times as long (median over cells)" if times else ""
    return f"; the residual connections cost {parameters} and {flops} (FLOPs){time}"
