"""A study as its readers get it: reports, statuses, sweeps, and successors of unfinished jobs."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar, final

import pandas as pd

from lib.faults import session
from lib.faults.shown import shown
from resformer.console.status import read_status
from resformer.errors import DiskError, UserError
from resformer.keys import Json
from resformer.reporting.analysis.summary import summarise
from resformer.reporting.serial import to_json
from resformer.results import cache
from resformer.results.members import read
from resformer.results.problems import Problems
from resformer.store import checkpoints, claims
from resformer.store.checkpoints import Checkpoint
from resformer.store.checks import Damaged
from resformer.store.claims import Claim
from resformer.store.study import PlannedJobs, Study, existing, find
from resformer.sweep import launch

T = TypeVar("T")

_MEANT = (Damaged, UserError, DiskError)


@final
@dataclass(frozen=True, kw_only=True)
class Seen:
    """All that readers get of a study, as text, or the one line that they end with."""

    members: Mapping[str, str]
    """Rows that a report has read, by member."""
    problems: Problems
    report: tuple[str, ...]
    """Its rows, all of its numbers, and the numbers of a status; empty unless looked at closely,
    which takes longer.
    """
    planned: Mapping[str, str]
    """Jobs by id."""
    to_run: frozenset[str]
    """Jobs that a sweep would run."""
    checked: Mapping[str, str]
    """Hashes of all bytes, by finished job."""
    resumed: Mapping[str, str]
    """Checkpoints that a successor would go on from, by unfinished job."""
    texts: tuple[str, ...]
    """All that was named, and all refusals, in words."""
    raised: tuple[str, ...]
    """Exceptions that no reader may raise."""


def seen(study: Study, *, closely: bool) -> Seen:
    """Read everything in the ways there are; closely: with all the numbers of a report."""
    texts: list[str] = []
    raised: list[str] = []

    def get(reader: Callable[[], T], otherwise: T) -> T:
        try:
            return reader()
        except _MEANT as error:
            texts.append(str(error))
        except Exception as error:
            raised.append(shown(error))
        return otherwise

    results = study.path.parent
    get(lambda: find(results, session.STUDY), study)
    if study not in get(lambda: existing(results), [study]):
        raised.append("the study is not listed")
    plan = get(study.plan, PlannedJobs(jobs={}, code={}, fingerprints={}, damaged=[]))
    planned, reasons = plan.jobs, plan.damaged
    nothing: tuple[Problems, list[Json], tuple[str, ...]] = (Problems(), [], ())
    problems, rows, report = get(lambda: _reported(study, closely=closely), nothing)
    launched = get(lambda: launch.plan(session.request(), study), None)
    finished = [job for job in planned if study.results.has(job)]
    return Seen(
        members={_member(row): json.dumps(row, sort_keys=True) for row in rows},
        problems=problems,
        report=report,
        planned={job: json.dumps(record) for job, record in planned.items()},
        to_run=frozenset() if launched is None else frozenset(launched.unfinished),
        checked={job: get(partial(_checked, study, job, planned[job]), "") for job in finished},
        resumed={
            job: get(partial(_resumed, study, job), "") for job in planned if job not in finished
        },
        texts=(
            *texts,
            *reasons,
            *problems.reasons,
            *([] if launched is None else launched.damaged.values()),
        ),
        raised=tuple(raised),
    )


def rows_by_member(members: pd.DataFrame) -> dict[str, str]:
    """Rows as text, by member, without the column that only numbers shapes."""
    rows = members.drop(columns="shape", errors="ignore").to_dict("records")
    return {_member(row): json.dumps(row, default=str, sort_keys=True) for row in rows}


def checkpoint_text(checkpoint: Checkpoint | None) -> str:
    """Step, hash and facts of a checkpoint; empty for none."""
    if checkpoint is None:
        return ""
    sha = hashlib.sha256(checkpoint.arrays).hexdigest()
    return f"{checkpoint.step} {sha} {json.dumps(checkpoint.facts)}"


def _reported(study: Study, *, closely: bool) -> tuple[Problems, list[Json], tuple[str, ...]]:
    """Problems of a report, the rows that it keeps, and closely: what it shows, as a status too."""
    findings = read([study])
    rows = cache.load_runs(study)[0].to_pylist()
    if not closely:
        return findings.problems, rows, ()
    status = read_status(study)
    states = {name: len(jobs) for name, jobs in status.states().items()}
    counts = json.dumps([{**status.outcomes}, states], default=int)
    try:
        report = json.dumps(to_json(summarise(findings)))
    except UserError as error:  # that there is nothing to report
        report = str(error)
    members = json.dumps(rows_by_member(findings.members), sort_keys=True)
    return findings.problems, rows, (members, report, counts)


def _checked(study: Study, job: str, record: Json) -> str:
    study.results.whole(record)
    result = study.results.read(job)
    digest = hashlib.sha256(str(result.attempt).encode())
    for name in sorted(result.contents):
        digest.update(result.contents[name])
    return digest.hexdigest()


def _resumed(study: Study, job: str) -> str:
    folder = study.job(job)
    attempt = claims.attempts(folder) + 1
    claim = Claim(folder, attempt, counter_at=0, beat_seconds=1.0, last_beat=0.0)
    return checkpoint_text(next(checkpoints.best_first(claim.job), None))


def _member(row: Mapping[Any, Any]) -> str:
    return f"{row['job']} {row['seed']} {row['lr']}"
