"""The invariant: what must hold of a results folder after any fault, and after a recovery."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

from lib.faults.session import STUDY
from lib.faults.shown import shown
from resformer.errors import UserError
from resformer.reporting.analysis.summary import summarise
from resformer.results.members import read
from resformer.store.checks import Damaged
from resformer.store.study import Study, existing, find
from resformer.sweep import launch
from resformer.sweep.request import Request

Hashes = Mapping[str, str]
"""SHA-256 of the files of a result, by name."""
Acknowledged = Sequence[tuple[str, Hashes]]
"""Jobs that were named as finished, and their files at that moment."""


@final
@dataclass(frozen=True)
class Expected:
    """A request, the jobs that it leaves undisturbed, and the hash of their tables."""

    request: Request
    jobs: frozenset[str]
    table: str


def expected(results: Path, request: Request) -> Expected:
    """Take as expected what the request left in this folder."""
    study = Study(results / STUDY)
    return Expected(request, frozenset(_results(study)), table(study))


def violations(
    results: Path, acknowledged: Acknowledged, expected: Expected, *, finished: bool = False
) -> list[str]:
    """List what does not hold, in words.

    `finished`: after an undisturbed session, which must have left nothing to do.
    """
    study = Study(results / STUDY)
    if broken := [*_opens(study, expected.request)]:
        return broken
    counts = _results(study)
    broken += _acknowledged(study, acknowledged)
    broken += [problem for job in sorted(counts) for problem in _partial(study, job)]
    broken += [f"{job}: {count} results" for job, count in counts.items() if count > 1]
    strangers, missing = counts.keys() - expected.jobs, expected.jobs - counts.keys()
    broken += [f"{job}: has a result and is none of the session's" for job in strangers]
    if finished:
        broken += [f"{job}: has no result, after an undisturbed session" for job in missing]
        broken += _reported(study, expected)
        if not broken and table(study) != expected.table:
            broken.append("the table of results is not that of an undisturbed run")
    return broken


def hashes(folder: Path) -> Hashes:
    """SHA-256 of every file that a job's result names, by name, as they are now."""
    result = json.loads((folder / "result.json").read_bytes())
    attempt = folder / f"attempt-{result['attempt']}"
    return {
        name: hashlib.sha256((attempt / name).read_bytes()).hexdigest() for name in result["files"]
    }


def acknowledged(study: Study, job: str) -> tuple[str, Hashes]:
    """A job named as finished, and its files now; no files, which no later look can agree with, if
    they cannot be read.
    """
    try:
        return job, hashes(study.job(job))
    except (OSError, ValueError, KeyError):
        return job, {}


def table(study: Study) -> str:
    """SHA-256 over the runs and curves of every result, sorted by job."""
    digest = hashlib.sha256()
    for job in sorted(_results(study)):
        data = study.results.read(job, ["runs.parquet", "curves.parquet"]).contents
        digest.update(job.encode() + data["runs.parquet"] + data["curves.parquet"])
    return digest.hexdigest()


def problems(study: Study) -> list[str]:
    """All that the report complains of."""
    return [
        f"reported as {kind}: {row}"
        for kind, rows in vars(read([study]).problems).items()
        for row in rows
    ]


def errors(study: Study) -> list[str]:
    """Complaints of attempts that failed."""
    paths = study.path.glob("jobs/*/*/attempt-*/error.txt")
    return [f"{path}: there was no error" for path in paths]


def _results(study: Study) -> Counter[str]:
    """Results by job, also those set aside: no fault changes what was committed."""
    return Counter(path.parent.name for path in study.path.glob("jobs/*/*/result*.json"))


def _opens(study: Study, request: Request) -> Iterator[str]:
    """Looking, planning and reporting raise nothing, or say cleanly that there is nothing yet."""
    launched = any(study.path.glob("launches/*.json"))
    try:
        find(study.path.parent, STUDY)
        if launched and study not in existing(study.path.parent):
            yield "the study was launched and is not listed"
        launch.plan(request, study)
        damaged = study.plan().damaged
        yield from (f"plan: {reason}" for reason in damaged)
        findings = read([study])
        yield from (
            f"damaged: {reason}" for reason in findings.problems.reasons if reason not in damaged
        )
        if _results(study):
            summarise(findings)
    except Exception as error:
        if launched or not isinstance(error, UserError):
            yield f"the study does not open: {shown(error)}"


def _acknowledged(study: Study, acknowledged: Acknowledged) -> Iterator[str]:
    """Every acknowledged result is as it was, and was acknowledged once."""
    counts = Counter(job for job, _ in acknowledged)
    yield from (f"{job}: acknowledged {count} times" for job, count in counts.items() if count > 1)
    for job, then in acknowledged:
        try:
            if hashes(study.job(job)) != then:
                yield f"{job}: acknowledged, and its files are others now"
        except (OSError, ValueError, KeyError) as error:
            yield f"{job}: acknowledged, and cannot be read: {shown(error)}"


def _partial(study: Study, job: str) -> Iterator[str]:
    """Every file of a result is what was committed, and its tables can be read."""
    try:
        study.results.read(job, sorted(hashes(study.job(job))))
        for name in ("runs", "curves"):
            if study.results.table(job, name).empty:
                yield f"{job}: {name} has no rows"
    except (Damaged, OSError, ValueError, KeyError) as error:
        yield f"{job}: a partial result is visible: {shown(error)}"


def _reported(study: Study, expected: Expected) -> Iterator[str]:
    """The report has every member and no problem."""
    yield from problems(study)
    members = read([study]).members
    requested = sum(len(members) for _, members in expected.request.shapes)
    if len(members) != requested:
        yield f"the report has {len(members)} members of {requested}"
    if frozenset(members["job"]) != expected.jobs:
        yield "the report's jobs are not those of an undisturbed run"
