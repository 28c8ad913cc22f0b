"""Comparisons of arms: how deep, by exchanging whole seeds, and how fast where both train."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from resformer.reporting.analysis.cells import CellMembers
from resformer.reporting.analysis.pairs import Pairing, differing_axes
from resformer.reporting.schema import (
    ArmKey,
    Comparison,
    Count,
    DepthComparison,
    Estimate,
    IncompleteRates,
    LossComparison,
)
from resformer.stats import Floats
from resformer.stats.blocks import shared_block
from resformer.stats.multiplicity import Method, adjust, method
from resformer.stats.reach import Solved, doublings_apart
from resformer.stats.speed import paired_ratio
from resformer.stats.steps import censor
from resformer.stats.two_sample import Stratum, depth_test, permutation_count

_MAX_PERMUTATIONS, _FEWEST_PER_COMPARISON = 400_000, 2000

Arm = dict[int, CellMembers]
"""Cells of the same settings by depth."""
Row = TypeVar("Row", Comparison, LossComparison)


def max_permutations(comparisons: int) -> int:
    """Number of exchanges of seeds up to which the p-values of so many comparisons are exact.

    10 + 10 seeds in two comparisons stay exact.
    """
    return max(_FEWEST_PER_COMPARISON, _MAX_PERMUTATIONS // max(1, comparisons))


def comparisons(cells: Sequence[CellMembers], pairing: Pairing) -> list[Comparison]:
    """A comparison per pair of arms that share a depth, both within the smaller of their budgets,
    and over seeds that ran at the same learning rates (see `comparable`).

    p-values are corrected for the comparisons of a study; those between studies for each other.
    """
    pairs, named_by = arm_pairs(cells, pairing)
    limit = max_permutations(len(pairs))
    return corrected([_comparison(scheme, baseline, named_by, limit) for scheme, baseline in pairs])


def arm_pairs(
    cells: Sequence[CellMembers], pairing: Pairing
) -> tuple[list[tuple[Arm, Arm]], tuple[str, ...]]:
    """Pairs of arms with members to compare, and the axes that name them."""
    arms = _arms(cells)
    shared = {
        (scheme, baseline): comparable(arms[scheme], arms[baseline])
        for scheme, baseline in pairing.pairs([*arms])
    }
    pairs = {keys: pair for keys, pair in shared.items() if all(pair)}
    differing = {axis for scheme, baseline in pairs for axis in differing_axes(scheme, baseline)}
    first = next((scheme.values() for scheme, _ in pairs), {})
    return [*pairs.values()], tuple(axis for axis in first if axis in differing)


def comparable(one: Arm, other: Arm) -> tuple[Arm, Arm]:
    """The members of both arms that are compared: at each depth a block of seeds that ran at the
    same learning rates (see `shared_block`). Depths at which no rate ran in both are left out.
    """
    compared: tuple[Arm, Arm] = ({}, {})
    for depth in sorted(one.keys() & other.keys()):
        cells = one[depth], other[depth]
        block = shared_block(cells[0].rates_by_seed, cells[1].rates_by_seed)
        if block is not None:
            for arm, cell, seeds in zip(compared, cells, (block.first, block.second), strict=True):
                arm[depth] = cell.part(seeds, block.rates)
    return compared


def incomplete_rates(cells: Sequence[CellMembers], pairing: Pairing) -> list[IncompleteRates]:
    """The learning rates at which not every seed of a cell ran, but some, or some of a cell that it
    is compared with.
    """
    arms = _arms(cells)
    tried = {cell.key: {*cell.rates} for cell in cells}
    for scheme, baseline in pairing.pairs([*arms]):
        for depth in arms[scheme].keys() & arms[baseline].keys():
            pair = arms[scheme][depth], arms[baseline][depth]
            for cell, compared in (pair, pair[::-1]):
                tried[cell.key].update(compared.rates)
    return [
        IncompleteRates(
            key=cell.key,
            rates=rates,
            ran=[cell.seeds_at(rate) for rate in rates],
            seeds=len(cell.seeds),
        )
        for cell in cells
        if (rates := [lr for lr in sorted(tried[cell.key]) if cell.seeds_at(lr) < len(cell.seeds)])
    ]


def _arms(cells: Sequence[CellMembers]) -> dict[ArmKey, Arm]:
    arms: dict[ArmKey, Arm] = {}
    for cell in cells:
        arms.setdefault(cell.key.arm, {})[cell.key.depth] = cell
    return arms


def corrected(rows: list[Row]) -> list[Row]:
    """Comparisons with their p-values corrected for those of the same study, or studies."""
    families: dict[tuple[str, str], list[int]] = {}
    for number, row in enumerate(rows):
        if row.p is not None:
            families.setdefault(row.family, []).append(number)
    for family in families.values():
        adjusted = adjust([rows[number].p or 0.0 for number in family])
        for number, p in zip(family, adjusted, strict=True):
            rows[number] = adjusted_row(rows[number], float(p), method(len(family)))
    return rows


def adjusted_row(row: Row, p: float, by: Method) -> Row:
    """The comparison with its corrected p-value; those of its depths take the same factor."""
    factor = p / row.p if row.p else 1.0
    return replace(
        row,
        p_adjusted=p,
        adjusted_by=by,
        depths=tuple(
            replace(depth, p_adjusted=None if depth.p is None else min(1.0, depth.p * factor))
            for depth in row.depths
        ),
    )


def _comparison(
    scheme: Arm, baseline: Arm, named_by: tuple[str, ...], max_permutations: int
) -> Comparison:
    """The comparison, not yet corrected for others."""
    depths = sorted(scheme.keys() & baseline.keys())
    budgets = {depth: min(scheme[depth].budget, baseline[depth].budget) for depth in depths}
    seeds = arm_seeds(scheme, baseline, depths)
    first, second = map(len, seeds)
    strata = [stratum((scheme[depth], baseline[depth]), seeds, budgets[depth]) for depth in depths]
    # The rate of a single seed is chosen by itself, not by others.
    p_D = (
        depth_test(strata, first=first, second=second, max_permutations=max_permutations)
        if min(first, second) > 1
        else None
    )
    arms = (scheme, baseline)
    counts = [tuple(_count(arm[depth].scored(budgets[depth])) for arm in arms) for depth in depths]
    steps = [tuple(_by_seed(arm[depth], budgets[depth]) for arm in arms) for depth in depths]
    rows = tuple(
        DepthComparison(
            depth=depth,
            budget=budgets[depth],
            scheme=mine,
            baseline=others,
            p=None if p_D is None else float(p_D[number]),
            p_adjusted=None,
            speed=_speed([steps[number]]) if mine.all and others.all else None,
        )
        for number, (depth, (mine, others)) in enumerate(zip(depths, counts, strict=True))
    )
    return Comparison(
        scheme=scheme[depths[0]].key.arm,
        baseline=baseline[depths[0]].key.arm,
        named_by=named_by,
        depths=rows,
        p=None if p_D is None else float(p_D.min()),
        p_adjusted=None,
        adjusted_by=None,
        exact=permutation_count(first, second) <= max_permutations,
        doublings=_doublings(depths, counts),
        speed=_speed([pair for pair, row in zip(steps, rows, strict=True) if row.speed]),
    )


def arm_seeds(scheme: Arm, baseline: Arm, depths: Sequence[int]) -> list[list[int]]:
    """Seeds of either arm at some of these depths, ascending."""
    return [
        sorted({seed for depth in depths for seed in arm[depth].seeds})
        for arm in (scheme, baseline)
    ]


def _by_seed(cell: CellMembers, budget: int) -> dict[int, float]:
    """Steps to solve within the budget at the cell's one rate by seed, NaN where it did not."""
    return dict(zip(cell.seeds, cell.at_one_rate(budget).tolist(), strict=True))


def _count(steps_S: Floats) -> Count:
    return Count(solved=int((~np.isnan(steps_S)).sum()), seeds=len(steps_S))


def _doublings(depths: Sequence[int], counts: Sequence[tuple[Count, ...]]) -> Estimate | None:
    """Doublings of depth that the scheme solves more; None of a single depth."""
    if len(depths) == 1:
        return None
    scheme, baseline = (
        Solved(solved=[count.solved for count in arm], seeds=[count.seeds for count in arm])
        for arm in zip(*counts, strict=True)
    )
    value, low, high = doublings_apart(depths, scheme, baseline)
    return Estimate(value=value, low=low, high=high)


def _speed(steps: Sequence[tuple[dict[int, float], ...]]) -> Estimate | None:
    """Geometric mean of steps, scheme / baseline, over depths and over the seeds that ran in both
    arms at all of them; None unless every seed solved at the one rate of each.
    """
    arms = [arm for pair in steps for arm in pair]
    if not arms or not all(value > 0 for arm in arms for value in arm.values()):
        return None
    seeds = sorted(set.intersection(*map(set, arms)))
    scheme_S, baseline_S = (
        np.exp(np.mean([[math.log(steps[seed]) for seed in seeds] for steps in arm], axis=0))
        for arm in zip(*steps, strict=True)
    )
    ratio, low, high = paired_ratio(baseline_S, scheme_S)
    return None if ratio is None else Estimate(value=ratio, low=low, high=high)


def stratum(
    cells: tuple[CellMembers, CellMembers], seeds: Sequence[Sequence[int]], budget: int
) -> Stratum:
    """Both arms at one depth: the seeds of the scheme, then those of the baseline."""
    rates = sorted({rate for cell in cells for rate in cell.rates})
    steps_UR, loss_UR = np.full((2, sum(map(len, seeds)), len(rates)), np.nan)
    ran_UR = np.zeros(steps_UR.shape, dtype=bool)
    for cell, of_arm, before in zip(cells, seeds, (0, len(seeds[0])), strict=True):
        place = np.ix_(
            [before + of_arm.index(seed) for seed in cell.seeds],
            [rates.index(lr) for lr in cell.rates],
        )
        steps_UR[place] = censor(cell.steps_SR, budget)
        loss_UR[place] = cell.loss_SR
        ran_UR[place] = cell.ran_SR
    return Stratum(steps_UR=steps_UR, loss_UR=loss_UR, ran_UR=ran_UR, budget=budget)
