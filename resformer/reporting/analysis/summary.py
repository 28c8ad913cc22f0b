"""The report of a study: every number that is shown is computed here, once."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from resformer.errors import UserError
from resformer.reporting import serial
from resformer.reporting.analysis.comparisons import comparisons
from resformer.reporting.analysis.groups import Group, axes, groups
from resformer.reporting.analysis.layers import layer_summaries
from resformer.reporting.schema import (
    ArmKey,
    Cell,
    Excluded,
    Limit,
    Rate,
    Report,
)
from resformer.results import cache
from resformer.results.members import Findings
from resformer.stats import Floats
from resformer.stats.depth import depth_run, limit_bounds
from resformer.stats.steps import (
    kaplan_meier_median,
    median_interval,
    median_steps,
    restricted_mean,
    restricted_mean_interval,
    spent,
)
from resformer.store.study import Study


def summarise(findings: Findings) -> Report:
    """The report of some studies, computed once and kept; UserError if nothing has finished yet."""
    kept = cache.load_report(findings.studies[0], findings.digest)
    if kept is not None:
        return serial.from_json(kept)
    if findings.members.empty:
        failed = findings.problems.failed
        why = (
            f"{len(failed)} jobs failed, the first: {failed[0].reason}"
            if failed
            else "no job has finished"
        )
        where = findings.studies[0].path.parent
        raise UserError(f"study {_names(findings)}: nothing to report in {where}, {why}")
    report = _report(findings)
    cache.save_report(findings.studies[0], findings.digest, serial.to_json(report))
    return report


def _report(findings: Findings) -> Report:
    keys, settings, differing = axes(findings.members)
    cell_groups = groups(findings.members, keys)
    cells = [_cell(group) for group in cell_groups]
    layers, damaged = layer_summaries(findings, cell_groups)
    return Report(
        study=_names(findings),
        settings=settings,
        differing=differing if len(findings.studies) > 1 else None,
        where=findings.conditions,
        cells=tuple(cells),
        rates=tuple(rate for group in cell_groups for rate in _rates(group)),
        limits=tuple(_limits(cells)),
        comparisons=tuple(comparisons(cell_groups)),
        layers=tuple(layers),
        excluded=tuple(_excluded(findings.studies)),
        missing=findings.problems.missing,
        damaged=(*findings.problems.damaged, *damaged),
        failed=findings.problems.failed,
    )


def _names(findings: Findings) -> str:
    return ", ".join(study.name for study in findings.studies)


def at_their_rates(members: pd.DataFrame, rates: Mapping[int, float]) -> pd.DataFrame:
    """Each seed's member at the learning rate it is scored at."""
    return members[
        [rates.get(seed) == lr for seed, lr in zip(members["seed"], members["lr"], strict=True)]
    ]


def _cell(group: Group) -> Cell:
    """One cell: each seed at the learning rate that the other seeds chose."""
    rows_S, columns = group.rows, group.columns
    steps_S = columns["solved_step"][rows_S]
    outcomes = Counter(columns["outcome"][rows_S])
    rates = [group.rates[index] for index in group.chosen]
    seeds_at = Counter(rates)
    lr = min(seeds_at, key=lambda rate: (-seeds_at[rate], rate))
    median, median_low, median_high = _median(steps_S, columns["train.steps"][rows_S])
    mean, mean_low, mean_high = _mean(steps_S, group.budget)
    ran_M = group.row_SR[group.ran_SR]
    ms_of_job = dict(
        zip(columns["job"][ran_M].tolist(), columns["ms"][ran_M].tolist(), strict=True)
    )
    return Cell(
        key=group.key,
        seeds=len(rows_S),
        solved=outcomes["solved"],
        unsolved=outcomes["unsolved"],
        stalled=int(columns["stalled"][rows_S].sum()),
        diverged=outcomes["diverged"],
        lr=lr,
        lr_by_seed=dict(zip(group.seeds, rates, strict=True)),
        lr_at_edge=lr in (group.rates[0], group.rates[-1]) if len(group.rates) > 1 else None,
        median_steps=median,
        median_low=median_low,
        median_high=median_high,
        mean_steps=mean,
        mean_low=mean_low,
        mean_high=mean_high,
        final_loss=_middle(columns["final_loss"][rows_S]),
        final_accuracy=_middle(columns["final_accuracy"][rows_S]),
        parameters=int(columns["parameters"][rows_S[0]]),
        flops_per_step=int(columns["flops_per_step"][rows_S[0]]),
        ms_per_member_step=_middle(np.array([*ms_of_job.values()])),
    )


Estimate = tuple[float | None, float | None, float | None]
"""A number and the bounds of its interval."""


def _median(steps_S: Floats, budget_S: Floats) -> Estimate:
    """Median steps; by Kaplan–Meier where the seeds had different budgets."""
    if len(np.unique(budget_S)) > 1:
        return kaplan_meier_median(steps_S, budget_S)
    return median_steps(steps_S), *median_interval(steps_S)


def _mean(steps_S: Floats, budget: int) -> Estimate:
    """Restricted mean of the steps; None if no seed solves within the budget."""
    if not (steps_S < budget).any():
        return None, None, None
    return restricted_mean(steps_S, budget), *restricted_mean_interval(steps_S, budget)


def _rates(group: Group) -> Iterator[Rate]:
    ran_SR = group.ran_SR
    count_R, solved_R = ran_SR.sum(axis=0), (~np.isnan(group.steps_SR)).sum(axis=0)
    solves_R = np.any(group.steps_SR < group.budget, axis=0).tolist()
    mean_R = np.where(ran_SR, spent(group.steps_SR, group.budget), 0.0).sum(axis=0) / count_R
    for index, lr in enumerate(group.rates):
        yield Rate(
            key=group.key,
            lr=lr,
            seeds=int(count_R[index]),
            solved=int(solved_R[index]),
            mean_steps=float(mean_R[index]) if solves_R[index] else None,
            final_loss=_middle(group.loss_SR[ran_SR[:, index], index]),
        )


def _limits(cells: Iterable[Cell]) -> Iterator[Limit]:
    arms: dict[ArmKey, list[Cell]] = {}
    for cell in cells:
        arms.setdefault(cell.key.arm, []).append(cell)
    for key, arm in arms.items():
        by_depth = sorted(arm, key=lambda cell: cell.key.depth)
        depths = [cell.key.depth for cell in by_depth]
        solved = [cell.solved for cell in by_depth]
        seeds = [cell.seeds for cell in by_depth]
        floor, limit = depth_run(depths, solved, seeds)
        low, high = limit_bounds(depths, solved, seeds)
        yield Limit(key=key, depth_limit=limit, low=low, high=high, depth_floor=floor)


def _excluded(studies: Sequence[Study]) -> list[Excluded]:
    """Combinations that the launches left out, each once."""
    rows = [
        Excluded(settings=row["settings"], reason=row["reason"])
        for study in studies
        for launch in study.launches()
        for row in launch.get("excluded", [])
    ]
    return [row for number, row in enumerate(rows) if row not in rows[:number]]


def _middle(values: Floats) -> float | None:
    """The median with a non-finite value as the largest; None if it is that."""
    ordered = sorted(value if math.isfinite(value) else math.inf for value in values.tolist())
    middle = (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2
    return middle if math.isfinite(middle) else None
