"""The report of a study: every number that is shown is computed here, once."""

import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from resformer.errors import UserError
from resformer.reporting import serial
from resformer.reporting.analysis.cells import CellMembers, axes_of, by_cell, widths
from resformer.reporting.analysis.comparisons import adjusted_row, comparisons, incomplete_rates
from resformer.reporting.analysis.final_loss import loss_comparisons
from resformer.reporting.analysis.layers import layer_summaries, mixed_probes
from resformer.reporting.analysis.pairs import DEFAULT_PAIRING, Pairing
from resformer.reporting.analysis.rank_correlations import rank_correlations
from resformer.reporting.analysis.separation import separations
from resformer.reporting.analysis.stability import by_final_loss
from resformer.reporting.analysis.units import costs_per_step, in_units
from resformer.reporting.schema import (
    Cell,
    Comparison,
    Excluded,
    Limit,
    Per,
    Rate,
    Report,
    Score,
    Stability,
)
from resformer.results import cache
from resformer.results.members import Findings
from resformer.stats import Floats
from resformer.stats.depth import depth_run, limit_bounds
from resformer.stats.multiplicity import LEVEL
from resformer.stats.power import SECOND_LOOK
from resformer.stats.steps import (
    kaplan_meier_median,
    median_interval,
    median_steps,
    restricted_mean,
    restricted_mean_interval,
    spent,
)
from resformer.store.study import Study
from resformer.text import counted


def summarise(
    findings: Findings,
    pairing: Pairing = DEFAULT_PAIRING,
    per: Per = "steps",
    score: Score | None = None,
) -> Report:
    """The report of some studies, computed once and kept; UserError if nothing has finished yet, if
    there are no such pairs, if the cost of a step was not recorded in this unit, or if the members
    have no such score. None is by final losses if no member had anything to solve, else by steps.
    """
    if per != "steps" and score == "final_loss":
        raise UserError(
            f"--per {per} --score {score}: final losses are of a fixed budget; use one of the two"
        )
    key = f"{findings.digest} {pairing.against} {pairing.compare} {per} {score}"
    kept = cache.load_report(findings.studies[0], key)
    if kept is not None:
        return serial.from_json(kept)
    if findings.members.empty:
        failed = findings.problems.failed
        why = (
            f"{counted(len(failed), 'job')} failed, the first: {failed[0].reason}"
            if failed
            else "no job has finished"
        )
        where = findings.studies[0].path.parent
        raise UserError(f"study {_names(findings)}: nothing to report in {where}, {why}")
    report = _report(findings, pairing, per, score or _usual_score(findings, per))
    cache.save_report(findings.studies[0], key, serial.to_json(report))
    return report


def _usual_score(findings: Findings, per: Per) -> Score:
    members, targets = findings.members, ["train.target_accuracy", "train.target_loss"]
    if per != "steps" or members[targets].notna().any(axis=None):
        return "steps"
    return "final_loss"


def _report(findings: Findings, pairing: Pairing, per: Per, score: Score) -> Report:
    axes, settings, differing = axes_of(findings.members)
    cell_members, stability = by_cell(findings.members, axes), list[Stability]()
    if score == "final_loss":
        cell_members, stability = by_final_loss(findings, cell_members)
    width = widths(findings.members, axes)
    cells = [replace(_cell(members), width=width.get(members.key)) for members in cell_members]
    layers, damaged = layer_summaries(findings, cell_members)
    settled = {
        study.name
        for study in findings.studies
        if any("--settle" in launch.get("asked", ()) for launch in study.launches())
    }
    report = Report(
        study=_names(findings),
        settings=settings,
        differing=differing if len(findings.studies) > 1 else None,
        where=findings.conditions,
        cells=tuple(cells),
        rates=tuple(rate for members in cell_members for rate in _rates(members)),
        incomplete_rates=tuple(incomplete_rates(cell_members, pairing)),
        limits=tuple(_limits(cells)),
        score=score,
        comparisons=tuple(
            _after_two_looks(row, settled) for row in comparisons(cell_members, pairing)
        )
        if score == "steps"
        else (),
        losses=tuple(loss_comparisons(cell_members, pairing) if score == "final_loss" else ()),
        stability=tuple(stability),
        separation=tuple(separations(cell_members) if score == "steps" else ()),
        rank_correlations=tuple(rank_correlations(cell_members) if score == "steps" else ()),
        layers=tuple(layers),
        mixed_probes=mixed_probes(findings.studies, layers),
        settled=bool(settled),
        excluded=tuple(_excluded(findings.studies)),
        left_behind=findings.left_behind,
        other_code=findings.problems.other_code,
        missing=findings.problems.missing,
        damaged=(*findings.problems.damaged, *damaged),
        failed=findings.problems.failed,
    )
    return report if per == "steps" else in_units(report, per, costs_per_step(cell_members, per))


def _after_two_looks(row: Comparison, settled: Collection[str]) -> Comparison:
    """The comparison, of one of these studies at the level of its second look.

    So the first look, at most at `FIRST_LOOK`, adds no more than what is left of `LEVEL`.
    """
    if row.p_adjusted is None or {row.scheme.study, row.baseline.study}.isdisjoint(settled):
        return row
    assert row.adjusted_by is not None
    p = min(1.0, row.p_adjusted * LEVEL / SECOND_LOOK)
    return adjusted_row(row, p, row.adjusted_by)


def _names(findings: Findings) -> str:
    return ", ".join(study.name for study in findings.studies)


def _cell(members: CellMembers) -> Cell:
    """One cell: each seed at the learning rate that the other seeds chose."""
    rows_S, arrays = members.rows, members.arrays
    steps_S = arrays["solved_step"][rows_S]
    outcomes = Counter(arrays["outcome"][rows_S])
    rates = [members.rates[index] for index in members.chosen]
    lr = members.lr
    median, median_low, median_high = _median(steps_S, arrays["train.steps"][rows_S])
    mean, mean_low, mean_high = _mean(steps_S, members.budget)
    ran_M = members.row_SR[members.ran_SR]
    ms_of_job = dict(zip(arrays["job"][ran_M].tolist(), arrays["ms"][ran_M].tolist(), strict=True))
    return Cell(
        key=members.key,
        seeds=len(rows_S),
        solved=outcomes["solved"],
        unsolved=outcomes["unsolved"],
        stalled=int(arrays["stalled"][rows_S].sum()),
        diverged=outcomes["diverged"],
        lr=lr,
        lr_by_seed=dict(zip(members.seeds, rates, strict=True)),
        lr_at_edge=lr in (members.rates[0], members.rates[-1]) if len(members.rates) > 1 else None,
        median=median,
        median_low=median_low,
        median_high=median_high,
        mean=mean,
        mean_low=mean_low,
        mean_high=mean_high,
        final_loss=_middle(arrays["final_loss"][rows_S]),
        final_accuracy=_middle(arrays["final_accuracy"][rows_S]),
        parameters=int(arrays["parameters"][rows_S[0]]),
        flops_per_step=int(arrays["flops_per_step"][rows_S[0]]),
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


def _rates(members: CellMembers) -> Iterator[Rate]:
    ran_SR = members.ran_SR
    count_R, solved_R = ran_SR.sum(axis=0), (~np.isnan(members.steps_SR)).sum(axis=0)
    solves_R = np.any(members.steps_SR < members.budget, axis=0).tolist()
    mean_R = np.where(ran_SR, spent(members.steps_SR, members.budget), 0.0).sum(axis=0) / count_R
    for index, lr in enumerate(members.rates):
        yield Rate(
            key=members.key,
            lr=lr,
            seeds=int(count_R[index]),
            solved=int(solved_R[index]),
            mean=float(mean_R[index]) if solves_R[index] else None,
            final_loss=_middle(members.loss_SR[ran_SR[:, index], index]),
        )


def _limits(cells: Iterable[Cell]) -> Iterator[Limit]:
    arms = defaultdict(list)
    for cell in cells:
        arms[cell.key.arm].append(cell)
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
    middle = statistics.median(
        value if math.isfinite(value) else math.inf for value in values.tolist()
    )
    return middle if math.isfinite(middle) else None
