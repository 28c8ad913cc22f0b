"""One sentence per task, made of the numbers: how deep, how sure, and what it costs."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from resformer.reporting.analysis.comparisons import BASELINE, max_permutations
from resformer.reporting.columns import Columns, key_of
from resformer.reporting.text.evidence import evidence
from resformer.reporting.text.words import NORMS

Json = dict[str, Any]

RESIDUAL = "add"
_MANY = 4
"""More schemes than that are grouped by how deep they go."""


def verdicts(summary: Json) -> list[str]:
    """What was shown within its budget and learning rates, and how sure it is: a sentence per study
    and task.
    """
    return [_sentence(part) for part in _parts(summary)]


def _parts(summary: Json) -> list[Json]:
    """The report of each study and task by itself."""
    rows = ("cells", "rates", "limits", "comparisons")
    keys = dict.fromkeys((cell["study"], cell["task"]) for cell in summary["cells"])
    return [
        {
            **summary,
            **{
                name: [row for row in summary[name] if (row["study"], row["task"]) == key]
                for name in rows
            },
            "columns": Columns(
                cell for cell in summary["cells"] if (cell["study"], cell["task"]) == key
            ),
            "named": f"{key[1]} ({key[0]})" if len({study for study, _ in keys}) > 1 else key[1],
            "steps": summary.get("differing", {}).get("train.steps", {}).get(key[0]),
            "tested": sum(
                row["study"] == key[0] and row["p"] is not None for row in summary["comparisons"]
            ),
            "exact_to": max_permutations(
                sum(row["depth"] is None for row in summary["comparisons"])
            ),
        }
        for key in keys
    ]


def _sentence(part: Json) -> str:
    cells = part["cells"]
    rates = sorted({row["lr"] for row in part["rates"]})
    steps = part["settings"].get("train.steps", part["steps"])
    budget = f"{steps} steps" if steps is not None else "each cell's budget"
    within = (
        f"Within {budget} and "
        f"{'these learning rates' if len(rates) > 1 else f'learning rate {rates[0]:g}'}"
    )
    schemes = sorted(
        {cell["residual"] for cell in cells},
        key=lambda name: (name != RESIDUAL, name == BASELINE, name),
    )
    by_scheme = {scheme: _reach(part, scheme) for scheme in schemes}
    reached = (
        "; ".join(_together(by_scheme, part["limits"]))
        if len(schemes) > _MANY
        else ", ".join(_apart(by_scheme))
    )
    sure = evidence(part["comparisons"], part["tested"], part["exact_to"])
    return f"{within}, {part['named']} is solved {reached}{f': {sure}' if sure else ''}."


def _apart(by_scheme: Mapping[str, str]) -> list[str]:
    """Scheme by scheme, how deep it goes; at once if all go as deep."""
    schemes = list(by_scheme)
    if len(schemes) > 1 and len(set(by_scheme.values())) == 1:
        return [
            f"{by_scheme[schemes[0]]}, "
            f"{' and '.join(_named(scheme, schemes) for scheme in schemes)} alike"
        ]
    return [f"{_named(scheme, schemes)} {reach}" for scheme, reach in by_scheme.items()]


def _together(by_scheme: Mapping[str, str], limits: Sequence[Json]) -> list[str]:
    """How deep each goes, the deepest first, and those that go as deep at once."""
    deepest = {
        scheme: max(row["depth_limit"] or 0 for row in limits if row["residual"] == scheme)
        for scheme in by_scheme
    }
    found = []
    for reach in dict.fromkeys(
        by_scheme[scheme] for scheme in sorted(by_scheme, key=lambda name: -deepest[name])
    ):
        names = [scheme for scheme, its in by_scheme.items() if its == reach]
        with_ = [
            "residual connections" if name == RESIDUAL else name
            for name in names
            if name != BASELINE
        ]
        words = [f"with {_listed(with_)}"] if with_ else []
        words += [_named(BASELINE, list(by_scheme))] if BASELINE in names else []
        found.append(f"{reach}, {' and '.join(words)}")
    return found


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _named(scheme: str, schemes: Sequence[str]) -> str:
    without = "without them" if RESIDUAL in schemes else "without residual connections"
    return {RESIDUAL: "with residual connections", BASELINE: without}.get(scheme, f"with {scheme}")


def _reach(part: Json, scheme: str) -> str:
    """How deep a scheme goes, by norm placement where they differ."""
    rows = [row for row in part["limits"] if row["residual"] == scheme]
    reaches = [_depths(row, list(part["columns"].of(row))) for row in rows]
    if len(set(reaches)) == 1:
        return reaches[0]
    if len({row["norm"] for row in rows}) < len(rows):
        found = [row["depth_limit"] for row in rows]
        limits = sorted({limit for limit in found if limit is not None})
        varying = [name for name in key_of(rows[0]) if len({str(row[name]) for row in rows}) > 1]
        least = "at no depth" if None in found else f"to depth {limits[0]}"
        most = (
            f" and to depth {limits[-1]} at the most"
            if limits[1 if None not in found else 0 :]
            else ""
        )
        return (
            f"{least}{' at the least' if most else ''}{most}, depending on {' and '.join(varying)}"
        )
    return " and ".join(
        f"{reach} ({NORMS.get(row['norm'], row['norm'])})"
        for row, reach in zip(rows, reaches, strict=True)
    )


def _depths(row: Json, tried: Sequence[int]) -> str:
    """The unbroken run of depths that a column solves, of those that were tried."""
    floor, limit = row["depth_floor"], row["depth_limit"]
    if limit is None:
        return "at no depth"
    if len(tried) == 1:
        return f"at depth {limit}, the only one tried"
    reach = f"to depth {limit}" if floor == tried[0] else f"from depth {floor} to {limit}"
    return f"{reach}, the deepest tried" if limit == tried[-1] else reach


def cost(summary: Json) -> str:
    """Parameters, FLOPs and time per step of the residual connection against none, over cells alike
    in all else.
    """
    pairs = []
    others = {tuple(key_of(cell).values()): cell for cell in summary["cells"]}
    for cell in summary["cells"]:
        other = others.get(tuple((key_of(cell) | {"residual": BASELINE}).values()))
        if cell["residual"] == RESIDUAL and other is not None:
            pairs.append((cell, other))
    if not pairs:
        return ""
    more = {
        name: {with_[name] - without[name] for with_, without in pairs}
        for name in ("parameters", "flops_per_step")
    }
    parameters = (
        "no parameters"
        if more["parameters"] == {0}
        else f"up to {max(more['parameters']):,} parameters"
    )
    flops = (
        "no matrix products"
        if more["flops_per_step"] == {0}
        else f"{max(more['flops_per_step']):,} FLOPs per step"
    )
    times = [
        with_["ms_per_member_step"] / without["ms_per_member_step"]
        for with_, without in pairs
        if with_["ms_per_member_step"] and without["ms_per_member_step"]
    ]
    time = (
        f"; a step took {statistics.median(times):.2f} times as long (median over cells)"
        if times
        else ""
    )
    return f"Residual connections cost {parameters} and {flops} (FLOPs){time}."
