"""A claim's study, swept: what its members did, and what each seed did at its tuned rate."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import resformer
from lib.claims.slopes import Floats
from resformer import config
from resformer.stats.rates import rates_by_other_seeds

RESULTS = Path(__file__).resolve().parents[3] / "results"
_LAST_STEPS = 50
_DONE = ["outcome", "solved_step", "last_step", "final_loss", "final_accuracy"]
_AMOUNTS = ["spent", "last_loss", "mean_loss"]


def runs(name: str) -> pd.DataFrame:
    """A row per member of a study of `configs/study/claims`, as `resformer.runs` gives it, and
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
    if len(table) != (asked := sum(len(members) for _, members in config.request(name, []).shapes)):
        sys.exit(
            f"{RESULTS / name} has {len(table)} members, the claim is about {asked}: move it away"
        )
    table["spent"] = table["solved_step"].fillna(table["train.steps"]).astype(float)
    losses = (
        resformer.curves(name, RESULTS).dropna(subset="loss").groupby(["job", "seed", "lr"])["loss"]
    )
    last = losses.agg(lambda loss: loss.iloc[-_LAST_STEPS:].mean())
    found = pd.DataFrame({"last_loss": last, "mean_loss": losses.mean()}).reset_index()
    table = table.merge(found, on=["job", "seed", "lr"], how="left")
    left = (table["last_step"] < table["train.steps"]) & ~table["train.stop_when_solved"].astype(
        bool
    )
    broken = left | (table["outcome"] == "diverged") | ~np.isfinite(table["final_loss"])
    table.loc[broken, ["last_loss", "mean_loss", "final_loss"]] = np.inf
    return table


def kept(table: pd.DataFrame) -> pd.DataFrame:
    """What to keep of it: settings that vary, and what became of the members."""
    settings = [
        name for name in table if name in ("depth", "residual", "norm", "seed", "lr") or "." in name
    ]
    varying = [name for name in settings if table[name].astype(str).nunique() > 1]
    return table[[*varying, *_DONE, *_AMOUNTS]]


def tuned(cell: pd.DataFrame, amount: str) -> Floats:
    """What each seed of a cell has of an amount at the rate that is best for the other seeds, (S,).

    Best of a loss is where they have least of it; of the steps that were spent the report's own
    rule: most solved, then the fewest steps, then the lowest final loss.
    """
    column_S, grid_SR = _chosen(cell, amount), _grid(cell, amount)
    return grid_SR[np.arange(len(grid_SR)), column_S]


def at_edge(cell: pd.DataFrame, amount: str) -> bool:
    """Whether the rate that most seeds are scored at is the least or the largest of the grid."""
    most = np.bincount(_chosen(cell, amount)).argmax()
    return bool(most in (0, cell["lr"].nunique() - 1))


def by_depth(table: pd.DataFrame, amount: str) -> Floats:
    """The amounts of every depth, (S, depths), depths ascending."""
    return np.stack([tuned(cell, amount) for _, cell in table.groupby("depth")], axis=1)


def edges(cells: list[pd.DataFrame], amount: str) -> str:
    """How many cells have their best rate at the edge of the grid, in words."""
    count = sum(at_edge(cell, amount) for cell in cells)
    return f"the best rate is at the edge of the grid in {count} of {len(cells)} cells"


def arm(table: pd.DataFrame, residual: str, norm: str, **settings: Any) -> pd.DataFrame:
    """The members of one scheme at one norm placement;
    `settings` by the last word of their keys.
    """
    found = table[(table["residual"] == residual) & (table["norm"] == norm)]
    keys = {key.rpartition(".")[2]: key for key in table if "." in key}
    for name, value in settings.items():
        found = found[found[keys[name]] == value]
    return found


def _grid(cell: pd.DataFrame, amount: str) -> Floats:
    grid_SR: Floats = cell.pivot(index="seed", columns="lr", values=amount).to_numpy(
        dtype=np.float64
    )
    return grid_SR


def _chosen(cell: pd.DataFrame, amount: str) -> np.ndarray:
    """Of each seed the column of the rate that the others choose."""
    least_SR = _grid(cell, "final_loss" if amount == "spent" else amount)
    solved_SR = _grid(cell, "solved_step") if amount == "spent" else np.full(least_SR.shape, np.nan)
    return rates_by_other_seeds(
        solved_SR, least_SR, np.ones(least_SR.shape, bool), float(cell["train.steps"].max())
    )
