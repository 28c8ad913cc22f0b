"""Coverage of every interval of a report, learning rates chosen by the other seeds as it does."""

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import pandas as pd
from scipy.special import expit

from lib.coverage.scenarios import (
    ALIKE,
    BUDGET,
    DEPTHS,
    SCENARIOS,
    Arm,
    Scenario,
    draw,
    steps_at_best_rate,
)
from resformer.stats import Floats, Integers
from resformer.stats.depth import depth_run, limit_bounds, wilson
from resformer.stats.logistic import half_depth
from resformer.stats.rates import rates_by_other_seeds
from resformer.stats.reach import Solved, doublings_apart
from resformer.stats.speed import paired_ratio
from resformer.stats.steps import (
    kaplan_meier_median,
    median_interval,
    restricted_mean_interval,
    spent,
)
from resformer.stats.two_sample import Stratum

SEEDS = ((3, 3), (4, 4), (5, 5), (6, 6), (8, 8), (10, 10), (16, 16), (5, 10))
_NOMINAL = 0.95
Bounds = tuple[float | None, float | None]

_FASTER = Arm(shares=(1, 1, 1, 1), steps=(42, 56, 84, 140))
"""0.7 times the steps."""
ARMS = (
    Scenario(
        name="100 90 80 60 % by depth, 0.7 times the steps",
        scheme=_FASTER,
        baseline=Arm(shares=(1, 0.9, 0.8, 0.6)),
        deeper="neither",
    ),
    *(
        scenario
        for scenario in SCENARIOS
        if scenario.name in ("two depths deeper", "one depth deeper, 95 : 5 %", "no difference")
    ),
    *(
        Scenario(
            name=f"all solve, {name}",
            scheme=_FASTER,
            baseline=Arm(shares=(1, 1, 1, 1)),
            deeper="neither",
            rates=rates,
        )
        for name, rates in (("rates nearly alike", ALIKE), ("rates alike", ((1.0, 1.0),) * 3))
    ),
)
HALF_OCTAVES = (1, 2, 3, 4, 6, 8, 12, 16)
_DECLINES = ((5.0, 0.1), (5.0, 0.4), (5.0, 0.8), (12.0, 0.4))
"""Depth at which half of the seeds solve, and octaves over which the share falls, of each arm."""


def intervals(repeats: int) -> pd.DataFrame:
    """A row per quantity, setting and number of seeds: the share of intervals that hold the truth,
    of the studies in which there was one.
    """
    rows = []
    for number, scenario in enumerate(ARMS):
        truths = dict(_truths(scenario))
        for seeds in SEEDS:
            generator = np.random.default_rng([number, *seeds])
            bounds: dict[str, list[Bounds]] = {quantity: [] for quantity in truths}
            for _ in range(repeats):
                for quantity, interval in _study(scenario, seeds, generator):
                    bounds[quantity].append(interval)
            rows += [
                _row(quantity, scenario, seeds, truths[quantity], found)
                for quantity, found in bounds.items()
            ]
    return pd.DataFrame([*rows, *_fits(repeats)])


def _truths(scenario: Scenario) -> Iterator[tuple[str, float]]:
    """Values of the distribution at the best rate, the first depth and the last for each arm."""
    baseline = scenario.baseline
    for depth in (0, len(DEPTHS) - 1):
        steps = steps_at_best_rate(scenario, baseline, depth, 200_000, np.random.default_rng(depth))
        at = f" at depth {DEPTHS[depth]}"
        yield f"share solved, Wilson{at}", baseline.shares[depth]
        if baseline.shares[depth] > 0.5:
            ordered = np.sort(steps)  # NaN, which is not solved, comes last
            yield f"median, order statistics{at}", float(ordered[(len(ordered) - 1) // 2])
            yield f"median, Kaplan-Meier{at}", float(ordered[(len(ordered) - 1) // 2])
            yield f"restricted mean, Student's t{at}", float(spent(steps, BUDGET).mean())
    yield (
        "depth limit, Wilson",
        float(
            depth_run(DEPTHS, [round(1000 * share) for share in baseline.shares], [1000] * 4)[1]
            or 0
        ),
    )
    weights = (
        1.0,
        *(math.log2(deep / before) for before, deep in pairwise(DEPTHS)),
    )
    yield (
        "doublings, MOVER",
        sum(
            weight * (mine - other)
            for weight, mine, other in zip(
                weights, scenario.scheme.shares, baseline.shares, strict=True
            )
        ),
    )
    mine, other = (
        steps_at_best_rate(scenario, arm, 0, 200_000, np.random.default_rng(9))
        for arm in (scenario.scheme, baseline)
    )
    yield "speed at depth 1, paired t", math.exp(np.log(mine / other).mean())


def _study(
    scenario: Scenario, seeds: tuple[int, int], generator: np.random.Generator
) -> Iterator[tuple[str, Bounds]]:
    """The intervals of one study."""
    strata = draw(scenario, seeds, generator)
    scheme, baseline = arms = _scored(strata, seeds)
    for depth in (0, len(DEPTHS) - 1):
        steps_S, at = baseline[depth], f" at depth {DEPTHS[depth]}"
        yield f"share solved, Wilson{at}", wilson(_solved(steps_S), len(steps_S))
        if scenario.baseline.shares[depth] > 0.5:
            yield f"median, order statistics{at}", median_interval(steps_S)
            budget_S = np.where(np.arange(len(steps_S)) % 2, BUDGET, BUDGET * 2 // 3)
            cut_S = np.where(steps_S < budget_S, steps_S, np.nan)
            yield f"median, Kaplan-Meier{at}", kaplan_meier_median(cut_S, budget_S)[1:]
            yield f"restricted mean, Student's t{at}", restricted_mean_interval(steps_S, BUDGET)
    solved, counts = (
        [[_solved(steps_S) for steps_S in arm] for arm in arms],
        [[len(steps_S) for steps_S in arm] for arm in arms],
    )
    low, high = limit_bounds(DEPTHS, solved[1], counts[1])
    yield "depth limit, Wilson", (low, high)
    yield (
        "doublings, MOVER",
        doublings_apart(
            DEPTHS,
            Solved(solved=solved[0], seeds=counts[0]),
            Solved(solved=solved[1], seeds=counts[1]),
        )[1:],
    )
    both = min(seeds)
    mine_S, other_S = (
        steps_SR[:, np.bincount(rate_S).argmax()] for steps_SR, rate_S in _arms(strata[0], seeds)
    )
    if np.isnan([*mine_S, *other_S, *scheme[0], *baseline[0]]).any():
        yield "speed at depth 1, paired t", (None, None)
    else:
        yield "speed at depth 1, paired t", paired_ratio(other_S[:both], mine_S[:both])[1:]


def _scored(strata: Sequence[Stratum], seeds: tuple[int, int]) -> tuple[list[Floats], list[Floats]]:
    """Steps to solve of scheme and baseline by depth, each seed at the rate of the others."""
    arms: tuple[list[Floats], list[Floats]] = ([], [])
    for stratum in strata:
        for arm, (steps_SR, rate_S) in zip(arms, _arms(stratum, seeds), strict=True):
            arm.append(steps_SR[np.arange(len(rate_S)), rate_S])
    return arms


def _arms(stratum: Stratum, seeds: tuple[int, int]) -> Iterator[tuple[Floats, Integers]]:
    """Steps at every rate, and the rate that the other seeds choose, of scheme and baseline."""
    for rows in (slice(None, seeds[0]), slice(seeds[0], None)):
        steps_SR = stratum.steps_UR[rows]
        yield (
            steps_SR,
            rates_by_other_seeds(steps_SR, stratum.loss_UR[rows], stratum.ran_UR[rows], BUDGET),
        )


def _fits(repeats: int) -> Iterator[dict[str, object]]:
    """A row per number of seeds and steepness of the decline, on a grid with half-octaves; both
    arms are alike and each study gives two intervals.
    """
    for number, (middle, scale) in enumerate(_DECLINES):
        share_D = expit((math.log2(middle) - np.log2(HALF_OCTAVES)) / scale)
        arm = Arm(
            # Where nearly all or nearly no seeds solve, they do so at every rate.
            shares=tuple(np.where(np.abs(share_D - 0.5) > 0.48, share_D.round(), share_D).tolist()),
            steps=tuple(60.0 + 20.0 * depth for depth in HALF_OCTAVES),
        )
        scenario = Scenario(
            name=f"half of the seeds solve depth {middle:g}, logistic over {scale:g} octaves",
            scheme=arm,
            baseline=arm,
            deeper="neither",
        )
        for seeds in SEEDS:
            generator = np.random.default_rng([1000 + number, *seeds])
            bounds: list[Bounds] = []
            for _ in range(repeats // 2):
                for steps in _scored(draw(scenario, seeds, generator), seeds):
                    solved = [_solved(steps_S) for steps_S in steps]
                    counts = [len(steps_S) for steps_S in steps]
                    bounds.append(half_depth(HALF_OCTAVES, solved, counts)[1:])
            yield _row("depth of half, logistic fit", scenario, seeds, middle, bounds)


def _solved(steps_S: Floats) -> int:
    return int((~np.isnan(steps_S)).sum())


def _row(
    quantity: str,
    scenario: Scenario,
    seeds: tuple[int, int],
    truth: float,
    bounds: Sequence[Bounds],
) -> dict[str, object]:
    """Share of the intervals that hold the truth; a bound that does not exist is open."""
    given = [interval for interval in bounds if interval != (None, None)]
    hits = [
        (low is None or low <= truth + 1e-9) and (high is None or truth <= high + 1e-9)
        for low, high in given
    ]
    share = float(np.mean(hits)) if hits else math.nan
    return {
        "quantity": quantity,
        "setting": scenario.name,
        "seeds": f"{seeds[0]}:{seeds[1]}",
        "truth": truth,
        "studies": len(bounds),
        "without": 1 - len(given) / len(bounds),
        "nominal": _NOMINAL,
        "covered": share,
        "error": math.sqrt(max(share * (1 - share), 1e-4) / len(hits)) if hits else math.nan,
    }
