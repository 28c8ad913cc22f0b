"""A claim's study, swept: its members, and each seed at its tuned rate."""

import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

import resformer
from lib.claims.claim import Part
from lib.claims.drawn import lines
from lib.claims.slopes import Floats
from lib.facts import ROOT
from resformer import config
from resformer.stats import Integers
from resformer.stats.rates import rates_by_other_seeds

RESULTS = ROOT / "results"
_LAST_STEPS = 50
_DONE = ["outcome", "solved_step", "last_step", "final_loss", "final_accuracy"]
_AMOUNTS = ["spent", "last_loss", "mean_loss"]


def runs(name: str) -> pd.DataFrame:
    """Sweep a study of `configs/study/claims`; a row per member, as `resformer.runs` gives it, and
    three amounts.

        spent         steps until it solved; the budget if it did not
        last_loss     nats per token in training, the mean over the last 50 steps
        mean_loss     the same over all steps

    Losses, `final_loss` as well, are infinite where a member broke, though it may have solved
    before. The study lies in `results`, as any other's; what is there is not run again.
    """
    command = ["-m", "resformer", "sweep", "--study", name, "--results", str(RESULTS)]
    subprocess.run([sys.executable, *command], stdout=subprocess.DEVNULL, check=True)
    table = resformer.runs(name, RESULTS)
    planned = sum(len(members) for _, members in config.request(name, []).shapes)
    if len(table) != planned:
        sys.exit(
            f"{RESULTS / name} has {len(table)} members, the claim is about {planned}: move it away"
        )
    table["spent"] = table["solved_step"].fillna(table["train.steps"]).astype(float)
    curves = resformer.curves(name, RESULTS).dropna(subset="loss")
    losses = curves.groupby(["job", "seed", "lr"])["loss"]
    last = losses.agg(lambda loss: loss.iloc[-_LAST_STEPS:].mean())
    means = pd.DataFrame({"last_loss": last, "mean_loss": losses.mean()}).reset_index()
    table = table.merge(means, on=["job", "seed", "lr"], how="left")
    stops = table["train.stop_when_solved"].astype(bool)
    left = (table["last_step"] < table["train.steps"]) & ~stops
    broken = left | (table["outcome"] == "diverged") | ~np.isfinite(table["final_loss"])
    table.loc[broken, ["last_loss", "mean_loss", "final_loss"]] = np.inf
    return table


def kept(table: pd.DataFrame) -> pd.DataFrame:
    """Columns to commit: settings that vary, and the outcomes of the members."""
    settings = [
        name
        for name in map(str, table)
        if name in ("depth", "residual", "norm", "seed", "lr") or "." in name
    ]
    varying = [name for name in settings if table[name].astype(str).nunique() > 1]
    return table[[*varying, *_DONE, *_AMOUNTS]]


def tuned(cell: pd.DataFrame, amount: str) -> Floats:
    """An amount of each seed of a cell at the rate that is best for the other seeds, (S,).

    Best of a loss is where they have least of it; of the steps that were spent the report's own
    rule: most solved, then the fewest steps, then the lowest final loss.
    """
    column_S, grid_SR = _chosen(cell, amount), _grid(cell, amount)
    return grid_SR[np.arange(len(grid_SR)), column_S]


def at_edge(cell: pd.DataFrame, amount: str) -> bool:
    """True if the rate that most seeds are scored at is the least or the largest of the grid."""
    most = np.bincount(_chosen(cell, amount)).argmax()
    return bool(most in (0, cell["lr"].nunique() - 1))


def by_depth(table: pd.DataFrame, amount: str) -> Floats:
    """An amount at every depth, (S, depths), depths ascending."""
    return np.stack([tuned(cell, amount) for _, cell in table.groupby("depth")], axis=1)


def at_depths(
    depths: Iterable[float], amounts: Mapping[str, Floats]
) -> Iterator[tuple[str, dict[str, Floats]]]:
    """Go through amounts (S, depths) depth by depth: its name, and the amounts (S,) by arm."""
    for column, depth in enumerate(depths):
        yield f"depth {depth:g}", {arm: amount[:, column] for arm, amount in amounts.items()}


@final
@dataclass(frozen=True, kw_only=True)
class Spent:
    """Steps that arms of a study spent until they solved, by depth."""

    arms: Mapping[str, pd.DataFrame]
    depths: Floats
    """Ascending."""
    budget: float
    steps: Mapping[str, Floats]
    """Steps by arm, (S, depths)."""

    def parts(
        self, judged: Callable[[str, Mapping[str, Floats], float], Iterator[Part]]
    ) -> list[Part]:
        """Judge depth by depth, given its name, the steps (S,) by arm and the budget."""
        return [
            *(
                part
                for where, steps_S in at_depths(self.depths, self.steps)
                for part in judged(where, steps_S, self.budget)
            ),
            Part(edges(self.arms.values(), "spent")),
        ]

    def draw(self, *, log_steps: bool) -> Figure:
        """Draw the steps of each arm against the depth."""
        label = f"steps to solve, at most {self.budget:g}"
        return lines(self.depths, self.steps, "depth (blocks)", label, log=(True, log_steps))


def spent(table: pd.DataFrame, arms: Mapping[str, pd.DataFrame]) -> Spent:
    """Steps that arms of a study's table spent."""
    return Spent(
        arms=arms,
        depths=np.unique(table["depth"]).astype(float),
        budget=float(table["train.steps"].max()),
        steps={label: by_depth(cells, "spent") for label, cells in arms.items()},
    )


def edges(arms: Iterable[pd.DataFrame], amount: str, keys: Iterable[str] = ("depth",)) -> str:
    """Number of cells of these arms with their best rate at the edge of the grid, in words."""
    edged = [at_edge(cell, amount) for arm in arms for _, cell in arm.groupby(list(keys))]
    return f"the best rate is at the edge of the grid in {sum(edged)} of {len(edged)} cells"


def arm(table: pd.DataFrame, residual: str, norm: str, **settings: Any) -> pd.DataFrame:
    """Members of one scheme at one norm placement; `settings` by the last word of their keys."""
    members = table[(table["residual"] == residual) & (table["norm"] == norm)]
    keys = {str(key).rpartition(".")[2]: key for key in table if "." in str(key)}
    for name, value in settings.items():
        members = members[members[keys[name]] == value]
    return members


def _grid(cell: pd.DataFrame, amount: str) -> Floats:
    grid = cell.pivot(index="seed", columns="lr", values=amount)
    return np.asarray(grid, dtype=np.float64)


def _chosen(cell: pd.DataFrame, amount: str) -> Integers:
    """Column of the rate that the other seeds choose, for each seed."""
    least_SR = _grid(cell, "final_loss" if amount == "spent" else amount)
    solved_SR = _grid(cell, "solved_step") if amount == "spent" else np.full(least_SR.shape, np.nan)
    return rates_by_other_seeds(
        solved_SR, least_SR, np.ones(least_SR.shape, bool), float(cell["train.steps"].max())
    )
