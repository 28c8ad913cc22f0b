"""Decisions of the test of how deep: how often it says so, for which side, and how often wrongly.

decisions.csv  shares of studies, with the Monte-Carlo error of each
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import final

import numpy as np
import pandas as pd

from lib.coverage.scenarios import DEPTHS, SCENARIOS, Scenario, draw
from resformer.stats.multiplicity import LEVEL, adjust
from resformer.stats.power import FIRST_LOOK, SECOND_LOOK
from resformer.stats.two_sample import Stratum, depth_test, shares_apart

SEEDS = ((3, 3), (4, 4), (5, 5), (6, 6), (8, 8), (10, 10), (16, 16), (5, 10))
PERMUTATIONS = 999
_LOOKS = (5, 10)
_FAMILIES = (2, 8)
"""Comparisons corrected together: by Holm, and by Benjamini and Hochberg."""


@final
@dataclass(frozen=True, kw_only=True)
class Decision:
    """p-values by depth of one comparison, and who solves more at each."""

    p: tuple[float, ...]
    leads: tuple[float, ...]

    def side(self, level: float = LEVEL, factor: float = 1.0) -> str:
        """The arm ahead at the deepest significant depth; "" if there is none."""
        for p, lead in zip(reversed(self.p), reversed(self.leads), strict=True):
            if p * factor <= level + 1e-12:
                return "scheme" if lead > 0 else "baseline"
        return ""


def decide(strata: list[Stratum], first: int, second: int) -> Decision:
    """The decision on one study."""
    p_D = depth_test(strata, first=first, second=second, max_permutations=PERMUTATIONS)
    observed = np.arange(first + second)[None] < first
    return Decision(
        p=tuple(np.ones(len(DEPTHS)) if p_D is None else p_D),
        leads=tuple(shares_apart(strata, observed)[0]),
    )


def decisions(repeats: int) -> pd.DataFrame:
    """A row per procedure, scenario and number of seeds, with the shares of studies that decide for
    the scheme and for the baseline.
    """
    rows = []
    for number, scenario in enumerate(SCENARIOS):
        for seeds in SEEDS:
            generator = np.random.default_rng([number, *seeds])
            sides = [
                decide(draw(scenario, seeds, generator), *seeds).side() for _ in range(repeats)
            ]
            rows.append(_row("one comparison", scenario, f"{seeds[0]}:{seeds[1]}", sides))
        for name, study in procedures():
            generator = np.random.default_rng([number, *map(ord, name)])
            sides = [side for _ in range(repeats // 4) for side in study(scenario, generator)]
            rows.append(_row(name, scenario, "5:5", sides))
    return pd.DataFrame(rows)


def procedures() -> Iterator[tuple[str, Callable[[Scenario, np.random.Generator], list[str]]]]:
    """Families of comparisons of the same scenario, and two looks at one."""
    for size in _FAMILIES:

        def family(
            scenario: Scenario, generator: np.random.Generator, size: int = size
        ) -> list[str]:
            taken = [decide(draw(scenario, (5, 5), generator), 5, 5) for _ in range(size)]
            adjusted = adjust([min(decision.p) for decision in taken])
            return [
                decision.side(factor=float(p) / min(decision.p))
                for decision, p in zip(taken, adjusted, strict=True)
            ]

        yield f"{size} comparisons, {'Holm' if size <= 6 else 'Benjamini-Hochberg'}", family
    yield "two looks", _two_looks


def _two_looks(scenario: Scenario, generator: np.random.Generator) -> list[str]:
    """Five seeds; five more where these do not decide, and the levels of both looks."""
    strata = draw(scenario, (_LOOKS[1], _LOOKS[1]), generator)
    units = np.r_[: _LOOKS[0], _LOOKS[1] : _LOOKS[1] + _LOOKS[0]]
    first = [
        Stratum(
            steps_UR=stratum.steps_UR[units],
            loss_UR=stratum.loss_UR[units],
            ran_UR=stratum.ran_UR[units],
            budget=stratum.budget,
        )
        for stratum in strata
    ]
    side = decide(first, _LOOKS[0], _LOOKS[0]).side(FIRST_LOOK)
    return [side or decide(strata, _LOOKS[1], _LOOKS[1]).side(SECOND_LOOK)]


def _row(procedure: str, scenario: Scenario, seeds: str, sides: list[str]) -> dict[str, object]:
    shares = {arm: sides.count(arm) / len(sides) for arm in ("scheme", "baseline")}
    wrong = sum(share for arm, share in shares.items() if arm != scenario.deeper)
    return {
        "procedure": procedure,
        "scenario": scenario.name,
        "seeds": seeds,
        "studies": len(sides),
        **shares,
        "wrong": wrong,
        "error": math.sqrt(max(wrong * (1 - wrong), 1e-4) / len(sides)),
    }
