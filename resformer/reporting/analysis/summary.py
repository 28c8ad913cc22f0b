"""A study's results as the report's JSON:
every number that a report shows is computed here, once.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from resformer.errors import UserError
from resformer.reporting.analysis.comparisons import comparisons
from resformer.reporting.analysis.groups import Group, axes, groups
from resformer.reporting.analysis.layers import inside
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

Json = dict[str, Any]


def summarise(findings: Findings) -> Json:
    """The report's JSON, of several studies also what they differ in; UserError if nothing has
    finished yet.
    """
    kept = cache.report(findings.studies[0], findings.digest)
    if kept is not None:
        return kept
    if findings.members.empty:
        failed = findings.problems["failed"]
        why = (
            f"{len(failed)} jobs failed, the first: {failed[0]['reason']}"
            if failed
            else "no job has finished"
        )
        where = findings.studies[0].path.parent
        raise UserError(f"study {_names(findings)}: nothing to report in {where}, {why}")
    found = _summary(findings)
    cache.keep_report(findings.studies[0], findings.digest, found)
    return found


def _summary(findings: Findings) -> Json:
    keys, settings, differing = axes(findings.members)
    found = groups(findings.members, keys)
    cells = [_cell(group) for group in found]
    return {
        "study": _names(findings),
        "settings": settings,
        **({"differing": differing} if len(findings.studies) > 1 else {}),
        **({"where": findings.conditions} if findings.conditions else {}),
        "cells": cells,
        "rates": [row for group in found for row in _rates(group)],
        "limits": list(_limits(cells, [key for key in keys if key != "depth"])),
        "comparisons": comparisons(found),
        **({"layers": looked} if (looked := inside(findings, found)) else {}),
        "excluded": _excluded(findings.studies),
        **findings.problems,
    }


def _names(findings: Findings) -> str:
    return ", ".join(study.name for study in findings.studies)


def at_their_rates(members: pd.DataFrame, rates: Mapping[int, float]) -> pd.DataFrame:
    """Each seed's member at the learning rate it is scored at."""
    return members[
        [rates.get(seed) == lr for seed, lr in zip(members["seed"], members["lr"], strict=True)]
    ]


def _cell(group: Group) -> Json:
    """One cell: each seed at the learning rate that the other seeds chose."""
    rows_S, columns = group.rows, group.columns
    steps_S = columns["solved_step"][rows_S]
    outcomes = Counter(columns["outcome"][rows_S])
    rates = [group.rates[column] for column in group.chosen]
    most = Counter(rates)
    lr = min(most, key=lambda rate: (-most[rate], rate))
    mean_low, mean_high = restricted_mean_interval(steps_S, group.budget)
    median, median_low, median_high = _median(steps_S, columns["train.steps"][rows_S])
    some = bool((steps_S < group.budget).any())
    everything = group.row_SR[group.ran_SR]
    ms_of_job = dict(
        zip(columns["job"][everything].tolist(), columns["ms"][everything].tolist(), strict=True)
    )
    return {
        **group.key,
        "seeds": len(rows_S),
        "solved": outcomes["solved"],
        "unsolved": outcomes["unsolved"],
        "stalled": int(columns["stalled"][rows_S].sum()),
        "diverged": outcomes["diverged"],
        "lr": lr,
        "lr_by_seed": {str(seed): rate for seed, rate in zip(group.seeds, rates, strict=True)},
        "lr_at_edge": lr in (group.rates[0], group.rates[-1]) if len(group.rates) > 1 else None,
        "median_steps": median,
        "median_low": median_low,
        "median_high": median_high,
        "mean_steps": restricted_mean(steps_S, group.budget) if some else None,
        "mean_low": mean_low if some else None,
        "mean_high": mean_high if some else None,
        "final_loss": _middle(columns["final_loss"][rows_S]),
        "final_accuracy": _middle(columns["final_accuracy"][rows_S]),
        "parameters": int(columns["parameters"][rows_S[0]]),
        "flops_per_step": int(columns["flops_per_step"][rows_S[0]]),
        "ms_per_member_step": _middle(np.array([*ms_of_job.values()])),
    }


def _median(steps_S: Floats, budget_S: Floats) -> tuple[float | None, float | None, float | None]:
    """Median and interval; by Kaplan–Meier where the seeds had different budgets."""
    if len(np.unique(budget_S)) > 1:
        return kaplan_meier_median(steps_S, budget_S)
    return median_steps(steps_S), *median_interval(steps_S)


def _rates(group: Group) -> Iterator[Json]:
    ran_SR = group.ran_SR
    count_R, solved_R = ran_SR.sum(axis=0), (~np.isnan(group.steps_SR)).sum(axis=0)
    some_R = np.any(group.steps_SR < group.budget, axis=0).tolist()
    mean_R = np.where(ran_SR, spent(group.steps_SR, group.budget), 0.0).sum(axis=0) / count_R
    for column, lr in enumerate(group.rates):
        yield {
            **group.key,
            "lr": lr,
            "seeds": int(count_R[column]),
            "solved": int(solved_R[column]),
            "mean_steps": float(mean_R[column]) if some_R[column] else None,
            "final_loss": _middle(group.loss_SR[ran_SR[:, column], column]),
        }


def _limits(cells: Sequence[Json], names: Sequence[str]) -> Iterator[Json]:
    columns: dict[tuple[Any, ...], list[Json]] = {}
    for cell in cells:
        columns.setdefault(tuple(cell[name] for name in names), []).append(cell)
    for key, found in columns.items():
        by_depth = sorted(found, key=lambda cell: int(cell["depth"]))
        depths, solved, seeds = (
            [cell[name] for cell in by_depth] for name in ("depth", "solved", "seeds")
        )
        floor, limit = depth_run(depths, solved, seeds)
        low, high = limit_bounds(depths, solved, seeds)
        row = {"depth_limit": limit, "low": low, "high": high, "depth_floor": floor}
        yield {**dict(zip(names, key, strict=True)), **row}


def _excluded(studies: Sequence[Study]) -> list[Json]:
    found = [
        row
        for study in studies
        for launch in study.launches()
        for row in launch.get("excluded", [])
    ]
    return [row for number, row in enumerate(found) if row not in found[:number]]


def _middle(values: Floats) -> float | None:
    """The median with a non-finite value as the largest; None if it is that."""
    ordered = sorted(value if math.isfinite(value) else math.inf for value in values.tolist())
    middle = (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2
    return middle if math.isfinite(middle) else None
