"""Separation: the pairs of all arms of a task that are distinguished by depth, or by speed."""

from collections.abc import Sequence
from itertools import combinations

from resformer.reporting.analysis.cells import CellMembers
from resformer.reporting.analysis.comparisons import (
    Arm,
    arm_seeds,
    comparable,
    max_permutations,
    stratum,
)
from resformer.reporting.analysis.pairs import differing_axes
from resformer.reporting.schema import ArmKey, Separation
from resformer.stats import Bools
from resformer.stats.multiplicity import LEVEL, adjust
from resformer.stats.two_sample import Stratum, depth_test, exchange_test, speeds_apart

FEWEST_ARMS = 6
"""Arms of a task from which on its pairs are counted."""
_ALIKE_BUT = {"residual", "norm"}


def separations(cells: Sequence[CellMembers]) -> list[Separation]:
    """A count per study and task of many arms: pairs that differ in scheme or norm only.

    Each pair is tested for depth as a comparison is, and for speed by exchanging whole seeds, rates
    chosen anew, the statistic being the difference of mean logarithms of steps over the depths at
    which every seed of both solved; Benjamini and Hochberg over all pairs, for each question by
    itself.
    """
    tasks: dict[tuple[str, str], dict[ArmKey, Arm]] = {}
    for cell in cells:
        arms = tasks.setdefault((cell.key.arm.study, cell.key.arm.task), {})
        arms.setdefault(cell.key.arm, {})[cell.key.depth] = cell
    return [
        _separation(study, task, arms)
        for (study, task), arms in tasks.items()
        if len(arms) >= FEWEST_ARMS
    ]


def _separation(study: str, task: str, arms: dict[ArmKey, Arm]) -> Separation:
    alike = (
        comparable(arms[one], arms[other])
        for one, other in combinations(arms, 2)
        if differing_axes(one, other) <= _ALIKE_BUT
    )
    pairs = [pair for pair in alike if all(pair)]
    limit = max_permutations(len(pairs))
    by_depth = _significant([_depth_p(one, other, limit) for one, other in pairs])
    by_speed = _significant([_speed_p(one, other, limit) for one, other in pairs]) & ~by_depth
    return Separation(
        study=study,
        task=task,
        pairs=len(pairs),
        by_depth=int(by_depth.sum()),
        by_speed=int(by_speed.sum()),
    )


def _significant(p_M: list[float]) -> Bools:
    return adjust(p_M, "benjamini-hochberg") <= LEVEL


def _strata(one: Arm, other: Arm) -> tuple[list[Stratum], int, int]:
    """Both arms at the depths that they share, and their numbers of seeds."""
    depths = sorted(one.keys() & other.keys())
    seeds = arm_seeds(one, other, depths)
    strata = [
        stratum((one[depth], other[depth]), seeds, min(one[depth].budget, other[depth].budget))
        for depth in depths
    ]
    return strata, len(seeds[0]), len(seeds[1])


def _depth_p(one: Arm, other: Arm, max_permutations: int) -> float:
    strata, first, second = _strata(one, other)
    p_D = depth_test(strata, first=first, second=second, max_permutations=max_permutations)
    return 1.0 if p_D is None else float(p_D.min())


def _speed_p(one: Arm, other: Arm, max_permutations: int) -> float:
    """p-value of the difference of speed; 1 where no depth is solved by every seed of both."""
    depths = [
        depth
        for depth in sorted(one.keys() & other.keys())
        if all(
            _solved_by_all(arm, depth, min(one[depth].budget, other[depth].budget))
            for arm in (one, other)
        )
    ]
    if not depths:
        return 1.0
    strata, first, second = _strata(
        {depth: one[depth] for depth in depths}, {depth: other[depth] for depth in depths}
    )
    if first + second <= 2:
        return 1.0
    p_1 = exchange_test(
        lambda arm_KU: speeds_apart(strata, arm_KU),
        first=first,
        second=second,
        max_permutations=max_permutations,
    )
    return float(p_1[0])


def _solved_by_all(arm: Arm, depth: int, budget: int) -> bool:
    """True if all seeds of the arm ran at this depth and solved within the budget."""
    return arm[depth].seeds == arm[min(arm)].seeds and bool((arm[depth].scored(budget) > 0).all())
