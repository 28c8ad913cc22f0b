"""Comparisons of arms by their final losses after equal budgets."""

from collections.abc import Sequence

import numpy as np

from resformer.errors import UserError
from resformer.reporting.analysis.cells import CellMembers
from resformer.reporting.analysis.comparisons import (
    Arm,
    arm_pairs,
    arm_seeds,
    corrected,
    max_permutations,
    stratum,
)
from resformer.reporting.analysis.pairs import Pairing
from resformer.reporting.schema import DepthLoss, Estimate, LossComparison
from resformer.stats.final_loss import loss_test
from resformer.stats.steps import student_interval
from resformer.stats.two_sample import permutation_count


def loss_comparisons(cells: Sequence[CellMembers], pairing: Pairing) -> list[LossComparison]:
    """A comparison per pair of arms that share a depth; UserError if two of them had different
    budgets there. p-values are corrected as those of how deep.
    """
    pairs, named_by = arm_pairs(cells, pairing)
    limit = max_permutations(len(pairs))
    return corrected([_comparison(*arms, named_by, limit) for arms in pairs])


def _comparison(
    scheme: Arm, baseline: Arm, named_by: tuple[str, ...], max_permutations: int
) -> LossComparison:
    """The comparison, not yet corrected for others."""
    depths = sorted(scheme.keys() & baseline.keys())
    for depth in depths:
        _require_equal_budgets(scheme[depth], baseline[depth])
    seeds = arm_seeds(scheme, baseline, depths)
    first, second = map(len, seeds)
    strata = [
        stratum((scheme[depth], baseline[depth]), seeds, scheme[depth].budget) for depth in depths
    ]
    # The rate of a single seed is chosen by itself, not by others.
    p_D = (
        loss_test(strata, first=first, second=second, max_permutations=max_permutations)
        if min(first, second) > 1
        else None
    )
    losses = [(_by_seed(scheme[depth]), _by_seed(baseline[depth])) for depth in depths]
    rows = tuple(
        DepthLoss(
            depth=depth,
            scheme=_mean(mine),
            baseline=_mean(others),
            difference=_difference([(mine, others)]),
            p=None if p_D is None else float(p_D[number]),
            p_adjusted=None,
        )
        for number, (depth, (mine, others)) in enumerate(zip(depths, losses, strict=True))
    )
    return LossComparison(
        scheme=scheme[depths[0]].key.arm,
        baseline=baseline[depths[0]].key.arm,
        named_by=named_by,
        depths=rows,
        p=None if p_D is None else float(p_D.min()),
        p_adjusted=None,
        adjusted_by=None,
        exact=permutation_count(first, second) <= max_permutations,
        difference=_difference(losses),
    )


def _require_equal_budgets(scheme: CellMembers, baseline: CellMembers) -> None:
    budgets = {int(steps) for cell in (scheme, baseline) for steps in cell.budget_SR[cell.ran_SR]}
    if len(budgets) > 1:
        raise UserError(
            f"--score final_loss: members at depth {scheme.key.depth} had different budgets, "
            f"{', '.join(map(str, sorted(budgets)))} steps; --where train.steps={max(budgets)} "
            "takes those of one"
        )


def _by_seed(cell: CellMembers) -> dict[int, float]:
    """Final loss by seed, at the rate it is scored at."""
    losses_S = cell.loss_SR[np.arange(len(cell.seeds)), cell.chosen]
    return dict(zip(cell.seeds, losses_S.tolist(), strict=True))


def _mean(losses: dict[int, float]) -> float:
    return float(np.mean([*losses.values()]))


def _difference(losses: Sequence[tuple[dict[int, float], dict[int, float]]]) -> Estimate:
    """Mean over depths of scheme minus baseline, with Student's t over the seeds that ran in both
    arms at all of them; without an interval if there are none.
    """
    seeds = sorted(set.intersection(*(set(arm) for pair in losses for arm in pair)))
    if not seeds:
        apart = [_mean(scheme) - _mean(baseline) for scheme, baseline in losses]
        return Estimate(value=float(np.mean(apart)), low=None, high=None)
    apart_S = np.mean(
        [[scheme[seed] - baseline[seed] for seed in seeds] for scheme, baseline in losses], axis=0
    )
    low, high = student_interval(apart_S)
    return Estimate(value=float(apart_S.mean()), low=low, high=high)
