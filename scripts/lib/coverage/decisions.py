"""Decisions of the test of how deep: how often it says so, for which side, and how often wrongly.

decisions.csv  shares of studies, with the Monte-Carlo error of each
"""

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import final

import numpy as np
import pandas as pd

from lib.coverage.scenarios import DEPTHS, SCENARIOS, Scenario, draw
from resformer.stats import Floats, looks
from resformer.stats.multiplicity import LEVEL, adjust, method
from resformer.stats.two_sample import Stratum, depth_test, shares_apart

SEEDS = ((3, 3), (4, 4), (5, 5), (6, 6), (8, 8), (10, 10), (16, 16), (5, 10))
PERMUTATIONS = 999
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
    """A row per procedure, scenario and number of seeds, with the shares of comparisons that decide
    for the scheme and for the baseline.
    """
    with ProcessPoolExecutor() as pool:
        parts = pool.map(partial(_of_scenario, repeats=repeats), range(len(SCENARIOS)))
        return pd.DataFrame([row for rows in parts for row in rows])


def _of_scenario(number: int, repeats: int) -> list[dict[str, object]]:
    """The rows of one scenario."""
    rows, scenario = [], SCENARIOS[number]
    for seeds in SEEDS:
        generator = np.random.default_rng([number, *seeds])
        sides = [[decide(draw(scenario, seeds, generator), *seeds).side()] for _ in range(repeats)]
        rows.append(_row("one comparison", scenario, f"{seeds[0]}:{seeds[1]}", sides))
    for name, seeds_text, study in procedures():
        generator = np.random.default_rng([number, *map(ord, name + seeds_text)])
        sides = [study(scenario, generator) for _ in range(max(1, repeats // 4))]
        rows.append(_row(name, scenario, seeds_text, sides))
    return rows


Study = Callable[[Scenario, np.random.Generator], list[str]]
"""Draws a study of a scenario; returns the side of each of its comparisons."""


def procedures() -> Iterator[tuple[str, str, Study]]:
    """Families of comparisons of the same scenario, and two looks at these; each with its name and
    its seeds.
    """
    for size in _FAMILIES:
        name = f"{size} comparisons, {method(size)}"
        yield name, "5:5", partial(_family, size)
    for size, seeds in ((1, 5), (1, 6), *((size, 6) for size in _FAMILIES)):
        name = "two looks" if size == 1 else f"two looks, {size} comparisons, {method(size)}"
        yield name, f"{seeds}:{seeds}", partial(_two_looks, size, seeds)


def _family(size: int, scenario: Scenario, generator: np.random.Generator) -> list[str]:
    taken = [decide(draw(scenario, (5, 5), generator), 5, 5) for _ in range(size)]
    return _sides(taken, adjust([min(decision.p) for decision in taken]))


def _two_looks(
    size: int, seeds: int, scenario: Scenario, generator: np.random.Generator
) -> list[str]:
    """So many seeds; as many more where these do not decide."""
    studies = [draw(scenario, (2 * seeds, 2 * seeds), generator) for _ in range(size)]
    first = [decide(_first_seeds(strata, seeds), seeds, seeds) for strata in studies]
    p_M = [min(decision.p) for decision in first]
    taken = [
        decide(strata, 2 * seeds, 2 * seeds) if again else decision
        for strata, decision, again in zip(studies, first, looks.undecided(p_M), strict=True)
    ]
    return _sides(taken, looks.second_look(p_M, [min(decision.p) for decision in taken]))


def _first_seeds(strata: list[Stratum], seeds: int) -> list[Stratum]:
    """The first half of the seeds of both arms."""
    units = np.r_[:seeds, 2 * seeds : 3 * seeds]
    return [
        Stratum(
            steps_UR=stratum.steps_UR[units],
            loss_UR=stratum.loss_UR[units],
            ran_UR=stratum.ran_UR[units],
            budget=stratum.budget,
        )
        for stratum in strata
    ]


def _sides(taken: list[Decision], adjusted_M: Floats) -> list[str]:
    """The side of each comparison, whose p-values at its depths take the factor of its own."""
    return [
        decision.side(factor=float(p) / min(decision.p))
        for decision, p in zip(taken, adjusted_M, strict=True)
    ]


def _row(
    procedure: str, scenario: Scenario, seeds: str, studies: list[list[str]]
) -> dict[str, object]:
    """Shares of comparisons that decide for either side and for a wrong one, with the Monte-Carlo
    error of the last; and the share of studies with any wrong decision.
    """
    sides = [side for study in studies for side in study]
    shares = {arm: sides.count(arm) / len(sides) for arm in ("scheme", "baseline")}
    wrong = sum(share for arm, share in shares.items() if arm != scenario.deeper)
    any_wrong = np.mean([any(side not in ("", scenario.deeper) for side in of) for of in studies])
    return {
        "procedure": procedure,
        "scenario": scenario.name,
        "seeds": seeds,
        "studies": len(studies),
        **{f"for_{arm}": share for arm, share in shares.items()},
        "wrong": wrong,
        "error": math.sqrt(max(wrong * (1 - wrong), 1e-4) / len(sides)),
        "any_wrong": float(any_wrong),
    }
