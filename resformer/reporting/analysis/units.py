"""Steps to solve as FLOPs or as tokens: equal cost instead of equal steps."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from resformer.errors import UserError
from resformer.reporting.analysis.cells import CellMembers
from resformer.reporting.schema import Cell, CellKey, Comparison, Estimate, Per, Rate, Report

Costs = Mapping[CellKey, float]
"""FLOPs or tokens of one step of one member, by cell."""


def costs_per_step(cells: Sequence[CellMembers], per: Per) -> Costs:
    """FLOPs or tokens of a step; UserError if a study was planned before these were recorded."""
    costs = {cell.key: float(cell.arrays[f"{per}_per_step"][cell.rows[0]]) for cell in cells}
    unknown = [key.arm.study for key, cost in costs.items() if math.isnan(cost)]
    if unknown:
        raise UserError(
            f"--per {per}: study {unknown[0]} was planned before its {per} per step were recorded; "
            "--per steps and --per flops are there"
        )
    return costs


def in_units(report: Report, per: Per, costs: Costs) -> Report:
    """The report with medians, means and ratios of steps in another unit.

    A step of a cell costs the same for each of its members, so medians, means and their bounds
    scale by its cost, and ratios at a depth by the ratio of both costs.
    """
    return replace(
        report,
        per=per,
        cells=tuple(_cell(cell, costs[cell.key]) for cell in report.cells),
        rates=tuple(_rate(rate, costs[rate.key]) for rate in report.rates),
        comparisons=tuple(_comparison(row, costs) for row in report.comparisons),
    )


def _cell(cell: Cell, cost: float) -> Cell:
    return replace(
        cell,
        median=_times(cell.median, cost),
        median_low=_times(cell.median_low, cost),
        median_high=_times(cell.median_high, cost),
        mean=_times(cell.mean, cost),
        mean_low=_times(cell.mean_low, cost),
        mean_high=_times(cell.mean_high, cost),
    )


def _rate(rate: Rate, cost: float) -> Rate:
    return replace(rate, mean=_times(rate.mean, cost))


def _comparison(row: Comparison, costs: Costs) -> Comparison:
    ratios = {
        depth.depth: math.prod(
            costs[CellKey(arm=arm, depth=depth.depth)] ** sign
            for arm, sign in ((row.scheme, 1), (row.baseline, -1))
        )
        for depth in row.depths
    }
    shared = [math.log(ratios[depth]) for depth in row.speed_depths]
    return replace(
        row,
        speed=_scaled(row.speed, math.exp(sum(shared) / max(1, len(shared)))),
        depths=tuple(
            replace(depth, speed=_scaled(depth.speed, ratios[depth.depth])) for depth in row.depths
        ),
    )


def _scaled(estimate: Estimate | None, factor: float) -> Estimate | None:
    if estimate is None:
        return None
    low, high = _times(estimate.low, factor), _times(estimate.high, factor)
    return Estimate(value=estimate.value * factor, low=low, high=high)


def _times(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor
