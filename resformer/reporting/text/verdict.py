"""One sentence per task, made of the numbers: how deep, how sure, and what it costs."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from resformer.reporting.analysis.comparisons import BASELINE, max_permutations
from resformer.reporting.schema import Cell, Comparison, Limit, Rate, Report
from resformer.reporting.text.evidence import evidence
from resformer.reporting.text.words import NORMS

Row = TypeVar("Row", Cell, Rate, Limit, Comparison)

RESIDUAL = "add"
_MANY = 4
"""More schemes than that are grouped by how deep they go."""


def verdicts(report: Report) -> list[str]:
    """A sentence per study and task: how deep each scheme goes, and how sure that is."""
    keys = dict.fromkeys((cell.key.study, cell.key.task) for cell in report.cells)
    return [_sentence(report, study, task) for study, task in keys]


def _of(report: Report, study: str, task: str) -> Report:
    """The report of one study and task."""

    def inside(rows: Sequence[Row]) -> tuple[Row, ...]:
        return tuple(row for row in rows if (row.key.study, row.key.task) == (study, task))

    return replace(
        report,
        cells=inside(report.cells),
        rates=inside(report.rates),
        limits=inside(report.limits),
        comparisons=inside(report.comparisons),
    )


def _sentence(report: Report, study: str, task: str) -> str:
    part = _of(report, study, task)
    rates = sorted({rate.lr for rate in part.rates})
    of_study = (report.differing or {}).get("train.steps", {}).get(study)
    steps = report.settings.get("train.steps", of_study)
    budget = f"{steps} steps" if steps is not None else "each cell's budget"
    within = (
        f"Within {budget} and "
        f"{'these learning rates' if len(rates) > 1 else f'learning rate {rates[0]:g}'}"
    )
    schemes = sorted(
        {cell.key.residual for cell in part.cells},
        key=lambda name: (name != RESIDUAL, name == BASELINE, name),
    )
    by_scheme = {scheme: _reach(part, scheme) for scheme in schemes}
    reached = (
        "; ".join(_together(by_scheme, part.limits))
        if len(schemes) > _MANY
        else ", ".join(_apart(by_scheme))
    )
    primary = [row for row in report.comparisons if row.depth is None]
    tested = sum(row.key.study == study and row.p is not None for row in primary)
    sure = evidence(part.comparisons, tested, max_permutations(len(primary)))
    several = len({cell.key.study for cell in report.cells}) > 1
    name = f"{task} ({study})" if several else task
    return f"{within}, {name} is solved {reached}{f': {sure}' if sure else ''}."


def _apart(by_scheme: Mapping[str, str]) -> list[str]:
    """Scheme by scheme, how deep it goes; at once if all go as deep."""
    schemes = list(by_scheme)
    if len(schemes) > 1 and len(set(by_scheme.values())) == 1:
        return [
            f"{by_scheme[schemes[0]]}, "
            f"{' and '.join(_named(scheme, schemes) for scheme in schemes)} alike"
        ]
    return [f"{_named(scheme, schemes)} {reach}" for scheme, reach in by_scheme.items()]


def _together(by_scheme: Mapping[str, str], limits: Sequence[Limit]) -> list[str]:
    """How deep each goes, the deepest first, and those that go as deep at once."""
    deepest = {
        scheme: max(row.depth_limit or 0 for row in limits if row.key.residual == scheme)
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


def _reach(part: Report, scheme: str) -> str:
    """How deep a scheme goes, by norm placement where they differ."""
    rows = [row for row in part.limits if row.key.residual == scheme]
    reaches = [_depths(row, part.depths[row.key]) for row in rows]
    if len(set(reaches)) == 1:
        return reaches[0]
    if len({row.key.norm for row in rows}) < len(rows):
        found = [row.depth_limit for row in rows]
        limits = sorted({limit for limit in found if limit is not None})
        varying = [
            axis
            for axis in rows[0].key.values()
            if len({str(row.key.value(axis)) for row in rows}) > 1
        ]
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
        f"{reach} ({NORMS.get(row.key.norm, row.key.norm)})"
        for row, reach in zip(rows, reaches, strict=True)
    )


def _depths(row: Limit, tried: Sequence[int]) -> str:
    """The unbroken run of depths that a column solves, of those that were tried."""
    floor, limit = row.depth_floor, row.depth_limit
    if limit is None:
        return "at no depth"
    if len(tried) == 1:
        return f"at depth {limit}, the only one tried"
    reach = f"to depth {limit}" if floor == tried[0] else f"from depth {floor} to {limit}"
    return f"{reach}, the deepest tried" if limit == tried[-1] else reach


def cost(report: Report) -> str:
    """Parameters, FLOPs and time per step of the residual connection against none, over cells alike
    in all else; "" if there are none.
    """
    cells = {cell.key: cell for cell in report.cells}
    pairs = [
        (cell, baseline)
        for cell in report.cells
        if cell.key.residual == RESIDUAL
        and (baseline := cells.get(replace(cell.key, residual=BASELINE)))
    ]
    if not pairs:
        return ""
    more_parameters = {cell.parameters - baseline.parameters for cell, baseline in pairs}
    more_flops = {cell.flops_per_step - baseline.flops_per_step for cell, baseline in pairs}
    parameters = (
        "no parameters" if more_parameters == {0} else f"up to {max(more_parameters):,} parameters"
    )
    flops = "no matrix products" if more_flops == {0} else f"{max(more_flops):,} FLOPs per step"
    times = [
        cell.ms_per_member_step / baseline.ms_per_member_step
        for cell, baseline in pairs
        if cell.ms_per_member_step and baseline.ms_per_member_step
    ]
    time = (
        f"; a step took {statistics.median(times):.2f} times as long (median over cells)"
        if times
        else ""
    )
    return f"Residual connections cost {parameters} and {flops} (FLOPs){time}."
