"""Rank correlations of schemes between tasks, and of each task with itself."""

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np

from resformer.keys import Value
from resformer.reporting.analysis.cells import CellMembers
from resformer.reporting.schema import Estimate, RankCorrelation
from resformer.stats import Floats
from resformer.stats.rank_correlation import FEWEST, spearman, spearman_interval
from resformer.stats.steps import spent

_Arms = dict[tuple[tuple[str, Value], ...], Floats]
"""Mean log steps of each seed by the settings of the model, (S,)."""


def rank_correlations(cells: Sequence[CellMembers]) -> list[RankCorrelation]:
    """Spearman's correlation of the arms of each pair of tasks of a study, by their mean logarithm
    of steps to solve (an unsolved seed has spent its budget) over the depths that all arms of the
    task have; and that of the two halves of each task's seeds, which bounds what can be seen.
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
    of_task = [np.array([arms[arm].mean() for arm in shared]) for arms in scored]
    value = spearman(*of_task)
    if value is None:
        return None
    low, high = spearman_interval(value, len(shared))
    return RankCorrelation(
        study=study,
        task=tasks[0],
        other=tasks[1],
        arms=len(shared),
        correlation=Estimate(value=value, low=low, high=high),
        of_task=_of_halves([scored[0][arm] for arm in shared]),
        of_other=_of_halves([scored[1][arm] for arm in shared]),
    )


def _of_halves(scores: Sequence[Floats]) -> float | None:
    """Correlation between the arms' scores by every other seed and by the rest; None for single
    seeds.
    """
    if min(map(len, scores)) < 2:
        return None
    halves = [np.array([score_S[start::2].mean() for score_S in scores]) for start in (0, 1)]
    return spearman(*halves)
