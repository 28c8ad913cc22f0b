"""Cells of a report: the settings that tell them apart, and the members of each as arrays."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any, Self, final

import numpy as np
import numpy.typing as npt
import pandas as pd

from resformer.keys import RECORDING, Value, by_value
from resformer.reporting.schema import ArmKey, CellKey, Score
from resformer.results import owners, presets
from resformer.stats import Bools, Floats, Integers
from resformer.stats.final_loss import rates_by_loss
from resformer.stats.rates import rates_by_other_seeds
from resformer.stats.steps import censor

ALWAYS = ("study", "task", "depth", "residual", "norm")
"""Axes of every report."""
_BUDGET, _WIDTH = "train.steps", "model.width"

Differing = dict[str, dict[str, Value | list[Value]]]
"""Values by setting and study."""


@final
@dataclass(frozen=True, kw_only=True)
class CellMembers:
    """Members of one cell: S seeds, R learning rates, both ascending.

    Steps are NaN where a member did not solve or did not run (`ran_SR`). `row_SR` is the index of a
    member in `arrays`, which hold the columns of `Findings.members` by name, (M,).
    """

    key: CellKey
    seeds: list[int]
    rates: list[float]
    steps_SR: Floats
    loss_SR: Floats
    ran_SR: Bools
    row_SR: Integers
    budget_SR: Floats
    arrays: dict[str, npt.NDArray[Any]]
    score: Score = "steps"
    """Result that rates are chosen by."""

    @cached_property
    def budget(self) -> int:
        """Smallest budget of its members, in steps."""
        return int(self.budget_SR[self.ran_SR].min())

    @cached_property
    def chosen(self) -> Integers:
        """Index of the rate that each seed is scored at, the best of the other seeds, (S,)."""
        return self._chosen(self.budget)

    @cached_property
    def lr(self) -> float:
        """The rate that most seeds are scored at, of equally many the smaller one."""
        return self.rates[_most_frequent(self.chosen)]

    def seeds_at(self, lr: float) -> int:
        """Number of seeds that ran at this learning rate."""
        return int(self.ran_SR[:, self.rates.index(lr)].sum()) if lr in self.rates else 0

    @cached_property
    def rates_by_seed(self) -> dict[int, set[float]]:
        """Learning rates at which each seed ran."""
        return {
            seed: {lr for lr, ran in zip(self.rates, ran_R, strict=True) if ran}
            for seed, ran_R in zip(self.seeds, self.ran_SR, strict=True)
        }

    def part(self, seeds: Sequence[int], rates: Sequence[float]) -> Self:
        """The members of some of its seeds at some of its learning rates; both ascend."""
        if (len(seeds), len(rates)) == self.ran_SR.shape:
            return self
        place = np.ix_(np.isin(self.seeds, seeds), np.isin(self.rates, rates))
        return replace(
            self,
            seeds=[*seeds],
            rates=[*rates],
            steps_SR=self.steps_SR[place],
            loss_SR=self.loss_SR[place],
            ran_SR=self.ran_SR[place],
            row_SR=self.row_SR[place],
            budget_SR=self.budget_SR[place],
        )

    @property
    def solves(self) -> bool:
        """True if a seed solved at `lr`."""
        return bool((~np.isnan(self.steps_SR[:, self.rates.index(self.lr)])).any())

    def _chosen(self, budget: int) -> Integers:
        if self.score == "final_loss":
            rate_S: Integers = rates_by_loss(
                self.loss_SR, self.ran_SR, np.ones((1, len(self.seeds)), dtype=bool)
            )[0]
            return rate_S
        return rates_by_other_seeds(
            censor(self.steps_SR, budget), self.loss_SR, self.ran_SR, budget
        )

    @cached_property
    def rows(self) -> Integers:
        """Index in `arrays` of the member that each seed is scored by, (S,)."""
        rows_S: Integers = self.row_SR[np.arange(len(self.seeds)), self.chosen]
        return rows_S

    def scored(self, budget: int) -> Floats:
        """Steps to solve of each seed within this budget, at the rate chosen for it, (S,)."""
        rows_S = np.arange(len(self.seeds))
        return censor(self.steps_SR[rows_S, self._chosen_within(budget)], budget)

    def at_one_rate(self, budget: int) -> Floats:
        """Steps to solve within this budget at the rate that most seeds are scored at, (S,).

        Unlike steps at a rate of each seed's own, which the others' results chose, they are
        independent of each other.
        """
        return censor(self.steps_SR[:, _most_frequent(self._chosen_within(budget))], budget)

    def _chosen_within(self, budget: int) -> Integers:
        return self.chosen if budget == self.budget else self._chosen(budget)


def _most_frequent(indices: Integers) -> int:
    """The index that occurs most often, of several the smallest."""
    return int(np.bincount(indices).argmax())


def by_cell(members: pd.DataFrame, axes: Sequence[str]) -> list[CellMembers]:
    """Members by cell, sorted by key: studies as the members have them, numbers by size, words by
    alphabet.
    """
    key_of_shape = keys_by_shape(members, axes)
    rank_of_study = {study: rank for rank, study in enumerate(members["study"].unique())}
    keys = sorted(
        set(key_of_shape.values()),
        key=lambda key: (
            rank_of_study[key.arm.study],
            *(by_value(value) for value in key.of(axes)),
        ),
    )
    ranks = {key: rank for rank, key in enumerate(keys)}
    rank_M = (
        members["shape"].map({shape: ranks[key] for shape, key in key_of_shape.items()}).to_numpy()
    )
    order_M = np.lexsort((members["lr"], members["seed"], rank_M))
    names = (
        "seed",
        "lr",
        "solved_step",
        "outcome",
        "stalled",
        "final_loss",
        "final_accuracy",
        "job",
        "ms",
    )
    columns = members.astype({"solved_step": np.float64})
    facts = ("parameters", "flops_per_step", "tokens_per_step", "blind_loss")
    arrays = {name: columns[name].to_numpy()[order_M] for name in (*names, _BUDGET, *facts)}
    bounds = np.searchsorted(rank_M[order_M], np.arange(len(keys) + 1))
    return [
        _cell(key, arrays, np.arange(low, high))
        for key, (low, high) in zip(keys, pairwise(bounds), strict=True)
    ]


def keys_by_shape(members: pd.DataFrame, axes: Sequence[str]) -> dict[int, CellKey]:
    """The cell that each shape of these members belongs to."""
    shapes = members.drop_duplicates("shape").set_index("shape")
    values = zip(*(map(plain, shapes[axis]) for axis in axes), strict=True)
    return {
        int(shape): _key(axes, of_shape)
        for shape, of_shape in zip(shapes.index, values, strict=True)
    }


def widths(members: pd.DataFrame, axes: Sequence[str]) -> dict[CellKey, int]:
    """Width of the models of each cell, where it comes with the depth; else empty."""
    shapes = members.drop_duplicates("shape").set_index("shape")
    if _WIDTH in axes or shapes.groupby("study")[_WIDTH].nunique().max() == 1:
        return {}
    keys = keys_by_shape(members, axes)
    return {keys[shape]: int(width) for shape, width in zip(keys, shapes[_WIDTH], strict=True)}


def _key(axes: Sequence[str], values: Sequence[Value]) -> CellKey:
    further = dict(zip(axes, values, strict=True))
    always: dict[str, Any] = {axis: further.pop(axis) for axis in ALWAYS}
    depth = always.pop("depth")
    return CellKey(arm=ArmKey(**always, further=tuple(further.items())), depth=depth)


def _cell(key: CellKey, arrays: dict[str, npt.NDArray[Any]], row_M: Integers) -> CellMembers:
    seeds, seed_M = np.unique(arrays["seed"][row_M], return_inverse=True)
    rates, rate_M = np.unique(arrays["lr"][row_M], return_inverse=True)

    def laid_out(values_M: npt.NDArray[Any], missing: float) -> npt.NDArray[Any]:
        table_SR = np.full((len(seeds), len(rates)), missing, dtype=values_M.dtype)
        table_SR[seed_M, rate_M] = values_M
        return table_SR

    return CellMembers(
        key=key,
        seeds=[int(seed) for seed in seeds],
        rates=[float(rate) for rate in rates],
        steps_SR=laid_out(arrays["solved_step"][row_M], np.nan),
        loss_SR=laid_out(arrays["final_loss"][row_M], np.nan),
        ran_SR=laid_out(np.ones(len(row_M), dtype=bool), False),
        row_SR=laid_out(row_M, -1),
        budget_SR=laid_out(arrays[_BUDGET][row_M].astype(np.float64), np.nan),
        arrays=arrays,
    )


def axes_of(members: pd.DataFrame) -> tuple[list[str], dict[str, Value], Differing]:
    """Axes of the cells; settings that all members share; settings that differ by study only.

    The budget is an axis only if members differ in nothing else: otherwise it belongs to its cell.
    """
    dotted = [name for name in members.columns if "." in name]
    block = presets.keys_of_blocks(members[presets.KEY].unique())
    keys = [*ALWAYS, *block, "optimizer", *dotted, "device"]
    shapes = members.drop_duplicates("shape")[[*keys, "shape"]]
    axes = list(ALWAYS)
    shared: dict[str, Value] = {}
    differing: Differing = {}
    for key in keys:
        if key not in axes and key not in RECORDING and _varies(members, shapes, keys, key):
            axes.append(key)
        elif shapes[key].nunique(dropna=False) == 1:
            shared[key] = plain(shapes[key].iloc[0])
        elif key != "study" and shapes.groupby("study")[key].nunique(dropna=False).max() == 1:
            differing[key] = {
                str(study): plain(values.iloc[0]) for study, values in shapes.groupby("study")[key]
            }
    for key, column in (("member.seed", "seed"), ("member.lr", "lr")):
        values: dict[str, Value | list[Value]] = {
            str(study): [plain(value) for value in sorted(set(part))]
            for study, part in members.groupby("study")[column]
        }
        if len({str(of_study) for of_study in values.values()}) > 1:
            differing[key] = values
    return (
        axes,
        {key: value for key, value in shared.items() if key not in axes or key == "task"},
        differing,
    )


def _varies(members: pd.DataFrame, shapes: pd.DataFrame, keys: Sequence[str], key: str) -> bool:
    """True if a setting varies by itself within a study."""
    if key == _BUDGET:
        if shapes[key].nunique() == 1:
            return False
        others = shapes.groupby(
            [other for other in keys if other != key], dropna=False, sort=False
        ).ngroup()
        same = members["shape"].map(dict(zip(shapes["shape"], others, strict=True)))
        return bool(members[["seed", "lr"]].assign(same=same).duplicated().any())
    return owners.varies(shapes, key, ["study"])


def plain(value: Any) -> Any:
    """Convert a NumPy scalar to Python's, a missing value to None."""
    if isinstance(value, np.generic):
        value = value.item()
    return None if pd.isna(value) else value
