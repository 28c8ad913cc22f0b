"""A row per finished member of a study, read from its jobs once and kept."""

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any, final

import numpy as np
import pandas as pd
import pyarrow as pa

from resformer.errors import UserError
from resformer.keys import (
    NAMES,
    NO_RESULT_DEPENDS_ON,
    as_typed,
    by_value,
    job_label,
    shape_settings,
    short,
)
from resformer.results import cache
from resformer.store.checks import Damaged
from resformer.store.study import Study

Json = dict[str, Any]

_FACTS = ("parameters", "flops_per_step", "blind_loss")
_READ = ("runs.parquet", "timing.json")
_FILES = (*_READ, "curves.parquet")
_LAYERS = "layers.parquet"
"""Of jobs that were looked into."""
_MOST_HASHED = 2000
"""Jobs whose curves are hashed too, though a report's numbers need none. Of more, they are when a
figure reads them.
"""
_READERS = 2
_AT_ONCE = 500
"""Jobs whose runs are put into one table: in tables of their own they take 10 kB of memory each."""


@final
@dataclass(frozen=True)
class Findings:
    """What there is of some studies.

    `members` has a row per finished member: `study`, `job`, `shape` (a number, the same for members
    whose settings are the same), `seed`, `lr`, every setting by its dotted key (task, depth,
    residual and norm by these names), the columns of `runs.parquet`, `parameters`,
    `flops_per_step`, `blind_loss` (nats per token) and `ms` (per member and step). `problems` lists
    the jobs that are missing, damaged or failed.
    """

    studies: tuple[Study, ...]
    problems: dict[str, list[Json]]
    digest: str
    """Of everything that was read: equal ones have equal reports."""
    conditions: dict[str, list[str]]
    """By which its members were chosen."""
    table: Callable[[], pd.DataFrame]
    """Makes `members`, which a report that was kept does not need."""

    @cached_property
    def members(self) -> pd.DataFrame:
        """A row per finished member."""
        return self.table()

    def curves(self, members: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
        """These columns of `curves.parquet` for some of the members, beside `study`, `job`, `seed`,
        `lr` and `step`.

        Raises Damaged if a file changed since the members were read.
        """
        return self._rows(members, "curves", ["seed", "lr", "step", *columns])

    def layers(self, members: pd.DataFrame) -> pd.DataFrame:
        """All of `layers.parquet` for some of the members, whose settings ask for it; raises
        Damaged.
        """
        return self._rows(members, "layers", None)

    def _rows(self, members: pd.DataFrame, name: str, columns: list[str] | None) -> pd.DataFrame:
        studies = {study.name: study for study in self.studies}
        parts = []
        for key, found in members.groupby(["study", "job"], sort=False):
            study, job = (str(part) for part in key)
            table = studies[study].read(job, name, columns)
            wanted = pd.MultiIndex.from_frame(found[["seed", "lr"]])
            inside = pd.MultiIndex.from_frame(table[["seed", "lr"]]).isin(wanted)
            parts.append(table[inside].assign(study=study, job=job))
        return pd.concat(parts, ignore_index=True)

    def where(self, wanted: Mapping[str, Sequence[str]]) -> "Findings":
        """Only members whose setting has one of these values, by key; UserError for an unknown key
        or value.
        """
        if not wanted or self.members.empty:
            return self
        members = self.members
        for key, values in wanted.items():
            column = short(key)
            if column not in selectable(self.members):
                raise UserError(
                    f"--where {key}: is no setting; there are {', '.join(selectable(self.members))}"
                )
            there = sorted(self.members[column].drop_duplicates(), key=by_value)
            chosen = [value for value in there if any(_is(value, text) for text in values)]
            for text in values:
                if not any(_is(value, text) for value in there):
                    raise UserError(
                        f"--where {key}={text}: there are {', '.join(map(as_typed, there))}"
                    )
            members = members[members[column].isin(chosen)]
        if members.empty:
            raise UserError(f"--where {' '.join(wanted)}: no member has all of these")
        asked = {key: list(values) for key, values in wanted.items()}
        return Findings(
            self.studies, self.problems, _digest([self.digest, asked]), asked, lambda: members
        )


def _is(value: object, text: str) -> bool:
    """Whether this is how a user may have typed the value."""
    if as_typed(value) == text or (value, text) in (("add", "true"), ("plain", "false")):
        return True
    try:
        return (
            isinstance(value, int | float) and not isinstance(value, bool) and float(text) == value
        )
    except ValueError:
        return False


def conditions(texts: Iterable[str]) -> dict[str, list[str]]:
    """Values by key of conditions KEY=VALUE or KEY=VALUE,VALUE; UserError for anything else."""
    found: dict[str, list[str]] = {}
    for text in texts:
        key, equals, values = text.partition("=")
        if not equals or not key or not values:
            raise UserError(f"--where {text}: must be KEY=VALUE, as in model.norm=pre")
        if key in found:
            raise UserError(f"--where {text}: {key} is given twice; KEY=VALUE,VALUE takes either")
        found[key] = values.split(",")
    return found


def selectable(members: pd.DataFrame) -> list[str]:
    """What members can be chosen by: the settings, seed and learning rate."""
    return [
        *NAMES.values(),
        "seed",
        "lr",
        *(name for name in members.columns if "." in name),
        "device",
    ]


def read(studies: Iterable[Study]) -> Findings:
    """What there is of these studies."""
    problems: dict[str, list[Json]] = {"missing": [], "damaged": [], "failed": []}
    several = tuple(studies)
    found = [_read(study, problems) for study in several]
    digest = _digest(
        [
            problems,
            *(
                [study.name, study.launches(), one.states]
                for study, one in zip(several, found, strict=True)
            ),
        ]
    )
    return Findings(several, problems, digest, {}, lambda: _together(found))


def _digest(tree: object) -> str:
    return hashlib.sha256(json.dumps(tree).encode()).hexdigest()


@final
@dataclass(frozen=True)
class _Found:
    """What was read of one study: the runs of its finished jobs, their plan, and the state of their
    files.
    """

    study: Study
    runs: pa.Table
    planned: dict[str, Json]
    states: dict[str, list[int]]


def _read(study: Study, problems: dict[str, list[Json]]) -> _Found:
    """The finished jobs of one study; adds what is wrong to `problems`."""
    planned, reasons = study.plan()
    runs, known = cache.members(study)
    fresh = {
        job: state
        for job, state in known.items()
        if job in planned and _state(study, job, state[0]) == state
    }
    begun = study.begun()
    done = [job for job in planned if job not in fresh and job in begun and study.has_result(job)]
    checked = _FILES if len(done) <= _MOST_HASHED else _READ
    size = min(_AT_ONCE, math.ceil(len(done) / _READERS)) or 1
    parts = [
        [planned[job] for job in done[start : start + size]] for start in range(0, len(done), size)
    ]
    with ThreadPoolExecutor(_READERS) as pool:
        found = [*pool.map(lambda part: _part(study, part, checked), parts)]
    damaged = [(job, reason) for part in found for job, reason in part.damaged.items()]
    problems["damaged"] += [
        {"study": study.name, "job": job, "reason": reason} for job, reason in damaged
    ]
    reasons += [f"{path}: no plan of this study names it" for path in study.orphans(planned)]
    problems["damaged"] += [
        {"study": study.name, "job": None, "reason": reason} for reason in reasons
    ]
    finished = fresh.keys() | set(done)
    unfinished = [job for job in planned if job not in finished]
    failed = study.failures(job for job in unfinished if job in begun)
    for job in unfinished:
        row = {"study": study.name, "job": job, "members": len(planned[job]["members"])}
        row["settings"] = job_label(planned[job])
        problems["failed" if job in failed else "missing"].append(
            {**row, "reason": failed[job]} if job in failed else row
        )
    states = {
        job: state
        for part in (fresh, *(part.states for part in found))
        for job, state in part.items()
    }
    if len(states) > len(fresh) or len(fresh) < len(known):
        kept = [runs.filter(pa.compute.is_in(runs["job"], pa.array(list(fresh))))] if fresh else []
        kept += [part.runs for part in found if part.states]
        runs = _joined(kept) if kept else pa.table({})
        cache.keep_members(study, runs, states)
    return _Found(study, runs, {job: planned[job] for job in states}, states)


@final
@dataclass(frozen=True)
class _Part:
    """What was read of some finished jobs: their runs, with job and its time, and by job the state
    of its files.
    """

    runs: pa.Table
    states: dict[str, list[int]]
    damaged: dict[str, str]
    """What is wrong with the others."""


def _part(study: Study, jobs: Sequence[Json], checked: Sequence[str]) -> _Part:
    tables, ms, states, damaged = [], [], {}, {}
    for planned in jobs:
        job = planned["id"]
        try:
            attempt, files = study.verified(job, checked)
            timing = study.timed(job, attempt, files["timing.json"])
            runs = study.ran(planned, attempt, files["runs.parquet"])
        except Damaged as damage:
            damaged[job] = str(damage)
            continue
        tables.append(runs)
        ms.append(_ms_per_member_step(timing))
        states[job] = _state(study, job, attempt)
    if not tables:
        return _Part(pa.table({}), states, damaged)
    sizes = [*map(len, tables)]
    names, times = (pa.array(np.repeat(values, sizes)) for values in (list(states), ms))
    return _Part(
        _joined(tables).append_column("job", names).append_column("ms", times), states, damaged
    )


def _joined(tables: Sequence[pa.Table]) -> pa.Table:
    """In one piece:
    in as many as there are jobs, a table takes ten times the bytes and the time.
    """
    return pa.concat_tables(tables, promote_options="permissive").combine_chunks()


def _state(study: Study, job: str, attempt: int) -> list[int]:
    """The attempt, and size and time of change of the committed files; of what is not there,
    nothing.
    """
    return [attempt, *study.state(job, attempt, _FILES, [_LAYERS])]


def _together(found: Sequence[_Found]) -> pd.DataFrame:
    """The members of several studies, each once, with their settings."""
    tables = [_with_settings(one) for one in found if len(one.runs)]
    if not tables:
        return pd.DataFrame()
    members = pd.concat(tables, ignore_index=True)
    settings = [
        name for name in selectable(members) if name not in ("seed", "lr", *NO_RESULT_DEPENDS_ON)
    ]
    shapes = members.drop_duplicates(["study", "planned_shape"])[
        ["study", "planned_shape", *settings]
    ]
    shapes["shape"] = shapes.groupby(["study", *settings], dropna=False, sort=False).ngroup()
    members = members.merge(
        shapes[["study", "planned_shape", "shape"]], on=["study", "planned_shape"]
    )
    return members.drop(columns="planned_shape").drop_duplicates(
        ["shape", "seed", "lr"], ignore_index=True
    )


def _with_settings(found: _Found) -> pd.DataFrame:
    members: pd.DataFrame = found.runs.to_pandas()
    rows: dict[str, Json] = {}
    row_of_shape: dict[
        int, int
    ] = {}  # jobs share their shapes: most are known by where they are in memory
    for job in found.planned.values():
        if id(job["shape"]) not in row_of_shape:
            shape, facts = (
                json.dumps(job["shape"], sort_keys=True),
                {name: job[name] for name in _FACTS},
            )
            row = rows.setdefault(
                shape, {**shape_settings(job), **facts, "planned_shape": len(rows)}
            )
            row_of_shape[id(job["shape"])] = row["planned_shape"]
    row_of_job = [row_of_shape[id(job["shape"])] for job in found.planned.values()]
    settings = pd.DataFrame(list(rows.values()))
    place = np.array(row_of_job)[
        pd.Index(list(found.planned)).get_indexer(pd.Index(members["job"]))
    ]
    whole = pd.concat([members, settings.take(place).reset_index(drop=True)], axis=1)
    return whole.assign(study=found.study.name)


def _ms_per_member_step(timing: Json) -> float:
    """Median over the stretches between evaluations in which all members of the job still trained.

    Later stretches have smaller stacks and are left out, so that a column that solves early is
    timed like one that does not.
    """
    stretches = timing["stretches"]
    if not stretches:
        return math.nan
    most = max(stretch["members"] for stretch in stretches)
    full = [stretch for stretch in stretches if stretch["members"] == most]
    return float(
        np.median([1000 * part["seconds"] / (part["steps"] * part["members"]) for part in full])
    )
