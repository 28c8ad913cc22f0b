"""Putting the results of finished jobs into one file, and away with their folders but for each
result.json.
"""

import contextlib
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from resformer.errors import DiskError, UserError
from resformer.store import claims, files
from resformer.store.checks import Damaged, Unreadable
from resformer.store.packed import file as gathered
from resformer.store.packed.result_files import Row
from resformer.store.study import Study

Json = dict[str, Any]

_OF_A_JOB = re.compile(r"job\.json|(claim|attempt)-[1-9]\d{0,8}")
"""What is gathered, and what only those needed who ran the job."""


@final
@dataclass(frozen=True)
class Summary:
    """What was done."""

    path: Path
    jobs: int
    """In this file."""
    new: int
    """That were in none before."""
    left_out: Sequence[str]
    """Jobs that stay where they are since their results are not what was committed, a line each."""


def gather(study: Study) -> Summary:
    """Gather what is finished and whole; UserError while somebody works on the study, or if nothing
    is finished.

    The file is there, whole and durable, before anything is removed; who reads meanwhile finds each
    result in one place or the other. A new file holds what older ones did, which then go.
    """
    planned = study.planned()
    done = study.finished(planned)
    _refuse_while_claims_live(study, planned.keys() & study.begun() - done)
    finished = [job for job in planned if job in done]
    if not finished:
        raise UserError(f"study {study.name}: no job is finished, so there is nothing to gather")
    before, left_out = study.gathered(), list[str]()
    known = {job for job in finished if isinstance(study.source(job), Row)}
    if len(known) == len(finished) and len(before) == 1:
        path = before[0]
    else:
        path = _written(study, _rows(study, planned, finished, left_out))
        for old in before if not left_out else ():  # which may hold what is left of a damaged one
            files.remove(old)
    if len(finished) == len(planned):  # else a sweep may go on that listens
        shutil.rmtree(study.events, ignore_errors=True)
    # Of a result that does not count any more, the job is open again: its folder is somebody's
    # work.
    jobs = {job for job in gathered.at(path).rows if isinstance(study.source(job), Row)}
    for job in jobs:
        _tidy(study.job(job))
    return Summary(path, len(jobs), len(jobs - known), left_out)


def _refuse_while_claims_live(study: Study, unfinished: set[str]) -> None:
    """UserError if one of these jobs has a holder who is not known to be gone, and has not been
    silent for a lease.
    """
    lease_seconds = max(
        (launch.get("engine", {}).get("lease_seconds", 60.0) for launch in study.launches()),
        default=0,
    )
    for job in sorted(unfinished):
        held = claims.held(study.job(job))
        gone = held is None or (held.holder is not None and held.holder.gone())
        if held is not None and not gone and held.silent_seconds <= lease_seconds:
            who = f"{held.holder.host}, pid {held.holder.pid}" if held.holder else "somebody"
            raise UserError(
                f"study {study.name}: {who} works on job {job}; stop it or wait, then gather"
            )


def _rows(
    study: Study, planned: Mapping[str, Json], finished: Sequence[str], left_out: list[str]
) -> Iterator[tuple[str, int, dict[str, bytes]]]:
    """Of each finished job its files; of one that is damaged, or has files of other names, why it
    is left out.
    """
    for job in finished:
        try:
            found = study.whole(job, planned[job])
            if strange := sorted(found.keys() - set(gathered.FILES)):
                raise Damaged(f"{study.job(job)}: has {strange[0]}, which is no file of a job")
            yield job, study.source(job).number, found
        except Unreadable as trouble:
            raise DiskError(str(trouble)) from trouble
        except Damaged as damage:
            left_out.append(str(damage))


def _written(study: Study, rows: Iterator[tuple[str, int, dict[str, bytes]]]) -> Path:
    """The new file."""
    number = max((int(path.stem.partition("-")[2]) for path in study.gathered()), default=0) + 1
    with files.temporary(study.path / "gathered.parquet") as beside:
        gathered.write(beside, rows)
        while not files.publish(beside, path := study.path / f"gathered-{number}.parquet"):
            number += 1
    return path


def _tidy(job: Path) -> None:
    """Remove of a job's folder all but its results. What cannot be removed stays."""
    for name in files.names(job):
        if _OF_A_JOB.fullmatch(name):
            with contextlib.suppress(OSError):
                if name.startswith("attempt-"):
                    shutil.rmtree(job / name)
                else:
                    (job / name).unlink()
