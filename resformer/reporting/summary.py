"""A study's results as the report's JSON: every number that a report shows is computed here, once."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import numpy as np
import pandas as pd

from resformer import stats
from resformer.errors import UserError
from resformer.reporting.members import Findings
from resformer.store.study import Study

Json = dict[str, Any]

BASELINE = "plain"
BASELINES = ("plain", "add")
"""What a scheme is compared with: the first of these that was run under the same settings."""
_CELL = ["study", "task", "depth", "residual", "norm"]
_OWNERS = {
    "task": ("task.", "train.eval_every", "train.target_accuracy", "model.attention"),
    "residual": ("model.residual.",),
    "model.width": ("model.hidden",),
}
"""Settings that come with another one: they make an axis only where they vary without it."""
_LIMIT = ("depth_limit", "low", "high", "depth_floor")


def summarise(findings: Findings) -> Json:
    """The report's JSON; UserError if nothing has finished yet."""
    members, problems = findings.members, findings.problems
    names = ", ".join(study.name for study in findings.studies)
    if members.empty:
        failed = problems["failed"]
        why = f"{len(failed)} jobs failed, the first: {failed[0]['reason']}" if failed else "no job has finished"
        raise UserError(f"study {names}: nothing to report, {why}")
    settings, axes = _axes(members)
    groups = list(_groups(members, axes))
    cells = [_cell(key, group) for key, group in groups]
    columns = [axis for axis in axes if axis != "depth"]
    return {
        "study": names,
        "settings": settings,
        "cells": cells,
        "rates": [row for key, group in groups for row in _rates(key, group)],
        "limits": list(_limits(cells, columns)),
        "comparisons": list(_comparisons(cells, columns)),
        "excluded": _excluded(findings.studies),
        **problems,
    }


def _axes(members: pd.DataFrame) -> tuple[Json, list[str]]:
    """Settings that all members share, and the keys that tell cells apart: the usual ones and whatever else varies."""
    keys = [*_CELL, *(name for name in members.columns if "." in name), "device"]
    shapes = members.drop_duplicates("shape")[keys]
    axes = list(_CELL)
    for key in keys[len(_CELL) :]:
        owner = next((owner for owner, own in _OWNERS.items() if key.startswith(own)), None)
        groups = [shapes[key]] if owner is None else [group for _, group in shapes.groupby(owner)[key]]
        if max(group.nunique(dropna=False) for group in groups) > 1:
            axes.append(key)
    shared = {key: _plain(shapes[key].iloc[0]) for key in keys if shapes[key].nunique(dropna=False) == 1}
    return {key: value for key, value in shared.items() if key not in axes or key == "task"}, axes


def key_of(cell: Json) -> Json:
    """What tells a cell from the others of its study: task, depth, residual, norm and the study's further axes."""
    names = list(cell)
    return {name: cell[name] for name in names[names.index("study") : names.index("seeds")]}


def depths_of(column: Json, cells: Iterable[Json]) -> list[int]:
    """The depths that were tried in a column, ascending: `column` is a row of the report's `limits`."""
    wanted = {name: value for name, value in column.items() if name not in _LIMIT}
    return sorted(cell["depth"] for cell in cells if all(cell[name] == value for name, value in wanted.items()))


def _groups(members: pd.DataFrame, axes: Sequence[str]) -> Iterable[tuple[Json, pd.DataFrame]]:
    for values, group in members.groupby(list(axes), dropna=False, sort=True):
        key = {name: _plain(value) for name, value in zip(axes, cast("tuple[Any, ...]", values), strict=True)}
        yield key, group


def _cell(key: Json, group: pd.DataFrame) -> Json:
    """One cell: each seed at the learning rate that the other seeds chose."""
    seeds, rates, steps_SR, loss_SR, ran_SR = _tables(group)
    budget = int(group["train.steps"].iloc[0])
    chosen = stats.rates_by_other_seeds(steps_SR, loss_SR, ran_SR, budget)
    scored = {seed: rates[column] for seed, column in zip(seeds, chosen, strict=True)}
    picked = at_their_rates(group, scored)
    steps_S = picked["solved_step"].to_numpy(np.float64, na_value=np.nan)
    outcomes = Counter(picked["outcome"])
    most = Counter(scored.values())
    lr = min(most, key=lambda rate: (-most[rate], rate))
    return {
        **key,
        "seeds": len(picked),
        "solved": outcomes["solved"],
        "unsolved": outcomes["unsolved"],
        "stalled": int(picked["stalled"].sum()),
        "diverged": outcomes["diverged"],
        "lr": lr,
        "lr_by_seed": {str(seed): rate for seed, rate in scored.items()},
        "lr_at_edge": lr in (rates[0], rates[-1]) if len(rates) > 1 else None,
        "median_steps": stats.median_steps(steps_S),
        "median_low": None,
        "median_high": None,
        "mean_steps": stats.restricted_mean(steps_S, budget) if outcomes["solved"] else None,
        "mean_low": None,
        "mean_high": None,
        "final_loss": _median(picked["final_loss"]),
        "final_accuracy": _median(picked["final_accuracy"]),
        "parameters": int(group["parameters"].iloc[0]),
        "flops_per_step": int(group["flops_per_step"].iloc[0]),
        "ms_per_member_step": _median(group.drop_duplicates("job")["ms"]),
    }


def at_their_rates(members: pd.DataFrame, rates: Mapping[int, float]) -> pd.DataFrame:
    """Each seed's member at the learning rate it is scored at."""
    return members[[rates.get(seed) == lr for seed, lr in zip(members["seed"], members["lr"], strict=True)]]


def _rates(key: Json, group: pd.DataFrame) -> Iterable[Json]:
    budget = int(group["train.steps"].iloc[0])
    for lr, runs in group.groupby("lr"):
        steps_S = runs["solved_step"].to_numpy(np.float64, na_value=np.nan)
        yield {
            **key,
            "lr": lr,
            "seeds": len(runs),
            "solved": int((runs["outcome"] == "solved").sum()),
            "mean_steps": None if np.isnan(steps_S).all() else stats.restricted_mean(steps_S, budget),
            "final_loss": _median(runs["final_loss"]),
        }


def _tables(group: pd.DataFrame) -> tuple[list[int], list[float], stats.Floats, stats.Floats, Any]:
    """Seeds, rates, and the members laid out by them: steps to solve, final loss, and whether there is one."""
    seeds, rates = sorted(group["seed"].unique()), sorted(group["lr"].unique())
    steps_SR = np.full((len(seeds), len(rates)), np.nan)
    loss_SR, ran_SR = steps_SR.copy(), np.zeros(steps_SR.shape, dtype=bool)
    for seed, lr, step, loss in group[["seed", "lr", "solved_step", "final_loss"]].itertuples(index=False):
        place = seeds.index(seed), rates.index(lr)
        steps_SR[place] = np.nan if pd.isna(step) else step
        loss_SR[place], ran_SR[place] = loss, True
    return [int(seed) for seed in seeds], [float(rate) for rate in rates], steps_SR, loss_SR, ran_SR


def _limits(cells: Sequence[Json], columns: Sequence[str]) -> Iterable[Json]:
    for key, found in _columns(cells, columns):
        floor, limit = stats.depth_run(*([cell[name] for cell in found] for name in ("depth", "solved", "seeds")))
        yield {**key, "depth_limit": limit, "low": None, "high": None, "depth_floor": floor}


def _columns(cells: Sequence[Json], columns: Sequence[str]) -> Iterable[tuple[Json, list[Json]]]:
    """The cells of each column, by ascending depth."""
    keys = dict.fromkeys(tuple(cell[name] for name in columns) for cell in cells)
    for key in keys:
        found = [cell for cell in cells if tuple(cell[name] for name in columns) == key]
        yield dict(zip(columns, key, strict=True)), sorted(found, key=lambda cell: int(cell["depth"]))


def _comparisons(cells: Sequence[Json], columns: Sequence[str]) -> Iterable[Json]:
    """One primary row per scheme and column that has a baseline."""
    keys = [key for key, _ in _columns(cells, columns)]
    for key in keys:
        if key["residual"] != BASELINE and {**key, "residual": BASELINE} in keys:
            rest = {name: value for name, value in key.items() if name != "residual"}
            empty = dict.fromkeys(("ratio", "low", "high", "bound", "p", "p_adjusted"))
            yield {**rest, "depth": None, "baseline": BASELINE, "scheme": key["residual"], **empty}


def _excluded(studies: Sequence[Study]) -> list[Json]:
    found = [row for study in studies for launch in study.launches() for row in launch["excluded"]]
    return [row for number, row in enumerate(found) if row not in found[:number]]


def _median(column: pd.Series) -> float | None:
    """The median with a non-finite value as the largest; None if it is that."""
    values = np.sort(column.fillna(np.inf).to_numpy(np.float64))
    middle = values[[(len(values) - 1) // 2, len(values) // 2]].mean() if len(values) else math.inf
    return float(middle) if math.isfinite(middle) else None


def _plain(value: Any) -> Any:
    """A NumPy scalar as Python's; a missing value as None."""
    if pd.isna(value):
        return None
    return value.item() if isinstance(value, np.generic) else value
