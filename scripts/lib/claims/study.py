"""A claim's study, swept: its arms, each seed at the rate that the others find best."""

import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from lib.claims.claim import Interval, Verdict
from lib.claims.drawn import lines
from lib.facts import ROOT
from resformer import config
from resformer.keys import Value, as_typed
from resformer.reporting.analysis.cells import CellMembers, axes_of, by_cell
from resformer.reporting.analysis.comparisons import comparisons
from resformer.reporting.analysis.pairs import Pairing, differing_axes
from resformer.reporting.schema import Comparison
from resformer.results.members import read
from resformer.stats import Floats
from resformer.stats import steps as stats_of_steps
from resformer.stats.depth import depth_run, limit_bounds
from resformer.stats.speed import paired_ratio
from resformer.store.study import Study

RESULTS = ROOT / "results"
_DONE = ["outcome", "solved_step", "last_step", "final_loss", "final_accuracy"]

Arm = dict[int, CellMembers]
"""Cells of the same settings by depth, ascending."""


@final
@dataclass(frozen=True, kw_only=True)
class Swept:
    """Finished members of a study, a row each, and by cell."""

    members: pd.DataFrame
    cells: Sequence[CellMembers]

    def arm(self, **settings: Value) -> Arm:
        """The cells with these settings, by the last words of their keys."""
        return {
            cell.key.depth: cell
            for cell in self.cells
            if settings.items()
            <= {axis.rpartition(".")[2]: value for axis, value in cell.key.values().items()}.items()
        }

    def kept(self) -> pd.DataFrame:
        """Columns to commit: settings that vary, and the outcomes of the members."""
        settings = [
            name
            for name in map(str, self.members)
            if name in ("depth", "residual", "norm", "seed", "lr") or "." in name
        ]
        varying = [name for name in settings if self.members[name].astype(str).nunique() > 1]
        return self.members[[*varying, *_DONE]]


def sweep(name: str) -> Swept:
    """Sweep a study of `configs/study/claims` in `results`; what is there is not run again."""
    command = ["-m", "resformer", "sweep", "--study", name, "--results", str(RESULTS)]
    subprocess.run([sys.executable, *command], stdout=subprocess.DEVNULL, check=True)
    members = read([Study(RESULTS / name)]).members
    planned = sum(len(members) for _, members in config.request(name, []).shapes)
    if len(members) != planned:
        sys.exit(
            f"{RESULTS / name} has {len(members)} members, the claim is about {planned}: move it "
            "away"
        )
    return Swept(members=members, cells=by_cell(members, axes_of(members)[0]))


def steps(cell: CellMembers) -> Floats:
    """Steps to solve of each seed, NaN where it did not within the budget, (S,)."""
    return cell.scored(cell.budget)


def spent(arm: Arm) -> Floats:
    """Steps until each seed solved, the budget if it did not, (S, depths)."""
    by_depth = [stats_of_steps.spent(steps(cell), cell.budget) for cell in arm.values()]
    return np.stack(by_depth, axis=1)


def ratio(above: Sequence[CellMembers], below: Sequence[CellMembers]) -> Interval:
    """95 % interval of a ratio of products of steps to solve, paired by seed.

    A seed that did not solve spent its budget, and more: of those above the fraction line the ratio
    has no upper bound, of those below no lower one.
    """
    top, bottom = (
        [stats_of_steps.spent(steps(cell), cell.budget) for cell in cells]
        for cells in (above, below)
    )
    _, low, high = paired_ratio(np.prod(bottom, axis=0), np.prod(top, axis=0))
    if low is None or high is None:
        return -np.inf, np.inf
    sure_high, sure_low = (
        not np.isnan([steps(cell) for cell in cells]).any() for cells in (above, below)
    )
    return low if sure_low else -np.inf, high if sure_high else np.inf


def compare(scheme: Arm, baseline: Arm) -> Comparison:
    """The report's exact comparison of how deep two arms train."""
    first, second = (next(iter(arm.values())).key.arm for arm in (scheme, baseline))
    words = [f"{axis}={as_typed(second.value(axis))}" for axis in differing_axes(first, second)]
    cells = [*scheme.values(), *baseline.values()]
    (comparison,) = comparisons(cells, Pairing(against=" ".join(words)))
    return comparison


def deeper(comparison: Comparison) -> Verdict:
    """Verdict on the scheme's training deeper than the baseline."""
    verdicts: Mapping[str, Verdict] = {"better": "holds", "worse": "does not hold here"}
    return verdicts.get(comparison.verdict, "undecided")


def in_words(comparison: Comparison) -> str:
    """Doublings of depth of the scheme more than of the baseline, and the exact p-value."""
    apart = comparison.doublings
    p = "no test" if comparison.p is None else f"exact p = {comparison.p:.2g}"
    if apart is None:
        return p
    return f"{apart.value:+.1f} doublings of depth ({apart.low:.1f} to {apart.high:.1f}), {p}"


def solved(arm: Arm) -> str:
    """Seeds solved by depth, and the depth limit with its bounds, in words."""
    counts = [int((~np.isnan(steps(cell))).sum()) for cell in arm.values()]
    seeds = [len(cell.seeds) for cell in arm.values()]
    _, limit = depth_run([*arm], counts, seeds)
    low, high = limit_bounds([*arm], counts, seeds)
    by_depth = ", ".join(
        f"{count} of {of} at depth {depth}"
        for count, of, depth in zip(counts, seeds, arm, strict=True)
    )
    bounds = f" ({low or 'none'} to {high or 'beyond the grid'})" if limit else ""
    return f"{by_depth}: limit {limit or 'none'}{bounds}"


def inner(arms: Iterable[Arm]) -> str:
    """Number of cells of these arms with their best rate inside the grid, in words."""
    solving = [cell for arm in arms for cell in arm.values() if not np.isnan(steps(cell)).all()]
    best = [int(np.bincount(cell.chosen).argmax()) for cell in solving]
    count = sum(0 < rate < len(cell.rates) - 1 for rate, cell in zip(best, solving, strict=True))
    return f"the best rate is inside its grid in {count} of {len(best)} cells that solve"


def draw(arms: Mapping[str, Arm], *, log_steps: bool = True) -> Figure:
    """Steps of each arm against the depth."""
    some = next(iter(arms.values()))
    label = f"steps to solve, at most {max(cell.budget for cell in some.values())}"
    measured = {name: spent(arm) for name, arm in arms.items()}
    return lines(np.array([*some], float), measured, "depth (blocks)", label, log=(True, log_steps))
