"""Runs of a study: a row per member of its finished jobs, read once and cached."""

import math
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import final

import numpy as np
import pyarrow as pa

from resformer.keys import Json
from resformer.results import cache
from resformer.results.other_code import other_code
from resformer.results.problems import DamagedJob, FailedJob, MissingJob, Problems
from resformer.store.checks import Damaged
from resformer.store.shapes import job_label
from resformer.store.study import Study

_READ = ("runs.parquet", "timing.json")
_COMMITTED = (*_READ, "curves.parquet")
_PROBED = "layers.parquet"
"""File of the jobs that were probed."""
_THREADS = 2


@final
@dataclass(frozen=True, kw_only=True)
class StudyRuns:
    """Runs of a study's finished jobs, and the jobs that have none."""

    study: Study
    table: pa.Table
    """Columns of `runs.parquet`, `job` and `ms` (milliseconds per member and step)."""
    planned: Mapping[str, Json]
    """Plan of the jobs in the table, by job."""
    states: Mapping[str, list[int]]
    """State of their files, by job."""
    problems: Problems


def read_runs(study: Study, *, max_hashed: int, batch_jobs: int) -> StudyRuns:
    """Read the runs of a study's finished jobs, from the cache if their files are unchanged.

    Curves, which no run depends on, are verified too if at most `max_hashed` jobs are new; else
    when they are read. The runs of `batch_jobs` jobs become one table at a time: in tables of their
    own they take 10 kB of memory each.
    """
    plan, launches = study.plan(), study.launches()
    orphans = [f"{path}: no plan of this study names it" for path in study.orphans(plan.jobs)]
    reasons = [*plan.damaged, *orphans]
    outdated = plan.outdated(launches)
    planned = {job: record for job, record in plan.jobs.items() if job not in outdated}
    cached, cached_states = cache.load_runs(study)
    fresh = {
        job: state
        for job, state in cached_states.items()
        if job in planned and _state(study, job, state[0]) == state
    }
    results, begun = study.results, study.results.begun()
    new = [job for job in planned if job not in fresh and job in begun and results.has(job)]
    names = _COMMITTED if len(new) <= max_hashed else _READ
    size = min(batch_jobs, math.ceil(len(new) / _THREADS)) or 1
    parts = [new[start : start + size] for start in range(0, len(new), size)]
    with ThreadPoolExecutor(_THREADS) as pool:
        batches = [
            *pool.map(lambda part: _read_batch(study, [planned[job] for job in part], names), parts)
        ]
    states = fresh | {job: state for batch in batches for job, state in batch.states.items()}
    table = cached
    if len(states) > len(fresh) or len(fresh) < len(cached_states):
        tables = [batch.table for batch in batches if batch.states]
        if fresh:
            tables.insert(0, cached.filter(pa.compute.is_in(cached["job"], pa.array([*fresh]))))
        table = _joined(tables) if tables else pa.table({})
        cache.save_runs(study, table, states)
    finished = {*fresh, *new}
    unfinished = {job: record for job, record in planned.items() if job not in finished}
    failures = study.failures(job for job in unfinished if job in begun)
    damaged: list[tuple[str | None, str]] = [
        *(item for batch in batches for item in batch.damaged.items()),
        *((None, reason) for reason in reasons),
    ]
    return StudyRuns(
        study=study,
        table=table,
        planned={job: planned[job] for job in states},
        states=states,
        problems=replace(
            _problems(study, unfinished, failures, damaged),
            other_code=other_code(study, plan, outdated, launches),
        ),
    )


def _problems(
    study: Study,
    unfinished: Mapping[str, Json],
    failures: Mapping[str, str],
    damaged: Sequence[tuple[str | None, str]],
) -> Problems:
    missing, failed = [], []
    for job, planned in unfinished.items():
        members, settings = len(planned["members"]), job_label(planned)
        if job in failures:
            failed.append(
                FailedJob(
                    study=study.name,
                    job=job,
                    members=members,
                    settings=settings,
                    reason=failures[job],
                )
            )
        else:
            missing.append(
                MissingJob(study=study.name, job=job, members=members, settings=settings)
            )
    return Problems(
        missing=tuple(missing),
        damaged=tuple(
            DamagedJob(study=study.name, job=job, reason=reason) for job, reason in damaged
        ),
        failed=tuple(failed),
    )


@final
@dataclass(frozen=True, kw_only=True)
class _Batch:
    """Runs of some finished jobs, and the state of their files; what damages the others."""

    table: pa.Table
    states: dict[str, list[int]]
    damaged: dict[str, str]


def _read_batch(study: Study, jobs: Sequence[Json], names: Sequence[str]) -> _Batch:
    tables, ms, states, damaged = [], [], {}, {}
    for planned in jobs:
        job = planned["id"]
        try:
            result = study.results.read(job, names)
            timing, table = result.timing(), result.runs(planned["members"])
        except Damaged as damage:
            damaged[job] = str(damage)
            continue
        tables.append(table)
        ms.append(_ms_per_member_step(timing))
        states[job] = _state(study, job, result.attempt)
    if not tables:
        return _Batch(table=pa.table({}), states=states, damaged=damaged)
    sizes = [*map(len, tables)]
    table = _joined(tables)
    for name, values in (("job", [*states]), ("ms", ms)):
        table = table.append_column(name, pa.array(np.repeat(values, sizes)))
    return _Batch(table=table, states=states, damaged=damaged)


def _joined(tables: Iterable[pa.Table]) -> pa.Table:
    """Tables in one piece: in as many as there are jobs, they take ten times the bytes and the
    time.
    """
    return pa.concat_tables(tables, promote_options="permissive").combine_chunks()


def _state(study: Study, job: str, attempt: int) -> list[int]:
    """The attempt, then size and time of change of its files; of missing files, nothing."""
    return [attempt, *study.results.locate(job).state(attempt, _COMMITTED, [_PROBED])]


def _ms_per_member_step(timing: Json) -> float:
    """Median over the stretches between evaluations in which all members of the job still trained.

    Later stretches train fewer members and are left out, so that a column that solves early is
    timed like one that does not.
    """
    stretches = timing["stretches"]
    if not stretches:
        return math.nan
    members = max(stretch["members"] for stretch in stretches)
    ms = [
        1000 * stretch["seconds"] / (stretch["steps"] * members)
        for stretch in stretches
        if stretch["members"] == members
    ]
    return float(np.median(ms))
