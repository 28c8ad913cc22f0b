"""Decisions on studies of real trainings: seeds drawn from the 30 of results/reference/seeds."""

from collections.abc import Iterator
from functools import partial
from itertools import groupby

import numpy as np
import pandas as pd

from lib.coverage.decisions import decide
from lib.facts import REFERENCE
from resformer.stats import Floats
from resformer.stats.two_sample import Stratum

MEMBERS = REFERENCE / "seeds" / "members.csv"
SEEDS = (4, 5, 6, 8, 10, 15)

Arm = dict[int, tuple[Floats, Floats]]
"""Steps to solve, NaN where not solved, and final losses by depth, each (S, R)."""


def real(repeats: int) -> pd.DataFrame:
    """A row per pair of arms and number of seeds, with the shares of studies that decide for the
    first arm and for the second. An arm against itself is two disjoint sets of its seeds, of which
    none is deeper.
    """
    members = pd.read_csv(MEMBERS)
    budget = float(members["last_step"].max())
    arms = {
        f"{residual}, {norm}-norm": dict(_by_depth(rows))
        for (residual, norm), rows in members.groupby(["residual", "norm"])
    }
    rows = []
    for number, (scheme, baseline) in enumerate(_pairs([*arms])):
        for seeds in SEEDS:
            generator = np.random.default_rng([number, seeds])
            study = partial(_side, arms[scheme], arms[baseline], seeds, budget, generator)
            sides = [study(alike=scheme == baseline) for _ in range(repeats)]
            rows.append(
                {
                    "scheme": scheme,
                    "baseline": baseline,
                    "seeds": f"{seeds}:{seeds}",
                    "studies": repeats,
                    "for_scheme": sides.count("scheme") / repeats,
                    "for_baseline": sides.count("baseline") / repeats,
                }
            )
    return pd.DataFrame(rows)


def _pairs(arms: list[str]) -> Iterator[tuple[str, str]]:
    """Each arm with itself, then the schemes of the same norm with each other."""
    yield from ((arm, arm) for arm in arms)
    by_norm = sorted(arms, key=lambda arm: arm.split(", ")[1])
    for _, group in groupby(by_norm, key=lambda arm: arm.split(", ")[1]):
        scheme, baseline = group
        yield scheme, baseline


def _by_depth(rows: pd.DataFrame) -> Iterator[tuple[int, tuple[Floats, Floats]]]:
    for depth, at_depth in rows.groupby("depth"):
        tables = (
            at_depth.pivot(index="seed", columns="lr", values=column)
            for column in ("solved_step", "final_loss")
        )
        steps_SR, loss_SR = (table.to_numpy(dtype=float) for table in tables)
        yield int(str(depth)), (steps_SR, loss_SR)


def _side(
    scheme: Arm,
    baseline: Arm,
    seeds: int,
    budget: float,
    generator: np.random.Generator,
    *,
    alike: bool,
) -> str:
    """The side that a study of so many seeds of either arm decides for."""
    total = len(next(iter(scheme.values()))[0])
    drawn = generator.permutation(total)
    first = drawn[:seeds]
    second = drawn[seeds : 2 * seeds] if alike else first
    strata = []
    for depth, of_scheme in scheme.items():
        steps_UR, loss_UR = (
            np.concatenate([mine_SR[first], others_SR[second]])
            for mine_SR, others_SR in zip(of_scheme, baseline[depth], strict=True)
        )
        ran_UR = np.ones(steps_UR.shape, dtype=bool)
        strata.append(Stratum(steps_UR=steps_UR, loss_UR=loss_UR, ran_UR=ran_UR, budget=budget))
    return decide(strata, seeds, seeds).side()
