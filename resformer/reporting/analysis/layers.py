"""What the layers of a report's cells looked like when their members were last looked into."""

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from resformer.reporting.analysis.groups import Group
from resformer.reporting.analysis.probes import ends, medians, stack_health
from resformer.results.members import Findings
from resformer.store.checks import Damaged

Json = dict[str, Any]

_MEASURES = slice(4, None)
"""Of the columns of `layers.parquet`: behind seed, learning rate, step and layer."""


def inside(findings: Findings, found: Sequence[Group]) -> list[Json]:
    """A row per cell whose members were looked into: its key, how many solved, the verdict and the
    numbers.

    Medians over its seeds, each at the learning rate it is scored at and at its own last look;
    `step` is their median. What is damaged is named among the findings' problems.
    """
    if "probe.every" not in findings.members:
        return []
    looked_into = findings.members[findings.members["probe.every"].notna()].set_index(
        ["job", "seed", "lr"]
    )
    if looked_into.empty:
        return []
    rows = []
    for group in found:
        scored = [
            tuple(group.columns[name][row] for name in ("job", "seed", "lr")) for row in group.rows
        ]
        members = looked_into.loc[looked_into.index.intersection(scored)].reset_index()
        if not members.empty:
            try:
                rows.append({**group.key, **_looked(findings, members)})
            except Damaged as damage:
                job = str(members["job"].iloc[0])
                findings.problems["damaged"].append(
                    {"study": group.key["study"], "job": job, "reason": str(damage)}
                )
    return rows


def _looked(findings: Findings, members: pd.DataFrame) -> Json:
    table = findings.read_layers(members)
    each = ["job", "seed", "lr"]
    last = table[table["step"] == table.groupby(each)["step"].transform("max")]
    measures = [name for name in last.columns[_MEASURES] if name not in ("study", "job")]
    stack = medians(last, measures)
    one = stack_health(stack)
    return {
        "seeds": len(members),
        "solved": int((members["outcome"] == "solved").sum()),
        "step": float(last.drop_duplicates(each)["step"].median()),
        "health": one.word,
        "measure": one.measure,
        **{name: _finite(number) for name, number in {"value": one.value, **ends(stack)}.items()},
    }


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None
