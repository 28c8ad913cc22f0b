"""A claim's study, swept: what its members did, and what each seed did at its tuned rate."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd

import resformer
from claimed.slopes import Floats
from resformer.stats.rates import rates_by_other_seeds

RESULTS = Path(__file__).resolve().parent.parent.parent / "results"
_LAST_STEPS = 50
_DONE = ["outcome", "solved_step", "final_loss", "final_accuracy"]
_AMOUNTS = ["spent", "last_loss", "mean_loss"]


def runs(name: str) -> pd.DataFrame:
    """A row per member of a study of `configs/study/claims`, as `resformer.runs` gives it, and three amounts.

        spent         steps until it solved; the budget if it did not
        last_loss     nats per token in training, the mean over the last 50 steps; infinite if it diverged
        mean_loss     the same over all steps

    The study lies in `results`, as any other's; what is there is not run again.
    """
    command = ["-m", "resformer", "sweep", "--study", name, "--results", str(RESULTS)]
    subprocess.run([sys.executable, *command], stdout=subprocess.DEVNULL, check=True)
    table = resformer.runs(name, RESULTS)
    table["spent"] = table["solved_step"].fillna(table["train.steps"]).astype(float)
    losses = resformer.curves(name, RESULTS).dropna(subset="loss").groupby(["job", "seed", "lr"])["loss"]
    found = pd.DataFrame(
        {"last_loss": losses.agg(lambda loss: loss.iloc[-_LAST_STEPS:].mean()), "mean_loss": losses.mean()}
    )
    table = table.merge(found.reset_index(), on=["job", "seed", "lr"], how="left")
    table.loc[table["outcome"] == "diverged", ["last_loss", "mean_loss"]] = np.inf
    return table


def kept(table: pd.DataFrame) -> pd.DataFrame:
    """What to keep of it: settings that vary, and what became of the members."""
    settings = [name for name in table if name in ("depth", "residual", "norm", "seed", "lr") or "." in name]
    varying = [name for name in settings if table[name].astype(str).nunique() > 1]
    return table[[*varying, *_DONE, *_AMOUNTS]]


def tuned(cell: pd.DataFrame, amount: str) -> Floats:
    """What each seed of a cell has of an amount at the rate where the other seeds have least of it, (S,)."""
    grid_SR = cell.pivot(index="seed", columns="lr", values=amount).to_numpy(dtype=np.float64)
    nobody_SR = np.full(grid_SR.shape, np.nan)
    rate_S = rates_by_other_seeds(nobody_SR, grid_SR, np.ones(grid_SR.shape, dtype=bool), budget=1.0)
    return grid_SR[np.arange(len(grid_SR)), rate_S]


def by_depth(table: pd.DataFrame, amount: str) -> Floats:
    """The same of every depth, (S, depths), depths ascending."""
    return np.stack([tuned(cell, amount) for _, cell in table.groupby("depth")], axis=1)


def arm(table: pd.DataFrame, residual: str, norm: str) -> pd.DataFrame:
    """The members of one scheme at one norm placement."""
    return table[(table["residual"] == residual) & (table["norm"] == norm)]
