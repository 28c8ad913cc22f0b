"""Coverage of the report's intervals, and rejections of its test, in studies drawn thousands of
times from a known distribution.

Steps to solve are log-normal, evaluated every 10 steps and censored at the budget; the budget is
where a given share of seeds solves. Truth is computed from the distribution, or from a million
seeds where there is no formula.

coverage.csv, coverage.txt  shares, with the Monte-Carlo error of each
facts.json                  command, versions, machine
"""

import json
import math
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

import numpy as np
import pandas as pd
from scipy.stats import binom, norm

from lib.facts import REFERENCE, commit, machine
from resformer import __version__
from resformer.stats import Floats, Interval
from resformer.stats.depth import depth_run, limit_bounds, wilson
from resformer.stats.steps import (
    kaplan_meier_median,
    median_interval,
    restricted_mean_interval,
    spent,
)
from resformer.stats.two_sample import Stratum, holm, paired_ratio, permutation_test

SEEDS = (5, 10)
SHARES = (1.0, 0.8, 0.6)
MEDIAN, SPREAD, EVERY = 200.0, 0.5, 10
DEPTHS, RATES = 3, 3
PERMUTATIONS = 999


@final
@dataclass(frozen=True, kw_only=True)
class Finding:
    """Nominal and simulated share; `none` is the share of studies without an interval."""

    quantity: str
    seeds: int
    setting: str
    nominal: float
    found: float
    error: float
    none: float

    @property
    def holds(self) -> bool:
        """True if it is nominal or better, within two Monte-Carlo standard errors."""
        excess = self.found - self.nominal
        return (excess if self.quantity.startswith("test") else -excess) <= 2 * self.error


def main() -> None:
    """Simulate, write, print."""
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 4000
    target = REFERENCE / "statistics"
    revision, began = commit(), time.perf_counter()
    rows = [
        row for seeds in SEEDS for row in findings(seeds, repeats, np.random.default_rng(seeds))
    ]
    table = pd.DataFrame([{**vars(row), "holds": row.holds} for row in rows])
    target.mkdir(parents=True, exist_ok=True)
    table.to_csv(target / "coverage.csv", index=False, float_format="%.4f")
    text = shown(rows, repeats)
    (target / "coverage.txt").write_text(text + "\n")
    facts = {
        "command": f"scripts/coverage {repeats}",
        "seconds": round(time.perf_counter() - began, 1),
        "commit": revision,
        "versions": {"resformer": __version__, "numpy": np.__version__},
        "machine": machine(),
    }
    (target / "facts.json").write_text(json.dumps(facts, indent=1) + "\n")
    print(text)


def shown(rows: list[Finding], repeats: int) -> str:
    """Table of the findings."""
    lines = [
        f"{'quantity':34}{'seeds':>5}  "
        f"{'setting':28}{'nominal':>8}{'found':>8}{'error':>7}{'none':>7}"
    ]
    for row in rows:
        numbers = f"{row.nominal:8.1%}{row.found:8.1%}{row.error:7.1%}{row.none:7.1%}"
        lines.append(
            f"{row.quantity:34}{row.seeds:5}  "
            f"{row.setting:28}{numbers}{'' if row.holds else '  not nominal'}"
        )
    lines.append("")
    lines.append(
        f"{repeats:,} simulated studies a row; error: Monte-Carlo standard error; none: studies in "
        "which there"
    )
    lines.append(
        "was no interval (nobody solved, all alike, or too few seeds), which are not counted."
    )
    return "\n".join(lines)


def findings(seeds: int, repeats: int, generator: np.random.Generator) -> Iterator[Finding]:
    """Every row for so many seeds."""
    level = 0.9375 if seeds == 5 else 0.95
    for share in SHARES:
        budget, setting = budget_for(share), f"{share:.0%} solve"
        half = evaluated(np.array([MEDIAN]))[0]
        truth = restricted_truth(budget)
        draws = [censored(lognormal(generator, seeds), budget) for _ in range(repeats)]
        yield covered(
            "median, order statistics", seeds, setting, level, half, map(median_interval, draws)
        )
        yield covered(
            "restricted mean, Student's t",
            seeds,
            setting,
            0.95,
            truth,
            (restricted_mean_interval(draw, budget) for draw in draws),
        )
        budgets = np.where(np.arange(seeds) % 2, budget, 2 * budget / 3)
        mixed = (censored(lognormal(generator, seeds), budgets) for _ in range(repeats))
        yield covered(
            "median, Kaplan-Meier",
            seeds,
            f"{setting}, ⅓ less for half",
            0.95,
            half,
            (kaplan_meier_median(draw, budgets)[1:] for draw in mixed),
        )
        true_ratio = ratio_truth(budget)
        pairs = (paired(generator, seeds, budget) for _ in range(repeats))
        yield covered(
            "ratio, paired t of logarithms",
            seeds,
            setting,
            0.95,
            true_ratio,
            (paired_ratio(*pair)[1:] for pair in pairs),
        )
    for share in (0.5, 0.7, 0.9):
        yield wilson_coverage(seeds, share)
    yield limit_coverage(seeds, repeats, generator)
    for correlation in (0.0, 0.8):
        yield rejections(seeds, repeats, correlation, generator)
    yield family_errors(seeds, repeats // 4, generator)


def lognormal(generator: np.random.Generator, seeds: int) -> Floats:
    """Steps to solve before they are looked at every so many steps."""
    return MEDIAN * np.exp(SPREAD * generator.standard_normal(seeds))


def evaluated(steps: Floats) -> Floats:
    """The first evaluation at which they are seen."""
    return EVERY * np.ceil(steps / EVERY)


def censored(steps: Floats, budget: float | Floats) -> Floats:
    """Steps as a study records them: NaN from the budget on."""
    seen = evaluated(steps)
    return np.where(seen < budget, seen, np.nan)


def budget_for(share: float) -> float:
    """The budget within which this share of seeds solves; for all, far beyond."""
    edge = MEDIAN * math.exp(SPREAD * norm.ppf(min(share, 1 - 1e-9)))
    return float(evaluated(np.array([edge]))[0] + EVERY)


def restricted_truth(budget: float) -> float:
    """E min(T, budget), by summing the distribution over the evaluations."""
    edges = np.arange(0, budget + EVERY, EVERY)
    solved_by = norm.cdf(np.log(np.maximum(edges, 1e-9) / MEDIAN) / SPREAD)
    inside = edges[1:] < budget
    shares = np.diff(solved_by)
    return float((edges[1:] * shares)[inside].sum() + budget * (1 - shares[inside].sum()))


def paired(generator: np.random.Generator, seeds: int, budget: float) -> tuple[Floats, Floats]:
    """Steps spent in two arms whose seeds share some luck; the second takes 0.7 times as long."""
    common = generator.standard_normal(seeds)
    arms = []
    for factor in (1.0, 0.7):
        own = generator.standard_normal(seeds)
        steps = factor * MEDIAN * np.exp(SPREAD * (math.sqrt(0.5) * common + math.sqrt(0.5) * own))
        arms.append(spent(censored(steps, budget), budget))
    return arms[0], arms[1]


def ratio_truth(budget: float) -> float:
    """The ratio of geometric means of the steps spent, over a million seeds."""
    first, second = paired(np.random.default_rng(0), 1_000_000, budget)
    return math.exp(np.log(second / first).mean())


def covered(
    quantity: str,
    seeds: int,
    setting: str,
    nominal: float,
    truth: float,
    intervals: Iterator[Interval],
) -> Finding:
    """Share of the intervals that hold the truth; a bound that does not exist is open."""
    bounds = list(intervals)
    inside = [
        (low is None or low <= truth + 1e-9) and (high is None or truth <= high + 1e-9)
        for low, high in bounds
        if (low, high) != (None, None)
    ]
    return finding(quantity, seeds, setting, nominal, inside, studies=len(bounds))


def finding(
    quantity: str, seeds: int, setting: str, nominal: float, hits: list[bool], *, studies: int
) -> Finding:
    """Share of hits, with its Monte-Carlo error; `studies` counts those without one or the other
    too.
    """
    share = float(np.mean(hits))
    return Finding(
        quantity=quantity,
        seeds=seeds,
        setting=setting,
        nominal=nominal,
        found=share,
        error=math.sqrt(max(share * (1 - share), 1e-4) / len(hits)),
        none=1 - len(hits) / studies,
    )


def wilson_coverage(seeds: int, share: float) -> Finding:
    """Summed over all outcomes: no simulation, no error."""
    inside = [
        low <= share <= high for low, high in (wilson(solved, seeds) for solved in range(seeds + 1))
    ]
    inside_share = float(binom.pmf(np.arange(seeds + 1), seeds, share)[inside].sum())
    return Finding(
        quantity="share solved, Wilson",
        seeds=seeds,
        setting=f"{share:.0%} solve",
        nominal=0.95,
        found=inside_share,
        error=0.0,
        none=0.0,
    )


def limit_coverage(seeds: int, repeats: int, generator: np.random.Generator) -> Finding:
    """Depths 1 … 32 that fewer and fewer seeds solve; the truth is the last at which half do."""
    depths, shares = [1, 2, 4, 8, 16, 32], np.array([1.0, 0.95, 0.8, 0.6, 0.2, 0.02])

    def interval() -> Interval:
        solved = generator.binomial(seeds, shares).tolist()
        if depth_run(depths, solved, [seeds] * len(depths))[1] is None:
            return None, None
        low, high = limit_bounds(depths, solved, [seeds] * len(depths))
        return (0.0 if low is None else low), high

    setting = "100 95 80 60 20 2 % by depth"
    return covered(
        "depth limit, by Wilson", seeds, setting, 0.95, 8, (interval() for _ in range(repeats))
    )


def null_strata(seeds: int, correlation: float, generator: np.random.Generator) -> list[Stratum]:
    """Two arms of the same distribution, over depths and rates, whose seeds share some luck."""
    common = np.tile(generator.standard_normal((seeds, 1)), (2, 1))
    strata = []
    for depth in range(DEPTHS):
        luck = math.sqrt(correlation) * common + math.sqrt(
            1 - correlation
        ) * generator.standard_normal((2 * seeds, RATES))
        steps = censored(
            MEDIAN * (1 + depth / 2) * np.array([1.3, 1.0, 1.1]) * np.exp(SPREAD * luck), 400.0
        )
        strata.append(
            Stratum(
                steps_UR=steps,
                loss_UR=generator.random(steps.shape),
                ran_UR=np.ones(steps.shape, dtype=bool),
                budget=400,
            )
        )
    return strata


def p_of(strata: list[Stratum], seeds: int) -> float | None:
    """The p-value of the test of two arms of so many seeds; None where there is nothing to test."""
    test = permutation_test(strata, first=seeds, second=seeds, max_permutations=PERMUTATIONS)
    return test and test[0]


def rejections(
    seeds: int, repeats: int, correlation: float, generator: np.random.Generator
) -> Finding:
    """Share of studies with p ≤ 0.05 where the arms are alike."""
    p = [p_of(null_strata(seeds, correlation, generator), seeds) for _ in range(repeats)]
    return rejected(
        "test, p ≤ 0.05, no difference", seeds, f"{DEPTHS} depths, seeds share {correlation:.0%}", p
    )


def family_errors(seeds: int, repeats: int, generator: np.random.Generator) -> Finding:
    """Share of studies whose smallest of four adjusted p is ≤ 0.05 where all arms are alike."""

    def smallest() -> float:
        p = [p_of(null_strata(seeds, 0.0, generator), seeds) or 1.0 for _ in range(4)]
        return float(holm(p).min())

    return rejected(
        "test, Holm, 4 comparisons",
        seeds,
        "any of them ≤ 0.05",
        [smallest() for _ in range(repeats)],
    )


def rejected(quantity: str, seeds: int, setting: str, p: list[float | None]) -> Finding:
    """The share of p-values up to 0.05."""
    small = [value <= 0.05 for value in p if value is not None]
    return finding(quantity, seeds, setting, 0.05, small, studies=len(p))


if __name__ == "__main__":
    main()
