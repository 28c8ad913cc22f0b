"""Scenarios: two arms of which the truth is known, and studies that are drawn from them."""

import math
from dataclasses import dataclass
from typing import Literal, final

import numpy as np
from scipy.stats import norm

from resformer.stats import Floats
from resformer.stats.two_sample import Stratum

DEPTHS = (1, 2, 4, 8)
BUDGET, EVERY = 600, 10
"""Steps, and steps between two evaluations."""
_RATES = ((0.8, 1.3), (1.0, 1.0), (0.9, 1.15))
"""Share of the seeds that solve at the best rate, and times its steps, of each of three rates."""
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
            _steps(arm, depth, common[depth, :, :count], scenario.shared, generator)
            for arm, count in ((scenario.scheme, seeds[0]), (scenario.baseline, seeds[1]))
        ]
        steps_UR = np.concatenate(steps)
        strata.append(
            Stratum(
                steps_UR=steps_UR,
                loss_UR=generator.random(steps_UR.shape),
                ran_UR=np.ones(steps_UR.shape, dtype=bool),
                budget=BUDGET,
            )
        )
    return strata


def _steps(
    arm: Arm, depth: int, common_2S1: Floats, shared: float, generator: np.random.Generator
) -> Floats:
    """Steps to solve of an arm at one depth, (S, R), NaN where a seed does not."""
    own = generator.standard_normal((2, common_2S1.shape[1], len(_RATES)))
    solving, speed = math.sqrt(shared) * common_2S1 + math.sqrt(1 - shared) * own
    share, median = arm.shares[depth], arm.steps[depth]
    shares_R, factors_R = np.array(_RATES).T
    spread = _SPREAD if share in (0, 1) else _SPREAD_AT_LIMIT
    steps_SR = EVERY * np.ceil(median * factors_R * np.exp(spread * speed) / EVERY)
    # At every rate of an arm of which all seeds solve all of them do.
    solved_SR = norm.cdf(solving) < (share if share == 1 else share * shares_R)
    return np.where(solved_SR & (steps_SR < BUDGET), steps_SR, np.nan)


def steps_at_best_rate(arm: Arm, depth: int, seeds: int, generator: np.random.Generator) -> Floats:
    """Steps to solve of many seeds at the best rate, (S,), NaN where a seed does not."""
    steps_SR = _steps(arm, depth, np.zeros((2, seeds, 1)), 0.0, generator)
    return steps_SR[:, 1]
