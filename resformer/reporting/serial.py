"""Report ↔ JSON. Whatever is written reads back equal."""

from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from typing import Any

from resformer.reporting.measures import ENDS
from resformer.reporting.schema import (
    ArmKey,
    Cell,
    CellKey,
    Comparison,
    Excluded,
    LayerSummary,
    Limit,
    Rate,
    Report,
    Side,
)
from resformer.results.problems import DamagedJob, FailedJob, MissingJob

Tree = dict[str, Any]

_COUNTS = ("solved", "members", "seeds")
_COMPOSED = ("key", "depth", "ends", "baseline", "scheme")
"""Fields of a row that are no entry of it: they are several, or stand among the axes."""


def to_json(report: Report) -> Tree:
    """The JSON of a report. Sections that only some reports have are left out of the others."""
    tree = {name: _value(getattr(report, name)) for name in _names(Report)}
    absent = [
        *(name for name in ("where", "layers") if not tree[name]),
        *(["differing"] if report.differing is None else []),
    ]
    return {name: section for name, section in tree.items() if name not in absent}


def row(part: Any) -> Tree:
    """The JSON of a cell, a limit, … : the values of its axes, then its fields."""
    kind: type = type(part)
    own = {name: _value(getattr(part, name)) for name in _names(kind)}
    match part:
        case Cell() | Rate() | Limit():
            return {**part.key.values(), **own}
        case LayerSummary():
            return {**part.key.values(), **own, **part.ends}
        case Comparison():
            return {**_compared(part), **own}
    return own


def _value(value: Any) -> Any:
    match value:
        case tuple():
            return [row(part) for part in value]
        case Mapping():
            return {str(name): entry for name, entry in value.items()}
    return value


@cache
def _names(kind: type) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind) if field.name not in _COMPOSED)


def _compared(part: Comparison) -> Tree:
    """The axes of a comparison, the two schemes and their counts."""
    sides = {"scheme": part.scheme, "baseline": part.baseline}
    counts = {f"{arm}_{name}": getattr(sides[arm], name) for arm in sides for name in _COUNTS}
    return {
        "study": part.key.study,
        "task": part.key.task,
        "norm": part.key.norm,
        "depth": part.depth,
        **dict(part.key.further),
        "baseline": part.baseline.name,
        "scheme": part.scheme.name,
        **counts,
    }


def from_json(tree: Tree) -> Report:
    """The report of this JSON."""
    return Report(
        study=tree["study"],
        settings=tree["settings"],
        differing=tree.get("differing"),
        where=tree.get("where", {}),
        cells=tuple(map(_cell, tree["cells"])),
        rates=tuple(Rate(key=_cell_key(line), **_own(Rate, line)) for line in tree["rates"]),
        limits=tuple(Limit(key=_arm_key(line), **_own(Limit, line)) for line in tree["limits"]),
        comparisons=tuple(map(_comparison, tree["comparisons"])),
        layers=tuple(map(_layers, tree.get("layers", []))),
        excluded=tuple(Excluded(**line) for line in tree["excluded"]),
        missing=tuple(MissingJob(**line) for line in tree["missing"]),
        damaged=tuple(DamagedJob(**line) for line in tree["damaged"]),
        failed=tuple(FailedJob(**line) for line in tree["failed"]),
    )


def _cell(line: Tree) -> Cell:
    by_seed = {int(seed): lr for seed, lr in line["lr_by_seed"].items()}
    return Cell(key=_cell_key(line), **{**_own(Cell, line), "lr_by_seed": by_seed})


def _layers(line: Tree) -> LayerSummary:
    ends = {end.name: line[end.name] for end in ENDS}
    return LayerSummary(key=_cell_key(line), **_own(LayerSummary, line), ends=ends)


def _comparison(line: Tree) -> Comparison:
    baseline, scheme = (
        Side(name=line[arm], **{name: line[f"{arm}_{name}"] for name in _COUNTS})
        for arm in ("baseline", "scheme")
    )
    return Comparison(
        key=_arm_key({**line, "residual": scheme.name}),
        depth=line["depth"],
        baseline=baseline,
        scheme=scheme,
        **_own(Comparison, line),
    )


def _own(kind: type, line: Tree) -> Tree:
    """The fields of a row; those that it lacks must have a default."""
    return {name: line[name] for name in _names(kind) if name in line}


def _cell_key(line: Tree) -> CellKey:
    return CellKey(arm=_arm_key(line), depth=line["depth"])


def _arm_key(line: Tree) -> ArmKey:
    """Axes of a row but depth. Only settings have a dot in their key, or are the device."""
    return ArmKey(
        **{name: line[name] for name in ("study", "task", "residual", "norm")},
        further=tuple((name, line[name]) for name in line if "." in name or name == "device"),
    )
