"""What the layers of a report's cells looked like when their members were last looked into."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd
from rich.console import RenderableType
from rich.text import Text

from resformer.reporting.analysis.groups import Group
from resformer.reporting.text.words import named
from resformer.reporting.views.probes import (
    ENDS,
    HEADINGS,
    cell,
    columned,
    ends,
    medians,
    short,
    verdict,
)
from resformer.results.members import Findings
from resformer.stats.health import Health
from resformer.store.checks import Damaged

Json = dict[str, Any]

_MEASURES = slice(4, None)
"""Of the columns of `layers.parquet`: behind seed, learning rate, step and layer."""
_MOST_ROWS = 20
_NO_ROOM = ("relative_residual", "branch_share", "ffn_first")
"""In 80 columns; the first is mostly the verdict's number."""
_NUMBERS = {name: heading for name, heading in HEADINGS.items() if name not in _NO_ROOM}
LEGEND = f"{ENDS}. Medians over seeds"


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
    one = verdict(stack)
    return {
        "seeds": len(members),
        "solved": int((members["outcome"] == "solved").sum()),
        "step": float(last.drop_duplicates(each)["step"].median()),
        "health": one.word,
        "measure": one.measure,
        **{name: _finite(number) for name, number in {"value": one.value, **ends(stack)}.items()},
    }


def picture(rows: Sequence[Json], axes: Sequence[str]) -> list[RenderableType]:
    """The cells of which fewer than half solved beside the others; `axes` tell them apart."""
    if not rows:
        return []
    parts: list[RenderableType] = [Text("")]
    for title, some in _beside(rows):
        table = columned(title, ("depth", "verdict", *_NUMBERS.values()))
        for row in some[:_MOST_ROWS]:
            one = Health(row["health"], row["measure"], _number(row["value"]))
            numbers = (short(_number(row[number])) for number in _NUMBERS)
            table.add_row(Text(_name(row, axes)), Text(str(row["depth"])), cell(one), *numbers)
        parts.append(table)
        if len(some) > _MOST_ROWS:
            parts.append(Text(f"{len(some) - _MOST_ROWS} more cells: --format json has all"))
    return [*parts, Text(LEGEND, style="dim")]


def listings(rows: Sequence[Json], axes: Sequence[str]) -> list[tuple[str, list[list[str]]]]:
    """The same of all cells and with all numbers, as text: titles, and rows of which the first is
    the head.
    """
    head = ["", "depth", "verdict", "decided by", *HEADINGS.values()]
    return [
        (
            title,
            [
                head,
                *(
                    [*_words(row, axes), *(short(_number(row[number])) for number in HEADINGS)]
                    for row in some
                ),
            ],
        )
        for title, some in _beside(rows)
    ]


def _words(row: Json, axes: Sequence[str]) -> list[str]:
    return [
        _name(row, axes),
        str(row["depth"]),
        row["health"],
        f"{row['measure']} {short(_number(row['value']))}",
    ]


def _name(row: Json, axes: Sequence[str]) -> str:
    """A cell's, but for its depth."""
    return " ".join(named(axis, row[axis]) for axis in axes if axis != "depth") or str(
        row["residual"]
    )


def _beside(rows: Sequence[Json]) -> Iterator[tuple[str, list[Json]]]:
    """The cells of which fewer than half solved, then the others, if there are any: a title, the
    deepest first.
    """
    for title, wanted in (("not solved", False), ("solved", True)):
        some = [row for row in rows if (2 * row["solved"] >= row["seeds"]) == wanted]
        if some:
            yield (
                f"inside, at the last look: {title}",
                sorted(some, key=lambda row: -int(row["depth"])),
            )


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None


def _number(found: float | None) -> float:
    return math.nan if found is None else found
