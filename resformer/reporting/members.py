"""A row per finished member of a study, read from its jobs once and kept."""

import io
import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from resformer.errors import UserError
from resformer.reporting import cache
from resformer.store.study import Damaged, Study
from resformer.trees import flat

Json = dict[str, Any]

NAMES = {"task.name": "task", "model.depth": "depth", "model.residual.name": "residual", "model.norm": "norm"}
"""Settings that every report names, by the short name they go by."""
_LONG = {
    **NAMES,
    "model.residual": "residual",
    "model/residual": "residual",
    "member.seed": "seed",
    "member.lr": "lr",
}
_FACTS = ("parameters", "flops_per_step", "blind_loss")
_FILES = ("runs.parquet", "curves.parquet", "timing.json")
_NO_RESULT_DEPENDS_ON = ("train.keep_weights",)
_READERS = 4


@final
@dataclass(frozen=True)
class Findings:
    """What there is of some studies.

    `members` has a row per finished member: `study`, `job`, `shape` (a number, the same for members whose settings are
    the same), `seed`, `lr`, every setting by its dotted key (task, depth, residual and norm by these names), the columns
    of `runs.parquet`, `parameters`, `flops_per_step`, `blind_loss` (nats per token) and `ms` (per member and step).
    `problems` lists the jobs that are missing, damaged or failed.
    """

    studies: tuple[Study, ...]
    members: pd.DataFrame
    problems: dict[str, list[Json]]

    def curves(self, members: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
        """These columns of `curves.parquet` for some of the members, beside `study`, `job`, `seed`, `lr` and `step`.

        Raises Damaged if a file changed since the members were read.
        """
        studies = {study.name: study for study in self.studies}
        parts = []
        for (study, job), found in members.groupby(["study", "job"], sort=False):
            table = studies[str(study)].read(str(job), "curves", ["seed", "lr", "step", *columns])
            wanted = pd.MultiIndex.from_frame(found[["seed", "lr"]])
            inside = pd.MultiIndex.from_frame(table[["seed", "lr"]]).isin(wanted)
            parts.append(table[inside].assign(study=study, job=job))
        return pd.concat(parts, ignore_index=True)

    def where(self, wanted: Mapping[str, Sequence[str]]) -> "Findings":
        """Only members whose setting has one of these values, by key; UserError for an unknown key or value."""
        members = self.members
        for key, values in wanted.items():
            column = short(key)
            if column not in selectable(self.members):
                raise UserError(f"--where {key}: is no setting; there are {', '.join(selectable(self.members))}")
            texts = self.members[column].map(as_typed)
            there = sorted(set(texts), key=lambda text: (len(text), text))
            for value in values:
                if value not in there:
                    raise UserError(f"--where {key}={value}: there are {', '.join(there)}")
            members = members[texts.loc[members.index].isin(list(values))]
        if members.empty and wanted:
            raise UserError(f"--where {' '.join(wanted)}: no member has all of these")
        return Findings(self.studies, members, self.problems)


def short(key: str) -> str:
    """The name by which reports know a setting."""
    return _LONG.get(key, key)


def selectable(members: pd.DataFrame) -> list[str]:
    """What members can be chosen by: the settings, seed and learning rate."""
    return [*NAMES.values(), "seed", "lr", *(name for name in members.columns if "." in name), "device"]


def as_typed(value: object) -> str:
    """A setting's value as it is typed on the command line."""
    if isinstance(value, bool | np.bool_):
        return str(bool(value)).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def read(studies: Iterable[Study]) -> Findings:
    """What there is of these studies."""
    problems: dict[str, list[Json]] = {"missing": [], "damaged": [], "failed": []}
    several = tuple(studies)
    tables = [_read(study, problems) for study in several]
    members = pd.concat([table for table in tables if not table.empty] or [pd.DataFrame()], ignore_index=True)
    if not members.empty:
        settings = [name for name in selectable(members) if name not in ("seed", "lr", *_NO_RESULT_DEPENDS_ON)]
        shapes = members.drop_duplicates(["study", "planned_shape"])[["study", "planned_shape", *settings]]
        shapes["shape"] = shapes.groupby(["study", *settings], dropna=False, sort=False).ngroup()
        members = members.merge(shapes[["study", "planned_shape", "shape"]], on=["study", "planned_shape"])
        members = members.drop(columns="planned_shape").drop_duplicates(["shape", "seed", "lr"], ignore_index=True)
    return Findings(several, members, problems)


def _read(study: Study, problems: dict[str, list[Json]]) -> pd.DataFrame:
    """A row per finished member of one study; adds what is wrong to `problems`."""
    planned = study.planned()
    runs, known = cache.members(study)
    fresh = {job: state for job, state in known.items() if job in planned and _state(study, job, state) == state}
    done = [job for job in planned if job not in fresh and study.has_result(job)]
    with ThreadPoolExecutor(_READERS) as pool:
        read_now = dict(zip(done, pool.map(lambda job: _job(study, job), done), strict=True))
    found = {job: result for job, result in read_now.items() if not isinstance(result, Damaged)}
    for job, result in read_now.items():
        if isinstance(result, Damaged):
            problems["damaged"].append({"study": study.name, "job": job, "reason": str(result)})
    problems["damaged"] += [{"study": study.name, "job": None, "reason": reason} for reason in study.damaged_plans()]
    for path in study.strangers():
        reason = f"{path}: no plan of this study names it"
        problems["damaged"].append({"study": study.name, "job": None, "reason": reason})
    for job in planned:
        if job not in fresh and job not in read_now:
            _note_unfinished(study, planned[job], problems)
    tables = ([runs.filter(pa.compute.is_in(runs["job"], pa.array(list(fresh))))] if fresh else []) + [
        table for table, _ in found.values()
    ]
    if not tables:
        return pd.DataFrame()
    kept = pa.concat_tables(tables, promote_options="permissive")
    if found or len(fresh) < len(known):
        cache.keep_members(study, kept, {**fresh, **{job: state for job, (_, state) in found.items()}})
    return _with_settings(kept, {job: planned[job] for job in (*fresh, *found)}).assign(study=study.name)


def _with_settings(runs: pa.Table, planned: Mapping[str, Json]) -> pd.DataFrame:
    members: pd.DataFrame = runs.to_pandas()
    rows = []
    shapes: dict[str, int] = {}
    for job in planned.values():
        number = shapes.setdefault(json.dumps(job["shape"], sort_keys=True), len(shapes))
        rows.append({**shape_settings(job), **{name: job[name] for name in _FACTS}, "planned_shape": number})
    settings = pd.DataFrame(rows)
    place = pd.Index(list(planned)).get_indexer(members["job"])
    return pd.concat([members, settings.take(place).reset_index(drop=True)], axis=1)


def _job(study: Study, job: str) -> tuple[pa.Table, list[int]] | Damaged:
    """A finished job's runs with its id and time per step, and the state of its files when they were read."""
    try:
        attempt, files = study.verified(job, _FILES)
        state = _state(study, job, [attempt])
        runs = pq.read_table(io.BytesIO(files["runs.parquet"]), use_threads=False)
        ms = _ms_per_member_step(json.loads(files["timing.json"]))
    except Damaged as damage:
        return damage
    job_M, ms_M = pa.array([job] * len(runs)), pa.array([ms] * len(runs), pa.float64())
    return runs.append_column("job", job_M).append_column("ms", ms_M), state


def _state(study: Study, job: str, known: Sequence[int]) -> list[int]:
    """Attempt, and size and time of change of the committed files; of what is not there, nothing."""
    attempt, folder = known[0], study.job(job)
    state = [attempt]
    for path in (f"{folder}/result.json", *(f"{folder}/attempt-{attempt}/{name}" for name in _FILES)):
        try:
            found = os.stat(path)
        except OSError:
            return [attempt]
        state += [found.st_mtime_ns, found.st_size]
    return state


def _note_unfinished(study: Study, job: Json, problems: dict[str, list[Json]]) -> None:
    reason = study.failure(job["id"])
    row = {"study": study.name, "job": job["id"], "members": len(job["members"]), "settings": job_label(job)}
    problems["failed" if reason else "missing"].append({**row, **({"reason": reason} if reason else {})})


def _ms_per_member_step(timing: Json) -> float:
    """Median over the stretches between evaluations in which all members of the job still trained.

    Later stretches have smaller stacks and are left out, so that a column that solves early is timed like one that
    does not.
    """
    stretches = timing["stretches"]
    if not stretches:
        return math.nan
    most = max(stretch["members"] for stretch in stretches)
    full = [stretch for stretch in stretches if stretch["members"] == most]
    return float(np.median([1000 * part["seconds"] / (part["steps"] * part["members"]) for part in full]))


def shape_settings(job: Json) -> dict[str, Any]:
    """The settings of a job's shape by dotted key; the four that every report names go by their short names."""
    return {NAMES.get(key, key): value for key, value in flat(job["shape"]).items()}


def job_label(job: Json) -> str:
    """What a job trains, in a few words."""
    shape = shape_settings(job)
    return f"{shape['task']} depth {shape['depth']} {shape['residual']} {shape['norm']}"
