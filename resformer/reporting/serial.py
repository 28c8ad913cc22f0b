"""Report ↔ JSON. Whatever is written reads back equal."""

from collections.abc import Iterator, Mapping
from dataclasses import fields
from functools import cache
from itertools import pairwise
from typing import Any

from resformer.keys import NAMES
from resformer.reporting.measures import ENDS
from resformer.reporting.schema import (
    ArmKey,
    Cell,
    CellKey,
    Compared,
    Comparison,
    Count,
    DepthComparison,
    DepthLoss,
    Estimate,
    Excluded,
    IncompleteRates,
    LayerSummary,
    Limit,
    LossComparison,
    Per,
    RankCorrelation,
    Rate,
    Report,
    Separation,
    Stability,
)
from resformer.results import presets
from resformer.results.problems import DamagedJob, FailedJob, LeftBehind, MissingJob, OtherCode

Tree = dict[str, Any]

_COMPOSED = ("key", "depth", "ends", "fit", "mean_loss", "lr_sensitivity", "correlation")
"""Fields of a row that are no entry of it: they are several, or stand among the axes."""


_IF_ANY = (
    "where",
    "layers",
    "mixed_probes",
    "separation",
    "rank_correlations",
    "settled",
    "left_behind",
    "other_code",
    "incomplete_rates",
)
"""Sections that reports without any such thing lack."""
_UNDOTTED = (presets.KEY, NAMES["optimizer.name"], "device")
"""Settings that may be axes of a report and have no dot in their key."""


def to_json(report: Report) -> Tree:
    """The JSON of a report. Sections that only some reports have are left out of the others."""
    tree = {name: _value(getattr(report, name), report.per) for name in _names(Report)}
    tree["best_rates"] = row(report.best_rates, report.per)
    absent = [
        *(name for name in _IF_ANY if not tree[name]),
        *(["differing"] if report.differing is None else []),
        *(["per"] if report.per == "steps" else []),
        *(["score", "losses", "stability"] if report.score == "steps" else []),
    ]
    return {name: section for name, section in tree.items() if name not in absent}


def row(part: Any, per: Per) -> Tree:
    """The JSON of a cell, a limit, … : the values of its axes, then its fields."""
    kind: type = type(part)
    own = {_in_json(name, per): _value(getattr(part, name), per) for name in _names(kind)}
    if isinstance(part, Cell) and part.width is None:
        del own["width"]
    match part:
        case Limit() if part.fit is not None:
            return {**part.key.values(), **own, **_estimate("fit", part.fit)}
        case Cell() | Rate() | IncompleteRates() | Limit():
            return {**part.key.values(), **own}
        case Stability():
            loss = _estimate("mean_loss", part.mean_loss)
            sensitivity = _estimate("lr_sensitivity", part.lr_sensitivity)
            return {**part.key.values(), **loss, **own, **sensitivity}
        case LayerSummary():
            return {**part.key.values(), **own, **part.ends}
        case RankCorrelation():
            return {**own, **_estimate("correlation", part.correlation)}
    return own


def _in_json(name: str, per: Per) -> str:
    """Name of a field in the JSON: medians and means have their unit in it."""
    return f"{name}_{per}" if name in ("median", "mean") else name


def _value(value: Any, per: Per) -> Any:
    match value:
        case tuple():
            return [line for part in value for line in _lines(part, per)]
        case Mapping():
            return {str(name): entry for name, entry in value.items()}
    return value


@cache
def _names(kind: type) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind) if field.name not in _COMPOSED)


def _lines(part: Any, per: Per) -> list[Tree]:
    match part:
        case Comparison():
            return comparison_rows(part)
        case LossComparison():
            return loss_rows(part)
    return [row(part, per)]


def comparison_rows(part: Comparison) -> list[Tree]:
    """The JSON of a comparison: a row over all depths (`depth` null), then one per depth."""
    scheme, baseline = part.labels
    names = _arm_names(part)
    whole = {
        "budget": None,
        "scheme_solved": None,
        "scheme_seeds": max(row.scheme.seeds for row in part.depths),
        "baseline_solved": None,
        "baseline_seeds": max(row.baseline.seeds for row in part.depths),
        "p": part.p,
        "p_adjusted": part.p_adjusted,
        "adjusted_by": part.adjusted_by,
        "exact": part.exact,
        "verdict": part.verdict,
        "favours": {"better": scheme, "worse": baseline}.get(part.verdict),
        **_estimate("doublings", part.doublings),
        **_estimate("speed", part.speed),
        "speed_depths": list(part.speed_depths),
    }
    rows = [{**CellKey(arm=part.scheme, depth=0).values(), "depth": None, **names, **whole}]
    for depth in part.depths:
        of_depth = {
            "budget": depth.budget,
            "scheme_solved": depth.scheme.solved,
            "scheme_seeds": depth.scheme.seeds,
            "baseline_solved": depth.baseline.solved,
            "baseline_seeds": depth.baseline.seeds,
            "p": depth.p,
            "p_adjusted": depth.p_adjusted,
            "favours": scheme if depth.lead > 0 else baseline if depth.lead < 0 else None,
            **_estimate("speed", depth.speed),
        }
        nothing = dict.fromkeys(whole)
        cell = CellKey(arm=part.scheme, depth=depth.depth).values()
        rows.append({**cell, **names, **nothing, **of_depth})
    return rows


def loss_rows(part: LossComparison) -> list[Tree]:
    """The JSON of a comparison of final losses: a row over all depths (`depth` null), then one per
    depth.
    """
    scheme, baseline = part.labels
    whole = {
        "scheme_loss": None,
        "baseline_loss": None,
        **_estimate("difference", part.difference),
        "p": part.p,
        "p_adjusted": part.p_adjusted,
        "adjusted_by": part.adjusted_by,
        "exact": part.exact,
        "verdict": part.verdict,
        "favours": {"better": scheme, "worse": baseline}.get(part.verdict),
    }
    names = _arm_names(part)
    rows = [{**CellKey(arm=part.scheme, depth=0).values(), "depth": None, **names, **whole}]
    for depth in part.depths:
        of_depth = {
            "scheme_loss": depth.scheme,
            "baseline_loss": depth.baseline,
            **_estimate("difference", depth.difference),
            "p": depth.p,
            "p_adjusted": depth.p_adjusted,
            "favours": scheme if depth.lead > 0 else baseline if depth.lead < 0 else None,
        }
        cell = CellKey(arm=part.scheme, depth=depth.depth).values()
        rows.append({**cell, **names, **dict.fromkeys(whole), **of_depth})
    return rows


def _arm_names(part: Compared) -> Tree:
    """The arms of a comparison, and the values in which the baseline differs."""
    scheme, baseline = part.labels
    key, other = part.scheme.values(), part.baseline.values()
    return {
        "scheme": scheme,
        "baseline": baseline,
        "named_by": list(part.named_by),
        "against": {axis: other[axis] for axis in key if key[axis] != other[axis]},
    }


def _estimate(name: str, estimate: Estimate | None) -> Tree:
    if estimate is None:
        return {name: None, f"{name}_low": None, f"{name}_high": None}
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}


def from_json(tree: Tree) -> Report:
    """The report of this JSON."""
    per = tree.get("per", "steps")
    return Report(
        study=tree["study"],
        settings=tree["settings"],
        differing=tree.get("differing"),
        where=tree.get("where", {}),
        per=per,
        cells=tuple(_cell(line, per) for line in tree["cells"]),
        rates=tuple(Rate(key=_cell_key(line), **_own(Rate, line, per)) for line in tree["rates"]),
        incomplete_rates=tuple(
            IncompleteRates(key=_cell_key(line), **_own(IncompleteRates, line, per))
            for line in tree.get("incomplete_rates", [])
        ),
        limits=tuple(map(_limit, tree["limits"])),
        score=tree.get("score", "steps"),
        comparisons=tuple(_comparisons(tree["comparisons"])),
        losses=tuple(_losses(tree.get("losses", []))),
        stability=tuple(map(_stability, tree.get("stability", []))),
        separation=tuple(Separation(**line) for line in tree.get("separation", [])),
        rank_correlations=tuple(map(_rank_correlation, tree.get("rank_correlations", []))),
        layers=tuple(map(_layers, tree.get("layers", []))),
        mixed_probes=tree.get("mixed_probes", []),
        settled=tree.get("settled", False),
        excluded=tuple(Excluded(**line) for line in tree["excluded"]),
        left_behind=tuple(LeftBehind(**line) for line in tree.get("left_behind", [])),
        other_code=tuple(OtherCode(**line) for line in tree.get("other_code", [])),
        missing=tuple(MissingJob(**line) for line in tree["missing"]),
        damaged=tuple(DamagedJob(**line) for line in tree["damaged"]),
        failed=tuple(FailedJob(**line) for line in tree["failed"]),
    )


def _cell(line: Tree, per: Per) -> Cell:
    by_seed = {int(seed): lr for seed, lr in line["lr_by_seed"].items()}
    return Cell(key=_cell_key(line), **{**_own(Cell, line, per), "lr_by_seed": by_seed})


def _limit(line: Tree) -> Limit:
    fit = _read_estimate("fit", line) if "fit" in line else None
    return Limit(key=_arm_key(line), **_own(Limit, line), fit=fit)


def _layers(line: Tree) -> LayerSummary:
    ends = {end.name: line[end.name] for end in ENDS}
    return LayerSummary(key=_cell_key(line), **_own(LayerSummary, line), ends=ends)


def _comparisons(lines: list[Tree]) -> Iterator[Comparison]:
    """Comparisons of their rows, of which each begins with the one over all depths."""
    for whole, by_depth in _by_comparison(lines):
        yield Comparison(
            **_compared(whole),
            depths=tuple(
                DepthComparison(
                    depth=line["depth"],
                    budget=line["budget"],
                    scheme=Count(solved=line["scheme_solved"], seeds=line["scheme_seeds"]),
                    baseline=Count(solved=line["baseline_solved"], seeds=line["baseline_seeds"]),
                    p=line["p"],
                    p_adjusted=line["p_adjusted"],
                    speed=_read_estimate("speed", line),
                )
                for line in by_depth
            ),
            doublings=_read_estimate("doublings", whole),
            speed=_read_estimate("speed", whole),
        )


def _losses(lines: list[Tree]) -> Iterator[LossComparison]:
    """Comparisons of final losses, likewise."""
    for whole, by_depth in _by_comparison(lines):
        yield LossComparison(
            **_compared(whole),
            depths=tuple(
                DepthLoss(
                    depth=line["depth"],
                    scheme=line["scheme_loss"],
                    baseline=line["baseline_loss"],
                    difference=_read("difference", line),
                    p=line["p"],
                    p_adjusted=line["p_adjusted"],
                )
                for line in by_depth
            ),
            difference=_read("difference", whole),
        )


def _by_comparison(lines: list[Tree]) -> Iterator[tuple[Tree, list[Tree]]]:
    """Rows over all depths, each with those of its depths."""
    starts = [number for number, line in enumerate(lines) if line["depth"] is None]
    for start, end in pairwise([*starts, len(lines)]):
        yield lines[start], lines[start + 1 : end]


def _compared(whole: Tree) -> Tree:
    """Fields that all comparisons have."""
    names = {axis: whole["against"].get(axis, value) for axis, value in whole.items()}
    return {
        "scheme": _arm_key(whole),
        "baseline": _arm_key(names),
        "named_by": tuple(whole["named_by"]),
        **{name: whole[name] for name in ("p", "p_adjusted", "adjusted_by", "exact")},
    }


def _rank_correlation(line: Tree) -> RankCorrelation:
    correlation = _read("correlation", line)
    return RankCorrelation(**_own(RankCorrelation, line), correlation=correlation)


def _stability(line: Tree) -> Stability:
    return Stability(
        key=_cell_key(line),
        **_own(Stability, line),
        mean_loss=_read("mean_loss", line),
        lr_sensitivity=_read_estimate("lr_sensitivity", line),
    )


def _read(name: str, line: Tree) -> Estimate:
    """An estimate that every row has."""
    return Estimate(value=line[name], low=line[f"{name}_low"], high=line[f"{name}_high"])


def _read_estimate(name: str, line: Tree) -> Estimate | None:
    return None if line[name] is None else _read(name, line)


def _own(kind: type, line: Tree, per: Per = "steps") -> Tree:
    """The fields of a row; those that it lacks must have a default."""
    names = ((name, _in_json(name, per)) for name in _names(kind))
    return {name: line[in_json] for name, in_json in names if in_json in line}


def _cell_key(line: Tree) -> CellKey:
    return CellKey(arm=_arm_key(line), depth=line["depth"])


def _arm_key(line: Tree) -> ArmKey:
    """Axes of a row but depth. Only settings have a dot in their key, or one of these names."""
    return ArmKey(
        **{name: line[name] for name in ("study", "task", "residual", "norm")},
        further=tuple((name, line[name]) for name in line if "." in name or name in _UNDOTTED),
    )
