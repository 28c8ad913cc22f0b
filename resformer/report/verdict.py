"""One sentence, made of the numbers: what residual connections did, and what they cost."""

import statistics
from collections.abc import Sequence
from typing import Any

from resformer.report.summary import BASELINE

Json = dict[str, Any]

RESIDUAL = "add"


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
    deepest = max(cell["depth"] for cell in summary["cells"] if cell["task"] == task)

    def text(limit: int | None) -> str:
        if limit is None:
            return "at no depth"
        return f"to depth {limit}{', the deepest tried' if limit == deepest else ''}"

    by_norm = {row["norm"]: text(row["depth_limit"]) for row in rows}
    if len(rows) > len(by_norm):
        limits = sorted({row["depth_limit"] or 0 for row in rows})
        return f"to depth {limits[0]} to {limits[-1]}, depending on the other settings"
    if len(set(by_norm.values())) == 1:
        return next(iter(by_norm.values()))
    return " and ".join(f"{reach} ({norm}-norm)" for norm, reach in by_norm.items())


def _cost(cells: Sequence[Json]) -> str:
    """Parameters, FLOPs and time per step of the residual connection against none, over cells alike in all else."""
    pairs = []
    for cell in cells:
        if cell["residual"] == RESIDUAL:
            axes = list(cell)[: list(cell).index("seeds")]
            wanted = {name: cell[name] for name in axes} | {"residual": BASELINE}
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
