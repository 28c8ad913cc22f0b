"""Schemes against their baseline: with and without residual connections, all else and the seeds alike."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from resformer.reporting.groups import Group
from resformer.stats.arms import Stratum, holm, paired_ratio, permutation_p
from resformer.stats.steps import Floats, spent, within

Json = dict[str, Any]

BASELINE = "plain"
BASELINES = ("plain", "add")
"""What a scheme is compared with: the first of these that was run under the same settings."""
_MOST_DIVISIONS, _FEWEST_DIVISIONS = 400_000, 1_000


def most_divisions(rows: int) -> int:
    """Up to how many divisions of the seeds a p-value of so many is exact: 10 + 10 seeds in two comparisons."""
    return max(_FEWEST_DIVISIONS, _MOST_DIVISIONS // max(1, rows))


def comparisons(groups: Sequence[Group]) -> list[Json]:
    """A primary row (`depth` null) per scheme and column that has a baseline, then a descriptive one per depth.

    `p` is of the log-rank test stratified by depth, by exchanging whole seeds; `p_adjusted` is Holm's over the primary
    rows of a study. `ratio` is scheme / baseline of the restricted means of the same seeds, summed over depths in a
    primary row, within the budget that both share; `bound` says what the ratio of the true steps can be where some
    seeds did not solve: at most this ("upper"), at least this ("lower"), or either ("unknown").
    """
    pairs = list(_pairs(groups))
    tested = [_primary(*pair, most_divisions(len(pairs))) for pair in pairs]
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
    families: dict[tuple[Any, ...], dict[str, Column]] = {}
    for group in groups:
        rest = tuple(value for name, value in group.key.items() if name not in ("residual", "depth"))
        family = families.setdefault(rest, {})
        family.setdefault(group.key["residual"], {})[group.key["depth"]] = group
    for family in families.values():
        baseline = next((scheme for scheme in BASELINES if scheme in family), None)
        if baseline is not None:
            for scheme, column in family.items():
                if scheme != baseline and _common(family[baseline], column):
                    yield family[baseline], column


def _common(baseline: Column, scheme: Column) -> list[int]:
    return sorted(baseline.keys() & scheme.keys())


def _primary(baseline: Column, scheme: Column, most: int) -> Json:
    depths = _common(baseline, scheme)
    first, second = ([*_seeds(column, depths)] for column in (scheme, baseline))
    strata = [_stratum(scheme[depth], baseline[depth], first, second) for depth in depths]
    row = _row(depths, baseline, scheme)
    return {**row, "depth": None, "p": permutation_p(strata, len(first), len(second), most)}


def _seeds(column: Column, depths: Iterable[int]) -> list[int]:
    return sorted({seed for depth in depths for seed in column[depth].seeds})


def _stratum(scheme: Group, baseline: Group, first: Sequence[int], second: Sequence[int]) -> Stratum:
    """Both arms at one depth: the scheme's seeds, then the baseline's."""
    rates = sorted({*scheme.rates, *baseline.rates})
    budget = min(scheme.budget, baseline.budget)
    steps_UR, loss_UR = np.full((2, len(first) + len(second), len(rates)), np.nan)
    ran_UR = np.zeros(steps_UR.shape, dtype=bool)
    for group, seeds, before in ((scheme, first, 0), (baseline, second, len(first))):
        place = np.ix_([before + seeds.index(seed) for seed in group.seeds], [rates.index(lr) for lr in group.rates])
        steps_UR[place], loss_UR[place], ran_UR[place] = within(group.steps_SR, budget), group.loss_SR, group.ran_SR
    return Stratum(steps_UR, loss_UR, ran_UR, budget)


def _row(depths: Sequence[int], baseline: Column, scheme: Column) -> Json:
    """What is said of these depths together."""
    example = scheme[depths[0]].key
    key = {name: value for name, value in example.items() if name not in ("residual", "depth")}
    seeds = [seed for seed in _seeds(scheme, depths) if all(_has(seed, baseline, scheme, depth) for depth in depths)]
    budgets = [min(baseline[depth].budget, scheme[depth].budget) for depth in depths]
    steps = [
        np.array([_steps(column[depth], seeds, budget) for depth, budget in zip(depths, budgets, strict=True)])
        for column in (baseline, scheme)
    ]
    amounts = [spent(steps_LS, np.array(budgets)[:, None]).sum(axis=0) for steps_LS in steps]  # type: ignore[arg-type]
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
        "ratio": ratio,
        "low": low,
        "high": high,
        "bound": None if ratio is None else _bound(*censored),
        "p": None,
        "p_adjusted": None,
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
