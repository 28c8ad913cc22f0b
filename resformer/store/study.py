"""A study: its folder, which is found in a results folder, its launches and its plan."""

import difflib
import os
import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import final

from resformer import plugins
from resformer.errors import DiskError, UserError
from resformer.keys import Json
from resformer.plan import code
from resformer.store import checks, claims, files, folder
from resformer.store.job_folders import job_folder
from resformer.store.plan import Index, Reader, by_shape
from resformer.store.results import Results
from resformer.text import shortened

_PLAN = re.compile(r"plan-([1-9]\d{0,8})\.jsonl")
_LAUNCH = re.compile(r"([1-9]\d{0,8})\.json")
_CLOCKS_DIFFER = timedelta(days=1)
"""A launch further in the future was timed by a clock that was wrong."""


@final
@dataclass(frozen=True, kw_only=True)
class PlannedJobs:
    """Planned jobs of a study."""

    jobs: dict[str, Json]
    """Every job by its id, in the order of the plans."""
    code: dict[str, str]
    """Digest of the code that each was planned with; "" where that is not known."""
    fingerprints: dict[str, Mapping[str, str]]
    """Hashes of the code by role that each was planned with; empty where they are not known."""
    damaged: list[str]
    """Damage to launches and lines of plans, a line each."""

    def outdated(self, launches: Iterable[Json]) -> set[str]:
        """Ids of the jobs of other code than the last launches that used it."""
        hashes = code.newest(launches)
        last = by_shape(self.jobs, lambda job: code.digest(job["shape"], hashes))
        return {job_id for job_id, digest in self.code.items() if digest != last[job_id]}


@final
@dataclass(frozen=True)
class Study:
    """A study folder. Nothing is read or written before a method asks for it, and then it may raise
    DiskError.
    """

    path: Path

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.name

    @property
    def events(self) -> Path:
        """The folder of event logs: workers on other machines append to them while they work."""
        return self.path / "told"

    @property
    def cache(self) -> Path:
        """The folder of what readers keep; it may be deleted at any time."""
        return self.path / ".cache"

    @property
    def results(self) -> Results:
        """The results of the study's jobs."""
        return Results(self.path)

    def job(self, job_id: str) -> Path:
        """The folder of a job, which is made at the first claim."""
        return Path(job_folder(self.path, job_id))

    def launched(self) -> bool:
        """Tell whether the study was ever launched."""
        return bool(files.numbered(self.path / "launches", _LAUNCH))

    def launches(self) -> list[Json]:
        """Intact records of launches, oldest first."""
        return [record for record, _ in self._launches() if record is not None]

    def damaged_launches(self) -> Iterator[str]:
        """Damage to records of launches, a line each."""
        return (damage for record, damage in self._launches() if record is None)

    def _launches(self) -> Iterator[tuple[Json | None, str]]:
        """Every record of a launch, or the damage to it."""
        for path in files.numbered(self.path / "launches", _LAUNCH):
            record = files.verify_checksum(_listed(path))
            try:
                checks.launch_record(record, int(path.stem))
            except ValueError as error:
                yield None, f"{path}: {error}"
            else:
                yield record, ""

    def planned(self) -> dict[str, Json]:
        """Every planned job by its id, in the order of the plans."""
        return self.plan().jobs

    def plan(self) -> PlannedJobs:
        """All that is planned; lines of plans that are damaged are not used."""
        every = PlannedJobs(jobs={}, code={}, fingerprints={}, damaged=[])
        records = list(self._launches())
        every.damaged.extend(damage for record, damage in records if record is None)
        launches = {record["launch"]: record for record, _ in records if record is not None}
        reader = Reader()
        for path in files.numbered(self.path, _PLAN):
            lines = _listed(path).splitlines()
            launch = launches.get(int(path.stem.removeprefix("plan-")), {})
            count = launch.get("planned")
            fingerprint: Json = launch.get("fingerprint", {})
            if count not in (None, len(lines)):
                every.damaged.append(f"{path}: {len(lines)} lines of {count}")
            jobs: dict[str, Json] = {}
            for number, (job, reason) in enumerate(reader.jobs(lines), 1):
                if job is None:
                    every.damaged.append(f"{path}: line {number}: {reason}")
                else:
                    jobs[job["id"]] = job
            every.jobs.update(jobs)
            every.code.update(_digests(jobs, fingerprint))
            every.fingerprints.update(dict.fromkeys(jobs, fingerprint))
        return every

    def index(self) -> Index:
        """Every planned job by its id, each read when it is asked for."""
        return Index.of(files.numbered(self.path, _PLAN))

    def orphans(self, planned: Container[str]) -> Iterator[Path]:
        """Folders and files among the jobs' folders that belong to no planned job; none is used."""
        for name in sorted(files.names(self.path / "jobs")):
            shelf = self.path / "jobs" / name
            jobs = sorted(files.names(shelf))
            if not jobs and not os.path.isdir(shelf):  # noqa: PTH112  (which is false, and raises nothing, in doubt)
                yield shelf
            yield from (shelf / job for job in jobs if job not in planned or job[:2] != name)

    def launch(self, record: Json, jobs: Sequence[Json]) -> int:
        """Write a launch and the jobs it adds; returns its number.

        The plan is one durable write, and its creation takes the number, so two launches never
        share one.
        """
        folder.make(self.path.parent)
        for path in (self.path, self.path / "launches"):
            files.make_folder(path)
        plan = b"".join(files.with_checksum(job) + b"\n" for job in jobs)
        number = 1
        while not files.create(self.path / f"plan-{number}.jsonl", plan):
            number += 1
        started = datetime.now(UTC).isoformat()
        record = {"launch": number, "started": started, "planned": len(jobs), **record}
        path = self.path / "launches" / f"{number}.json"
        files.create(path, files.with_checksum(record) + b"\n")
        return number

    def failure(self, job_id: str) -> str | None:
        """One-line error of a failed job; None if it did not fail or is to be retried."""
        return self.failures([job_id]).get(job_id)

    def failures(self, job_ids: Iterable[str]) -> dict[str, str]:
        """One-line error of each of these jobs that failed and will not be retried, by id."""
        retries = {
            record["launch"]: record.get("engine", {}).get("retries", 0)
            for record in self.launches()
        }
        errors = {}
        for job_id in job_ids:
            job = self.job(job_id)
            last = claims.attempts(job)
            if not last or self.results.has(job_id):
                continue
            launch = claims.launch_of(job, last)
            if claims.failures(job, launch) > retries.get(launch, 0) and claims.over(job, last):
                errors[job_id] = claims.error(job, last) or "its worker died or went silent"
        return errors


def _digests(jobs: Mapping[str, Json], fingerprint: Mapping[str, str]) -> dict[str, str]:
    """Digest of each job's code, which plans of earlier versions leave to the fingerprint of their
    launch.
    """
    launched = by_shape(jobs, lambda job: code.digest(job["shape"], fingerprint))
    return {job_id: job.get("code", launched[job_id]) for job_id, job in jobs.items()}


def find(results: Path, name: str) -> Study:
    """The study of this name, launched or not, to write to. Raises UserError if something else has
    its place.
    """
    study = Study(results / folder.check_name(name))
    folder.check(results)
    names = files.names(study.path)
    # In this order, for another sweep may be making the folder at this moment.
    taken = (
        "launches" not in names if names else files.exists(study.path) and not study.path.is_dir()
    )
    if taken:
        raise UserError(
            f"study {name}: {study.path} is there and is no study of resformer; choose another name"
        )
    return study


def existing(results: Path) -> list[Study]:
    """The studies in a results folder, marked or not, the one launched last first. Those that this
    user may not look into are left out; raises DiskError if there are no others.
    """
    folder.check_place(results)
    studies, closed = [], list[DiskError]()
    for name in files.names(results):
        study = Study(results / name)
        try:
            if folder.is_name(name) and study.launched():
                studies.append(study)
        except DiskError as error:
            closed.append(error)
    if closed and not studies:
        raise closed[0]
    now = datetime.now(UTC)
    return sorted(studies, key=lambda study: _last_start(study, now), reverse=True)


def _last_start(study: Study, now: datetime) -> datetime:
    """Start of the last launch; launches in the future count for nothing."""
    starts = (datetime.fromisoformat(launch["started"]) for launch in study.launches())
    known = (start for start in starts if start - now < _CLOCKS_DIFFER)
    return max(known, default=datetime.min.replace(tzinfo=UTC))


def open_study(results: Path, name: str) -> Study:
    """The launched study of this name, to read. Raises UserError, with the names of others, if
    there is none.
    """
    study = Study(results / folder.check_name(name))
    folder.check_place(results)
    if not study.launched():
        if name in plugins.studies():
            raise UserError(
                f"study {name}: has not run in {results}; resformer sweep --study {name} runs it"
            )
        names = [study.name for study in existing(results)]
        similar = difflib.get_close_matches(name, names, n=1)
        there_are = f"there are {shortened(', '.join(names), 300)}"
        hint = f"did you mean {similar[0]}?" if similar else there_are
        none = "there are none; resformer sweep makes one"
        raise UserError(f"study {name}: is not in {results}; {hint if names else none}")
    return study


def _listed(path: Path) -> bytes:
    """Content of a file that its folder lists; empty for a link to nowhere."""
    try:
        return files.content(path)
    except FileNotFoundError:
        return b""
