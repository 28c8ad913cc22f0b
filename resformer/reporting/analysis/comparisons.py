"""Schemes against their baseline: with and without residual connections, all else and the seeds
alike.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from resformer.reporting.analysis.groups import Group
from resformer.stats import Floats
from resformer.stats.steps import censor, spent
from resformer.stats.two_sample import Stratum, holm, paired_ratio, permutation_test

Json = dict[str, Any]

BASELINE = "plain"
BASELINES = ("plain", "add")
"""What a scheme is compared with: the first of these that was run under the same settings."""
_SCHEME = "model.residual."
"""Settings of a scheme itself, which its baseline does not have."""
_MAX_PERMUTATIONS, _FEWEST_PER_ROW = 400_000, 40


def max_permutations(rows: int) -> int:
    """Number of permutations of the seeds up to which a p-value of so many rows is exact: that of
    10 + 10 seeds in two comparisons.

    Never so few that a p of all rows together could not be significant after correction.
    """
    return max(_FEWEST_PER_ROW * rows, _MAX_PERMUTATIONS // max(1, rows))


def comparisons(groups: Sequence[Group]) -> list[Json]:
    """A primary row (`depth` null) per scheme and column that has a baseline, then a descriptive
    one per depth.

    `p` is of the log-rank test stratified by depth, by exchanging whole seeds; `p_adjusted` is
    Holm's over the primary rows of a study; `favours` is the arm that solves sooner by that test.
    Both arms are taken within the smaller of their budgets: what solved is counted, over depths in
    a primary row; `ratio` is scheme / baseline of the restricted means of the same seeds, summed
    over depths in a primary row; `bound` says what the ratio of the true steps can be where some
    seeds did not solve: at most this ("upper"), at least this ("lower"), or either ("unknown").
    """
    pairs = list(_pairs(groups))
    tested = [_primary(*pair, max_permutations(len(pairs))) for pair in pairs]
    for study in dict.fromkeys(row["study"] for row in tested):
        family = [row for row in tested if row["study"] == study and row["p"] is not None]
        for row, adjusted in zip(family, holm([row["p"] for row in family]), strict=True):
            row["p_adjusted"] = float(adjusted)
    found: list[Json] = []
    for row, (baseline, scheme) in zip(tested, pairs, strict=True):
        found += [row, *(_row([depth], baseline, scheme) for depth in _common(baseline, scheme))]
    return found


Column = dict[int, Group]
"""The groups of a column by depth."""


def _pairs(groups: Iterable[Group]) -> Iterator[tuple[Column, Column]]:
    """Baseline and scheme of every comparison."""
    families: dict[tuple[Any, ...], dict[tuple[Any, ...], Column]] = {}
    for group in groups:
        own = {name for name in group.key if name == "residual" or name.startswith(_SCHEME)}
        rest = tuple(
            value for name, value in group.key.items() if name not in own and name != "depth"
        )
        scheme = tuple(value for name, value in group.key.items() if name in own)
        families.setdefault(rest, {}).setdefault(scheme, {})[group.key["depth"]] = group
    for family in families.values():
        baseline = next((key for name in BASELINES for key in family if key[0] == name), None)
        if baseline is not None:
            for scheme, column in family.items():
                if scheme != baseline and _common(family[baseline], column):
                    yield family[baseline], column


def _common(baseline: Column, scheme: Column) -> list[int]:
    return sorted(baseline.keys() & scheme.keys())


def _primary(baseline: Column, scheme: Column, limit: int) -> Json:
    depths = _common(baseline, scheme)
    first, second = ([*_seeds(column, depths)] for column in (scheme, baseline))
    strata = [_stratum(scheme[depth], baseline[depth], first, second) for depth in depths]
    row = _row(depths, baseline, scheme)
    found = permutation_test(strata, first=len(first), second=len(second), max_permutations=limit)
    if found is None:
        return {**row, "depth": None}
    p, z = found
    favours = row["scheme"] if z > 0 else row["baseline"] if z < 0 else None
    return {**row, "depth": None, "p": p, "favours": favours}


def _seeds(column: Column, depths: Iterable[int]) -> list[int]:
    return sorted({seed for depth in depths for seed in column[depth].seeds})


def _stratum(
    scheme: Group, baseline: Group, first: Sequence[int], second: Sequence[int]
) -> Stratum:
    """Both arms at one depth: the scheme's seeds, then the baseline's."""
    rates = sorted({*scheme.rates, *baseline.rates})
    budget = min(scheme.budget, baseline.budget)
    steps_UR, loss_UR = np.full((2, len(first) + len(second), len(rates)), np.nan)
    ran_UR = np.zeros(steps_UR.shape, dtype=bool)
    for group, seeds, before in ((scheme, first, 0), (baseline, second, len(first))):
        place = np.ix_(
            [before + seeds.index(seed) for seed in group.seeds],
            [rates.index(lr) for lr in group.rates],
        )
        steps_UR[place], loss_UR[place], ran_UR[place] = (
            censor(group.steps_SR, budget),
            group.loss_SR,
            group.ran_SR,
        )
    return Stratum(steps_UR=steps_UR, loss_UR=loss_UR, ran_UR=ran_UR, budget=budget)


def _row(depths: Sequence[int], baseline: Column, scheme: Column) -> Json:
    """What is said of these depths together."""
    example = scheme[depths[0]].key
    key = {name: value for name, value in example.items() if name not in ("residual", "depth")}
    seeds = [
        seed
        for seed in _seeds(scheme, depths)
        if all(_has(seed, baseline, scheme, depth) for depth in depths)
    ]
    budgets = [min(baseline[depth].budget, scheme[depth].budget) for depth in depths]
    steps = [
        np.array(
            [
                _steps(column[depth], seeds, budget)
                for depth, budget in zip(depths, budgets, strict=True)
            ]
        )
        for column in (baseline, scheme)
    ]
    amounts = [spent(steps_LS, np.array(budgets)[:, None]).sum(axis=0) for steps_LS in steps]
    censored = [bool(np.isnan(steps_LS).any()) for steps_LS in steps]
    nobody = not seeds or all(np.isnan(steps_LS).all() for steps_LS in steps)
    ratio, low, high = (None, None, None) if nobody else paired_ratio(*amounts)
    names = ("study", "task", "norm")
    return {
        **{name: key[name] for name in names},
        "depth": depths[0],
        **{name: value for name, value in key.items() if name not in names},
        "baseline": baseline[depths[0]].key["residual"],
        "scheme": example["residual"],
        **_counts("scheme", scheme, depths, budgets),
        **_counts("baseline", baseline, depths, budgets),
        "favours": None,
        "ratio": ratio,
        "low": low,
        "high": high,
        "bound": None if ratio is None else _bound(*censored),
        "p": None,
        "p_adjusted": None,
    }


def _counts(arm: str, column: Column, depths: Sequence[int], budgets: Sequence[int]) -> Json:
    """How many members and different seeds an arm has over these depths, and how many solved within
    the budgets.
    """
    steps = [column[depth].scored(budget) for depth, budget in zip(depths, budgets, strict=True)]
    return {
        f"{arm}_solved": sum(int((~np.isnan(steps_S)).sum()) for steps_S in steps),
        f"{arm}_members": sum(map(len, steps)),
        f"{arm}_seeds": len(_seeds(column, depths)),
    }


def _has(seed: int, baseline: Column, scheme: Column, depth: int) -> bool:
    return seed in baseline[depth].seeds and seed in scheme[depth].seeds


def _steps(group: Group, seeds: Sequence[int], budget: int) -> Floats:
    steps_S = group.scored(budget)
    return steps_S[[group.seeds.index(seed) for seed in seeds]]


def _bound(baseline_censored: bool, scheme_censored: bool) -> str | None:
    """What the ratio within the budget is to that of the true steps."""
    if baseline_censored and scheme_censored:
        return "unknown"
    return "upper" if baseline_censored else "lower" if scheme_censored else None
