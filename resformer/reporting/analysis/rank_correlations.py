"""Rank correlations of schemes between tasks, and the reliability of each task's ranking."""

import math
from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np

from resformer.keys import Value
from resformer.reporting.analysis.cells import CellMembers
from resformer.reporting.schema import Estimate, RankCorrelation
from resformer.stats import Floats
from resformer.stats.rank_correlation import FEWEST, reliability, spearman, spearman_interval
from resformer.stats.steps import spent

_Arms = dict[tuple[tuple[str, Value], ...], Floats]
"""Mean log steps of each seed by the settings of the model, (S,)."""


def rank_correlations(cells: Sequence[CellMembers]) -> list[RankCorrelation]:
    """Spearman's correlation of the arms of each pair of tasks of a study, by their mean logarithm
    of steps to solve (an unsolved seed has spent its budget) over the depths that all arms of the
    task have; and the reliability of each task's ranking, from the halves of its seeds: rankings
    alike but for noise correlate by √(r₁·r₂) (Spearman 1904).
    """
    tasks: dict[tuple[str, str], list[CellMembers]] = {}
    for cell in cells:
        tasks.setdefault((cell.key.arm.study, cell.key.arm.task), []).append(cell)
    scored = {key: _scored(of_task) for key, of_task in tasks.items()}
    correlated = (
        _correlation(study, (first, second), (scored[study, first], scored[other, second]))
        for (study, first), (other, second) in combinations(scored, 2)
        if study == other and first != second
    )
    return [each for each in correlated if each is not None]


def _scored(cells: Sequence[CellMembers]) -> _Arms:
    by_arm: dict[tuple[tuple[str, Value], ...], dict[int, CellMembers]] = {}
    for cell in cells:
        by_arm.setdefault(_model(cell), {})[cell.key.depth] = cell
    depths = set.intersection(*(set(arm) for arm in by_arm.values()))
    budget = min(cell.budget for cell in cells)
    return {
        settings: np.mean(
            [np.log(spent(arm[depth].scored(budget), budget)) for depth in sorted(depths)], axis=0
        )
        for settings, arm in by_arm.items()
        if depths and len({len(arm[depth].seeds) for depth in depths}) == 1
    }


def _model(cell: CellMembers) -> tuple[tuple[str, Value], ...]:
    """Settings of an arm that tasks share."""
    values: Mapping[str, Value] = cell.key.arm.values()
    return tuple(
        (axis, value)
        for axis, value in values.items()
        if axis in ("residual", "norm") or axis.startswith("model.")
    )


def _correlation(
    study: str, tasks: tuple[str, str], scored: tuple[_Arms, _Arms]
) -> RankCorrelation | None:
    """The correlation over the arms that both tasks have; None for few, or where one task ranks
    nothing.
    """
    shared = [arm for arm in scored[0] if arm in scored[1]]
    if len(shared) < FEWEST:
        return None
    value = spearman(*(np.array([arms[arm].mean() for arm in shared]) for arms in scored))
    if value is None:
        return None
    low, high = spearman_interval(value, len(shared)) or (None, None)
    of_task, of_other = (_reliability([arms[arm] for arm in shared]) for arms in scored)
    return RankCorrelation(
        study=study,
        task=tasks[0],
        other=tasks[1],
        arms=len(shared),
        correlation=Estimate(value=value, low=low, high=high),
        of_task=of_task,
        of_other=of_other,
        ceiling=None if of_task is None or of_other is None else math.sqrt(of_task * of_other),
    )


def _reliability(scores: Sequence[Floats]) -> float | None:
    """Reliability of the arms' scores, by those of every other seed and of the rest; None for
    single seeds.
    """
    if min(map(len, scores)) < 2:
        return None
    halves = [np.array([score_S[start::2].mean() for score_S in scores]) for start in (0, 1)]
    of_halves = spearman(*halves)
    return None if of_halves is None else reliability(of_halves)
