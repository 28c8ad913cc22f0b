"""Schemes against their baseline: same settings and seeds, with and without residual
connections.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, final

import numpy as np

from resformer.keys import Value
from resformer.reporting.analysis.cells import CellMembers
from resformer.reporting.schema import ArmKey, Comparison, Side
from resformer.stats import Floats
from resformer.stats.steps import censor, spent
from resformer.stats.two_sample import Stratum, holm, paired_ratio, permutation_test

BASELINE = "plain"
BASELINES = ("plain", "add")
"""Schemes that others are compared with: the first of these that ran under the same settings."""
_SCHEME = "model.residual."
"""Prefix of a scheme's own settings, which its baseline does not have."""
_MAX_PERMUTATIONS, _FEWEST_PER_ROW = 400_000, 40

Arm = dict[int, CellMembers]
"""Groups of the same settings by depth."""


@final
@dataclass(frozen=True)
class _Pair:
    """Two arms that differ in their scheme."""

    baseline: Arm
    scheme: Arm

    @property
    def depths(self) -> list[int]:
        """Depths that both have, ascending."""
        return sorted(self.baseline.keys() & self.scheme.keys())

    def budget(self, depth: int) -> int:
        """The smaller budget of the two, in steps."""
        return min(self.baseline[depth].budget, self.scheme[depth].budget)


def max_permutations(rows: int) -> int:
    """Number of permutations of the seeds up to which the p-values of so many rows are exact.

    10 + 10 seeds in two comparisons stay exact. Never so few that a p-value of all rows together
    could not be significant after correction.
    """
    return max(_FEWEST_PER_ROW * rows, _MAX_PERMUTATIONS // max(1, rows))


def comparisons(cells: Sequence[CellMembers]) -> list[Comparison]:
    """A primary row (`depth` None) per scheme with a baseline, then a descriptive one per depth.

    `p` is of the log-rank test stratified by depth, by exchanging whole seeds; `p_adjusted` is
    Holm's over the primary rows of a study; `favours` is the arm that solves sooner by that test.
    Both arms are taken within the smaller of their budgets. Counts and, before their `ratio` is
    taken, steps are summed over depths in a primary row.
    """
    pairs = list(_pairs(cells))
    primary = _adjusted([_primary(pair, max_permutations(len(pairs))) for pair in pairs])
    rows: list[Comparison] = []
    for row, pair in zip(primary, pairs, strict=True):
        rows += [row, *(_comparison(pair, [depth], depth=depth) for depth in pair.depths)]
    return rows


def _pairs(cells: Iterable[CellMembers]) -> Iterator[_Pair]:
    arms: dict[ArmKey, Arm] = {}
    for cell in cells:
        arms.setdefault(cell.key.arm, {})[cell.key.depth] = cell
    families: dict[tuple[Value, ...], list[tuple[str, Arm]]] = {}
    for key, arm in arms.items():
        shared = [value for axis, value in key.further if not axis.startswith(_SCHEME)]
        family = families.setdefault((key.study, key.task, key.norm, *shared), [])
        family.append((key.residual, arm))
    for family in families.values():
        baseline = next((arm for name in BASELINES for scheme, arm in family if scheme == name), {})
        for _, arm in family:
            pair = _Pair(baseline, arm)
            if arm is not baseline and pair.depths:
                yield pair


def _primary(pair: _Pair, limit: int) -> Comparison:
    """The comparison over all depths, with its test, not yet corrected."""
    depths = pair.depths
    scheme, baseline = _seeds(pair.scheme, depths), _seeds(pair.baseline, depths)
    strata = [_stratum(pair, depth, scheme, baseline) for depth in depths]
    row = _comparison(pair, depths, depth=None)
    result = permutation_test(
        strata, first=len(scheme), second=len(baseline), max_permutations=limit
    )
    if result is None:
        return row
    p, z = result
    favours = row.scheme.name if z > 0 else row.baseline.name if z < 0 else None
    return replace(row, p=p, favours=favours)


def _adjusted(rows: Sequence[Comparison]) -> list[Comparison]:
    """The rows with their p-values corrected for the number of tests in their study."""
    adjusted: dict[int, float] = {}
    for study in {row.key.study for row in rows}:
        family = {
            number: row.p
            for number, row in enumerate(rows)
            if row.key.study == study and row.p is not None
        }
        adjusted |= zip(family, map(float, holm(list(family.values()))), strict=True)
    return [replace(row, p_adjusted=adjusted.get(number)) for number, row in enumerate(rows)]


def _seeds(arm: Arm, depths: Iterable[int]) -> list[int]:
    return sorted({seed for depth in depths for seed in arm[depth].seeds})


def _stratum(pair: _Pair, depth: int, first: Sequence[int], second: Sequence[int]) -> Stratum:
    """Both arms at one depth: the seeds of the scheme, then those of the baseline."""
    scheme, baseline = pair.scheme[depth], pair.baseline[depth]
    rates = sorted({*scheme.rates, *baseline.rates})
    budget = pair.budget(depth)
    steps_UR, loss_UR = np.full((2, len(first) + len(second), len(rates)), np.nan)
    ran_UR = np.zeros(steps_UR.shape, dtype=bool)
    for cell, seeds, before in ((scheme, first, 0), (baseline, second, len(first))):
        place = np.ix_(
            [before + seeds.index(seed) for seed in cell.seeds],
            [rates.index(lr) for lr in cell.rates],
        )
        steps_UR[place] = censor(cell.steps_SR, budget)
        loss_UR[place] = cell.loss_SR
        ran_UR[place] = cell.ran_SR
    return Stratum(steps_UR=steps_UR, loss_UR=loss_UR, ran_UR=ran_UR, budget=budget)


def _comparison(pair: _Pair, depths: Sequence[int], depth: int | None) -> Comparison:
    """The counts and the ratio of steps over these depths, without a test."""
    seeds = [seed for seed in _seeds(pair.scheme, depths) if _ran(pair, seed, depths)]
    baseline_LS, scheme_LS = (
        np.array([_steps(arm[depth], seeds, pair.budget(depth)) for depth in depths])
        for arm in (pair.baseline, pair.scheme)
    )
    budget_L = np.array([pair.budget(depth) for depth in depths])
    baseline_S, scheme_S = (
        spent(steps_LS, budget_L[:, None]).sum(axis=0) for steps_LS in (baseline_LS, scheme_LS)
    )
    nobody = not seeds or bool(np.isnan(baseline_LS).all() and np.isnan(scheme_LS).all())
    ratio, low, high = (None, None, None) if nobody else paired_ratio(baseline_S, scheme_S)
    return Comparison(
        key=pair.scheme[depths[0]].key.arm,
        depth=depth,
        baseline=_side(pair, pair.baseline, depths),
        scheme=_side(pair, pair.scheme, depths),
        favours=None,
        ratio=ratio,
        low=low,
        high=high,
        bound=None if ratio is None else _bound(baseline_LS, scheme_LS),
        p=None,
        p_adjusted=None,
    )


def _side(pair: _Pair, arm: Arm, depths: Sequence[int]) -> Side:
    """The counts of one of the arms over these depths, within the budgets."""
    steps = [arm[depth].scored(pair.budget(depth)) for depth in depths]
    return Side(
        name=arm[depths[0]].key.arm.residual,
        solved=sum(int((~np.isnan(steps_S)).sum()) for steps_S in steps),
        members=sum(map(len, steps)),
        seeds=len(_seeds(arm, depths)),
    )


def _ran(pair: _Pair, seed: int, depths: Iterable[int]) -> bool:
    """True if a seed ran in both arms at all of these depths."""
    return all(seed in arm[depth].seeds for arm in (pair.baseline, pair.scheme) for depth in depths)


def _steps(cell: CellMembers, seeds: Sequence[int], budget: int) -> Floats:
    return cell.scored(budget)[[cell.seeds.index(seed) for seed in seeds]]


def _bound(baseline_LS: Floats, scheme_LS: Floats) -> Literal["upper", "lower", "unknown"] | None:
    """Side on which the ratio within the budget bounds the ratio of the true steps."""
    baseline_censored, scheme_censored = (
        bool(np.isnan(steps_LS).any()) for steps_LS in (baseline_LS, scheme_LS)
    )
    if baseline_censored and scheme_censored:
        return "unknown"
    return "upper" if baseline_censored else "lower" if scheme_censored else None
