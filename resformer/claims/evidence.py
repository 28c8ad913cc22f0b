"""Evidence of a claim: the finished members of its study, by the settings that name an arm.

An arm is a text of conditions as `report --where` takes them, such as "model.residual=lns
model.norm=own".
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple, final

import pandas as pd
from safetensors.numpy import load

from resformer.claims.starts import PARAMETERS
from resformer.errors import UserError
from resformer.keys import Json, Value, as_typed, by_value, short
from resformer.reporting.analysis.cells import CellMembers, axes_of, by_cell
from resformer.reporting.analysis.stability import by_final_loss
from resformer.results.members import Findings, parse_conditions
from resformer.stats import Floats
from resformer.store.checks import Damaged
from resformer.store.study import Study

_WEIGHTS = "weights.safetensors"


class Kept(NamedTuple):
    """A member as it was when its training ended."""

    shape: Json
    """Its shape, as it was planned."""
    weights: Mapping[str, Floats]
    """Its parameters by name."""
    steps: int
    """Training steps that it took."""


@final
@dataclass(frozen=True)
class Evidence:
    """Finished members of a claim's study."""

    findings: Findings

    def cells(self, arm: str) -> list[CellMembers]:
        """Cells of an arm, rates chosen by steps to solve; UserError if it has no member."""
        members = self.findings.where(parse_conditions(arm.split())).members
        return by_cell(members, self._axes)

    def along(self, arm: str, key: str) -> dict[Value, CellMembers]:
        """Cells of an arm by the value that they have of a setting, ascending; UserError if two
        have the same.
        """
        return {place: cell for (place,), cell in self.places(arm, [key]).items()}

    def places(self, arm: str, keys: Sequence[str]) -> dict[tuple[Value, ...], CellMembers]:
        """Cells of an arm by their values of several settings, likewise."""
        axes = [*map(short, keys)]
        by_place: dict[tuple[Value, ...], CellMembers] = {}
        for cell in self.cells(arm):
            place = tuple(_place(cell, axis) for axis in axes)
            if place in by_place:
                others = sorted(_differing(cell, by_place[place]) - {*axes})
                at = " ".join(
                    f"{key}={as_typed(value)}" for key, value in zip(keys, place, strict=True)
                )
                raise UserError(
                    f"arm: {arm}: has two cells at {at}; say which {' and '.join(others)}"
                )
            by_place[place] = cell
        return dict(sorted(by_place.items(), key=lambda pair: [*map(by_value, pair[0])]))

    def one(self, arm: str) -> CellMembers:
        """The one cell of an arm; UserError if there are several."""
        cells = self.cells(arm)
        if len(cells) > 1:
            differing = sorted(set().union(*(_differing(cell, cells[0]) for cell in cells)))
            raise UserError(
                f"arm: {arm}: has {len(cells)} cells; say which {' and '.join(differing)}"
            )
        return cells[0]

    def curves(self, cell: CellMembers) -> list[pd.DataFrame]:
        """Curve of each seed's member at the rate that it is scored at."""
        return self._tables(cell, lambda members: self.findings.read_curves(members, ["loss"]))

    def layers(self, cell: CellMembers) -> list[pd.DataFrame]:
        """Measures of every layer of each seed's member, likewise; UserError if it was not
        probed.
        """
        (study,) = self.findings.studies
        planned = study.planned()
        for job in dict.fromkeys(cell.arrays["job"][cell.rows]):
            if planned[job]["shape"]["probe"]["every"] is None:
                raise UserError(f"study {study.name}: job {job} was not probed; probe.every=N")
        return self._tables(cell, self.findings.read_layers)

    def kept(self, cell: CellMembers) -> list[Kept]:
        """Each seed's member at the rate that it is scored at; UserError if its parameters were not
        kept.
        """
        (study,) = self.findings.studies
        planned, members = study.planned(), self.findings.members
        kept = []
        for index in cell.rows:
            job, seed, lr = (cell.arrays[name][index] for name in ("job", "seed", "lr"))
            weights = _weights(study, job)
            row = [(each["seed"], each["lr"]) for each in planned[job]["members"]].index((seed, lr))
            same = (members["job"] == job) & (members["seed"] == seed) & (members["lr"] == lr)
            kept.append(
                Kept(
                    shape=planned[job]["shape"],
                    weights={name: values[row] for name, values in weights.items()},
                    steps=int(members.loc[same, "last_step"].iloc[0]),
                )
            )
        return kept

    def _tables(
        self, cell: CellMembers, read: Callable[[pd.DataFrame], pd.DataFrame]
    ) -> list[pd.DataFrame]:
        names = ("job", "seed", "lr")
        members = pd.DataFrame({name: cell.arrays[name][cell.rows] for name in names})
        try:
            table = read(members.assign(study=cell.key.arm.study))
        except Damaged as damage:
            raise UserError(f"{damage}; the sweep trains its job again") from damage
        by_seed = table.sort_values("step", kind="stable").groupby("seed")
        return [by_seed.get_group(seed) for seed in cell.seeds]

    def by_loss(self, cells: Sequence[CellMembers]) -> list[CellMembers]:
        """The cells with rates chosen by final loss, which is at most the initial one."""
        jobs = {job for cell in cells for job in cell.arrays["job"][cell.row_SR[cell.ran_SR]]}
        members = self.findings.members
        own = members[members["job"].isin(jobs)]
        return by_final_loss(replace(self.findings, load=lambda: own), cells)[0]

    @cached_property
    def _axes(self) -> list[str]:
        return axes_of(self.findings.members)[0]


def _weights(study: Study, job: str) -> Mapping[str, Floats]:
    try:
        contents = study.results.read(job).contents
    except Damaged as damage:
        raise UserError(f"{damage}; the sweep trains its job again") from damage
    if _WEIGHTS not in contents:
        raise UserError(f"study {study.name}: job {job} kept no weights; train.keep_weights=true")
    return load(contents[_WEIGHTS])


def _place(cell: CellMembers, axis: str) -> Value:
    if axis == PARAMETERS:
        return int(cell.arrays[axis][cell.rows[0]])
    if axis not in cell.key.values():
        raise UserError(f"on: {axis}: does not vary in this study")
    return cell.key.values()[axis]


def _differing(cell: CellMembers, other: CellMembers) -> set[str]:
    mine, others = cell.key.values(), other.key.values()
    return {axis for axis in mine if mine[axis] != others[axis]}


def paired(cells: Sequence[CellMembers]) -> list[int]:
    """Seeds that cells share, ascending; UserError if there are fewer than two."""
    return shared([cell.seeds for cell in cells])


def shared(seeds_of_each: Sequence[Sequence[int]]) -> list[int]:
    """Seeds that are in all of these, ascending; UserError if there are fewer than two."""
    seeds = sorted(set.intersection(*map(set, seeds_of_each)))
    if len(seeds) < 2:
        raise UserError(
            "study: its arms share fewer than two seeds; member.seed needs the same two or more"
        )
    return seeds


def of_seeds(cell: CellMembers, values_S: Floats, seeds: Sequence[int]) -> Floats:
    """Values of some of the seeds of a cell."""
    return values_S[[cell.seeds.index(seed) for seed in seeds]]
