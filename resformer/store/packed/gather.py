"""Gather the results of finished jobs into one packed file, and remove their folders but for each
`result.json`.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

from resformer.errors import DiskError, UserError
from resformer.keys import Json
from resformer.store import checkpoints, claims, files
from resformer.store.checks import Damaged, Unreadable
from resformer.store.packed import file
from resformer.store.packed.result_files import packed_files
from resformer.store.study import Study

_REMOVED = re.compile(r"job\.json|(claim|attempt)-[1-9]\d{0,8}")
"""Names in a job's folder that are packed, or that only its worker needed."""


@final
@dataclass(frozen=True)
class Gathered:
    """The outcome of gathering a study's results."""

    path: Path
    """The packed file."""
    jobs: int
    """Jobs in it."""
    new: int
    """Jobs that were not packed before."""
    left_out: Sequence[str]
    """Damaged jobs, which stay in their folders, a line each."""
    kept: Sequence[Path]
    """Folders of packed jobs that are not emptied: behind a link, or not this user's to change."""
    checkpoints: int
    """Jobs whose last checkpoint was removed, so that a longer budget cannot go on from it."""


def gather(study: Study, group_rows: int = file.GROUP_ROWS) -> Gathered:
    """Gather the finished jobs whose files are whole. Raises UserError while somebody works on the
    study, if no job is finished, or if the study lies behind a link.

    The packed file is whole and durable before anything is removed; a concurrent reader finds each
    result in one place or the other. A new packed file holds what older ones did, which are then
    removed. Checkpoints are not packed: they are larger than all results.
    """
    if files.linked(study.path / "jobs", parents=1):
        raise UserError(
            f"study {study.name}: its folder, or jobs in it, is a link, and what lies behind may "
            "be another study's; gather that one"
        )
    results, planned = study.results, study.planned()
    done = results.finished(planned)
    _refuse_while_claims_live(study, planned.keys() & results.begun() - done)
    finished = [job for job in planned.values() if job["id"] in done]
    if not finished:
        raise UserError(f"study {study.name}: no job is finished, so there is nothing to gather")
    older, left_out = packed_files(study.path), list[str]()
    known = {job["id"] for job in finished if results.packed(job["id"])}
    if len(known) == len(finished) and len(older) == 1:
        path = older[0]
    else:
        path, left_out = _pack(study, finished, group_rows)
        for old in older if not left_out else ():  # they may hold parts of a damaged one
            files.remove(old)
    if len(finished) == len(planned):  # else a sweep may go on that listens
        files.remove_folder(study.events)
    # A job whose result no longer counts is open again: its folder is somebody's work. And a name
    # in the packed file that no plan knows may be a path.
    jobs = {job for job in file.at(path).jobs if job in planned and results.packed(job)}
    folders = [study.job(job) for job in sorted(jobs)]
    had_checkpoints = [folder for folder in folders if checkpoints.exist(folder)]
    return Gathered(
        path=path,
        jobs=len(jobs),
        new=len(jobs - known),
        left_out=left_out,
        kept=[folder for folder in folders if not _emptied(folder)],
        checkpoints=sum(not checkpoints.exist(folder) for folder in had_checkpoints),
    )


def _refuse_while_claims_live(study: Study, unfinished: set[str]) -> None:
    """Raise UserError if one of these jobs has a holder that is not known to be gone and has not
    been silent for a lease.
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


def _pack(study: Study, finished: Iterable[Json], group_rows: int) -> tuple[Path, list[str]]:
    """Write a new packed file; returns its path and the damaged jobs left out, a line each."""
    results, left_out = study.results, []
    # It is of the unpacked results. A disk without inodes takes the new file in its place.
    files.remove_folder(study.cache)
    numbers = (int(path.stem.partition("-")[2]) for path in packed_files(study.path))
    number = max(numbers, default=0) + 1
    with files.temporary(study.path / "gathered.parquet") as temporary:
        with file.writer(temporary, group_rows) as packed:
            for planned in finished:
                job = planned["id"]
                try:
                    contents = results.whole(planned)
                    if others := sorted(contents.keys() - set(file.FILES)):
                        raise Damaged(
                            f"{study.job(job)}: has {others[0]}, which is no file of a job"
                        )
                except Unreadable as error:
                    raise DiskError(str(error)) from error
                except Damaged as damage:
                    left_out.append(str(damage))
                else:
                    packed.add(job, results.locate(job).number, contents)
        while not files.publish(temporary, path := study.path / f"gathered-{number}.parquet"):
            number += 1
    return path, left_out


def _emptied(job: Path) -> bool:
    """Remove all of a job's folder but its results; returns whether nothing else stays. Behind a
    link everything does: it may be another study's.
    """
    names = [name for name in files.names(job) if _REMOVED.fullmatch(name)]
    if names and files.linked(job, parents=1):
        return False
    for name in names:
        remove = files.remove_folder if name.startswith("attempt-") else files.remove
        remove(job / name)
    return not any(files.exists(job / name) for name in names)
