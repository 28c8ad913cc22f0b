"""Scenarios: two arms of which the truth is known, and studies that are drawn from them."""

import math
from dataclasses import dataclass, replace
from typing import Literal, final

import numpy as np
from scipy.stats import norm

from resformer.stats import Floats
from resformer.stats.rates import rates_by_other_seeds
from resformer.stats.two_sample import Stratum

DEPTHS = (1, 2, 4, 8)
BUDGET, EVERY = 600, 10
"""Steps, and steps between two evaluations."""
Rates = tuple[tuple[float, float], ...]
"""Share of the seeds that solve at the best rate, and times its steps, of each rate."""
_RATES: Rates = ((0.8, 1.3), (1.0, 1.0), (0.9, 1.15))
ALIKE: Rates = ((1.0, 1.12), (1.0, 1.0), (1.0, 1.06))
_RISING: Rates = ((0.1, 3.0), (0.3, 2.0), (0.6, 1.4), (0.8, 1.1), (1.0, 1.0), (0.9, 1.15))
_SPREAD, _SPREAD_AT_LIMIT = 0.12, 0.35
"""Standard deviation of the logarithm of the steps, where all seeds solve and where some do."""

Truth = Literal["scheme", "baseline", "neither"]


@final
@dataclass(frozen=True, kw_only=True)
class Arm:
    """Share of seeds that solve at the best rate, and median steps of these, by depth."""

    shares: tuple[float, ...]
    steps: tuple[float, ...] = (60, 80, 120, 200)


@final
@dataclass(frozen=True, kw_only=True)
class Scenario:
    """Two arms over the same depths, and how far luck is shared by equal seeds of both."""

    name: str
    scheme: Arm
    baseline: Arm
    deeper: Truth
    """The arm that solves deeper."""
    shared: float = 0.4
    rates: Rates = _RATES
    tried_first: int | None = None
    """Number of rates that are tried at first; while the best one of an arm is the last of those
    tried, both arms try the next (`member.lr=auto`). None: all of them.
    """


_ALL = Arm(shares=(1, 1, 1, 1))
_DECLINE = Arm(shares=(1, 0.9, 0.6, 0.2))
_FASTER = (48.0, 64.0, 96.0, 160.0)
_SLOWER = (75.0, 100.0, 120.0, 200.0)

SCENARIOS = (
    Scenario(
        name="no difference, seeds independent",
        scheme=_DECLINE,
        baseline=_DECLINE,
        deeper="neither",
        shared=0.0,
    ),
    Scenario(name="no difference", scheme=_DECLINE, baseline=_DECLINE, deeper="neither"),
    Scenario(
        name="no difference, seeds share 80 %",
        scheme=_DECLINE,
        baseline=_DECLINE,
        deeper="neither",
        shared=0.8,
    ),
    Scenario(
        name="same depths, 0.8 times the steps",
        scheme=Arm(shares=_DECLINE.shares, steps=_FASTER),
        baseline=_DECLINE,
        deeper="neither",
    ),
    Scenario(
        name="all solve, 0.8 times the steps",
        scheme=Arm(shares=_ALL.shares, steps=_FASTER),
        baseline=_ALL,
        deeper="neither",
    ),
    Scenario(
        name="two depths deeper, slower shallow (as quick)",
        scheme=Arm(shares=_ALL.shares, steps=_SLOWER),
        baseline=Arm(shares=(1, 1, 0.3, 0)),
        deeper="scheme",
    ),
    Scenario(
        name="two depths deeper", scheme=_ALL, baseline=Arm(shares=(1, 1, 0.02, 0)), deeper="scheme"
    ),
    Scenario(
        name="one depth deeper, 95 : 5 %",
        scheme=Arm(shares=(1, 1, 1, 0.95)),
        baseline=Arm(shares=(1, 1, 1, 0.05)),
        deeper="scheme",
    ),
    Scenario(
        name="one depth deeper, 90 : 40 %",
        scheme=Arm(shares=(1, 1, 1, 0.9)),
        baseline=Arm(shares=(1, 1, 1, 0.4)),
        deeper="scheme",
    ),
    Scenario(
        name="slower shallow, one depth deeper, 95 : 5 %",
        scheme=Arm(shares=(1, 1, 1, 0.95), steps=_SLOWER),
        baseline=Arm(shares=(1, 1, 1, 0.05)),
        deeper="scheme",
    ),
    Scenario(
        name="two depths deeper, 80 : 40 %",
        scheme=Arm(shares=(1, 1, 0.8, 0.8)),
        baseline=Arm(shares=(1, 1, 0.4, 0.4)),
        deeper="scheme",
    ),
    Scenario(
        name="95 : 5 % at depth 4, 20 : 0 % at 8",
        scheme=Arm(shares=(1, 1, 0.95, 0.2)),
        baseline=Arm(shares=(1, 1, 0.05, 0)),
        deeper="scheme",
    ),
    Scenario(
        name="solve rates cross, 50 : 100 % shallow, 100 : 0 % deep",
        scheme=Arm(shares=(0.5, 0.5, 1, 1)),
        baseline=Arm(shares=(1, 1, 0, 0)),
        deeper="scheme",
    ),
    # Three more: a small lead everywhere, a lead in the middle only, luck that all seeds share.
    Scenario(
        name="a little better at each depth",
        scheme=Arm(shares=(1, 1, 0.8, 0.4)),
        baseline=Arm(shares=(1, 0.8, 0.5, 0.2)),
        deeper="scheme",
    ),
    Scenario(
        name="ahead in the middle only",
        scheme=Arm(shares=(1, 1, 0.95, 0)),
        baseline=Arm(shares=(1, 0.05, 0.05, 0)),
        deeper="scheme",
    ),
    Scenario(
        name="one depth deeper, 95 : 5 %, seeds share 80 %",
        scheme=Arm(shares=(1, 1, 1, 0.95)),
        baseline=Arm(shares=(1, 1, 1, 0.05)),
        deeper="scheme",
        shared=0.8,
    ),
    # Rates: two that are nearly as good, and a best one beyond those that are tried at first.
    Scenario(
        name="no difference, rates nearly alike",
        scheme=_DECLINE,
        baseline=_DECLINE,
        deeper="neither",
        shared=0.0,
        rates=ALIKE,
    ),
    Scenario(
        name="no difference, rates extended",
        scheme=_DECLINE,
        baseline=_DECLINE,
        deeper="neither",
        shared=0.0,
        rates=_RISING,
        tried_first=3,
    ),
    Scenario(
        name="one depth deeper, 95 : 5 %, rates extended",
        scheme=Arm(shares=(1, 1, 1, 0.95)),
        baseline=Arm(shares=(1, 1, 1, 0.05)),
        deeper="scheme",
        rates=_RISING,
        tried_first=3,
    ),
)


def draw(
    scenario: Scenario, seeds: tuple[int, int], generator: np.random.Generator
) -> list[Stratum]:
    """A study of so many seeds of scheme and baseline: both arms at every depth and rate.

    Luck is standard normal: one number decides whether a seed solves, another how soon; a part of
    both is the same for equal seeds of the two arms.
    """
    depths = len(scenario.scheme.shares)
    common = generator.standard_normal((depths, 2, max(seeds), 1))
    strata = []
    for depth in range(depths):
        steps = [
            _steps(arm, depth, common[depth, :, :count], scenario, generator)
            for arm, count in ((scenario.scheme, seeds[0]), (scenario.baseline, seeds[1]))
        ]
        steps_UR = np.concatenate(steps)
        loss_UR = generator.random(steps_UR.shape)
        tried = _tried(scenario, steps_UR, loss_UR, seeds[0])
        strata.append(
            Stratum(
                steps_UR=steps_UR[:, :tried],
                loss_UR=loss_UR[:, :tried],
                ran_UR=np.ones((len(steps_UR), tried), dtype=bool),
                budget=BUDGET,
            )
        )
    return strata


def _tried(scenario: Scenario, steps_UR: Floats, loss_UR: Floats, first: int) -> int:
    """Number of rates that both arms try, the first of which has so many seeds."""
    tried = scenario.tried_first or len(scenario.rates)
    while tried < len(scenario.rates):
        last = tried - 1
        for arm in (slice(None, first), slice(first, None)):
            steps_SR, loss_SR = steps_UR[arm, :tried], loss_UR[arm, :tried]
            ran_SR = np.ones(steps_SR.shape, dtype=bool)
            chosen_S = rates_by_other_seeds(steps_SR, loss_SR, ran_SR, BUDGET)
            best = np.bincount(chosen_S).argmax()
            if best == last and not np.isnan(steps_SR[:, best]).all():
                break
        else:
            break
        tried += 1
    return tried


def _steps(
    arm: Arm, depth: int, common_2S1: Floats, scenario: Scenario, generator: np.random.Generator
) -> Floats:
    """Steps to solve of an arm at one depth, (S, R), NaN where a seed does not."""
    own = generator.standard_normal((2, common_2S1.shape[1], len(scenario.rates)))
    shared = scenario.shared
    solving, speed = math.sqrt(shared) * common_2S1 + math.sqrt(1 - shared) * own
    share, median = arm.shares[depth], arm.steps[depth]
    shares_R, factors_R = np.array(scenario.rates).T
    spread = _SPREAD if share in (0, 1) else _SPREAD_AT_LIMIT
    steps_SR = EVERY * np.ceil(median * factors_R * np.exp(spread * speed) / EVERY)
    # At every rate of an arm of which all seeds solve all of them do.
    solved_SR = norm.cdf(solving) < (share if share == 1 else share * shares_R)
    return np.where(solved_SR & (steps_SR < BUDGET), steps_SR, np.nan)


def steps_at_best_rate(
    scenario: Scenario, arm: Arm, depth: int, seeds: int, generator: np.random.Generator
) -> Floats:
    """Steps to solve of many seeds at the best rate, (S,), NaN where a seed does not."""
    alone = replace(scenario, shared=0.0)
    steps_SR = _steps(arm, depth, np.zeros((2, seeds, 1)), alone, generator)
    return steps_SR[:, scenario.rates.index((1.0, 1.0))]
