"""One study: its launches, its plan, and the results its jobs committed."""

import contextlib
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, final

from resformer.errors import DiskError, UserError
from resformer.store import checkpoints, checks, claims, files, folder, tables
from resformer.store.checks import Damaged
from resformer.store.claims import Claim
from resformer.store.done import Done
from resformer.store.packed import result_files as sources
from resformer.store.packed.result_files import Source
from resformer.store.plan import Index, Reader
from resformer.store.tables import Columns

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

Json = dict[str, Any]
Found = TypeVar("Found")

_PLAN = re.compile(r"plan-([1-9]\d{0,8})\.jsonl")
_CHECKS = {"curves": checks.curves, "layers": checks.layers}
"""Of what a table holds, by its name."""
_LAUNCH = re.compile(r"([1-9]\d{0,8})\.json")


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

    def job(self, job_id: str) -> Path:
        """The folder of a job; made at the first claim."""
        return Path(self._folder(job_id))

    def _folder(self, job_id: str) -> str:
        """The same; a Path for each of 100,000 jobs takes as long as to read them."""
        return f"{self.path}/jobs/{job_id[:2]}/{job_id}"

    def launched(self) -> bool:
        """Whether it was ever launched."""
        return bool(files.numbered(self.path / "launches", _LAUNCH))

    def launches(self) -> list[Json]:
        """What was asked, oldest first."""
        return [launch for launch, _ in self._launches() if launch is not None]

    def damaged_launches(self) -> Iterator[str]:
        """Which launches are not what was written, in words."""
        return (reason for launch, reason in self._launches() if launch is None)

    def _launches(self) -> Iterator[tuple[Json | None, str]]:
        """Every launch, or what is wrong with it."""
        for path in files.numbered(self.path / "launches", _LAUNCH):
            launch = files.verify_checksum(_listed(path))
            reason = "not what was written" if launch is None else checks.launch_record(launch)
            if launch is not None and reason is None and launch["launch"] != int(path.stem):
                reason = f"is the record of launch {launch['launch']}"
            yield (launch, "") if reason is None else (None, f"{path}: {reason}")

    def planned(self) -> dict[str, Json]:
        """Every planned job by its id, in the order of the plans."""
        return self.plan()[0]

    def plan(self) -> tuple[dict[str, Json], list[str]]:
        """Every planned job by its id; and which launches and lines of plans are not what was
        written, and unused.
        """
        jobs: dict[str, Json] = {}
        launches = list(self._launches())
        damaged = [reason for launch, reason in launches if launch is None]
        counts = {
            launch["launch"]: launch.get("planned") for launch, _ in launches if launch is not None
        }
        reader = Reader()
        for path in files.numbered(self.path, _PLAN):
            lines, wanted = (
                _listed(path).splitlines(),
                counts.get(int(path.stem.removeprefix("plan-"))),
            )
            if wanted not in (None, len(lines)):
                damaged.append(f"{path}: {len(lines)} lines of {wanted}")
            for number, (job, reason) in enumerate(reader.jobs(lines), 1):
                if job is None:
                    damaged.append(f"{path}: line {number}: {reason}")
                else:
                    jobs[job["id"]] = job
        return jobs, damaged

    def index(self) -> Index:
        """Every planned job by its id, read when it is asked for."""
        return Index.of(files.numbered(self.path, _PLAN))

    def orphans(self, planned: Container[str]) -> Iterator[Path]:
        """Folders and files among the jobs that are none of those planned; none of them is used."""
        for name in sorted(files.names(self.path / "jobs")):
            shelf = self.path / "jobs" / name
            there = sorted(files.names(shelf))
            if not there and not os.path.isdir(shelf):  # noqa: PTH112  (which is false, and raises nothing, in doubt)
                yield shelf
            yield from (shelf / job for job in there if job not in planned or job[:2] != name)

    def launch(self, record: Json, jobs: Sequence[Json]) -> int:
        """Put a launch and the jobs it adds on disk; returns its number.

        The plan is one durable write, and making it is what takes the number, so two launches never
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
        files.create(self.path / "launches" / f"{number}.json", files.with_checksum(record) + b"\n")
        return number

    def result(self, job_id: str) -> Path:
        """Where the result of a job is, or will be: `result.json`, or after damage to it
        `result-2.json`, and so on.
        """
        return self.job(job_id) / sources.result_name(self._number(job_id))

    def _number(self, job_id: str) -> int:
        """Of the result of a job that counts."""
        number = 1
        while files.exists(self._damage(job_id, number)):
            number += 1
        return number

    def has_result(self, job_id: str) -> bool:
        """Whether this job is finished."""
        return files.exists(self.result(job_id))

    def begun(self) -> set[str]:
        """Names of the jobs' folders: of every job that was claimed, and perhaps of strangers."""
        shelves = [self.path / "jobs" / name for name in files.names(self.path / "jobs")]
        return {name for shelf in shelves for name in files.names(shelf)}

    def finished(self, job_ids: Iterable[str]) -> set[str]:
        """Those of the jobs that are finished. Only the folders of those that the lists leave out
        are looked into.
        """
        known, begun = Done(self.path).news(), self.begun()
        return {
            job_id
            for job_id in job_ids
            if job_id in known or (job_id in begun and self.has_result(job_id))
        }

    def commit(
        self,
        claim: Claim,
        columns: dict[str, Columns],
        timing: Json,
        others: Mapping[str, bytes] = {},
    ) -> bool:
        """Write an attempt's files, then its result, once; False if another attempt was first.

        `columns` become tables; `others` are files as they are, by name.
        """
        claim.open()
        written = {f"{name}.parquet": tables.written(found) for name, found in columns.items()}
        written |= {"timing.json": _pretty(timing), **others}
        for name, data in written.items():
            files.write(claim.folder / name, data)
        facts = {name: sources.facts(data) for name, data in written.items()}
        result = {"job": claim.job.name, "attempt": claim.attempt, "files": facts}
        first = files.create(self.result(claim.job.name), files.with_checksum(result) + b"\n")
        if first:
            checkpoints.discard(claim.job)
            with contextlib.suppress(DiskError):  # the list is a cache, and the result is there
                self._note_done(claim.job.name, columns, timing)
        claim.committed()
        return first

    def _note_done(self, job_id: str, columns: Mapping[str, Columns], timing: Json) -> None:
        """Add a line to this worker's list: the job, and what `status` says of it."""
        me, outcomes = claims.holder(), Counter(columns.get("runs", {}).get("outcome", ()))
        files.make_folder(self.path / "done")
        name = f"{me.host}-{me.pid}-{me.started}.jsonl"
        line = {"job": job_id, "seconds": timing["seconds"], "outcomes": outcomes}
        files.append(self.path / "done" / name, files.with_checksum(line) + b"\n")

    def quarantine(self, result: Path, reason: str) -> None:
        """Have a damaged result count no more: the job is open again. What is whole is never
        overwritten by that.
        """
        number = int(result.stem.removeprefix("result").lstrip("-") or 1)
        path = Path(self._damage(result.parent.name, number))
        files.make_folder(path.parent)
        files.create(path, f"{reason}\n".encode(errors="backslashreplace"))

    def _damage(self, job_id: str, number: int) -> str:
        """The file that says that the result of this number does not count."""
        return f"{self.path}/damaged/{job_id}.{number}.txt"

    def whole(self, job_id: str, planned: Json) -> dict[str, bytes]:
        """Every file of a finished job by name; raises Damaged unless each is what was written."""
        return self._found(job_id, lambda source: sources.whole(source, job_id, planned))

    def read(self, job_id: str, name: str, columns: list[str] | None = None) -> "pd.DataFrame":
        """A table of a finished job, checked against the hash in its result; raises Damaged."""
        attempt, data = self.verified(job_id, [f"{name}.parquet"])
        try:
            table = tables.read(data[f"{name}.parquet"])
            reason = _CHECKS[name](table) if name in _CHECKS else None
        except ValueError as error:
            reason = str(error)
        if reason is not None:
            raise Damaged(f"{self.job(job_id)}/attempt-{attempt}/{name}.parquet: {reason}")
        found: pd.DataFrame = (table if columns is None else table.select(columns)).to_pandas(
            ignore_metadata=True
        )
        return found

    def runs(self, planned: Json) -> "pa.Table":
        """A row per member of a finished job, as its plan has them; raises Damaged."""
        attempt, data = self.verified(planned["id"], ["runs.parquet"])
        return self.ran(planned, attempt, data["runs.parquet"])

    def ran(self, planned: Json, attempt: int, data: bytes) -> "pa.Table":
        """The runs that stand in this `runs.parquet`; raises Damaged."""
        try:
            runs = tables.read(data)
            reason = checks.runs(runs, planned["members"])
        except ValueError as error:
            reason = str(error)
        if reason is not None:
            raise Damaged(f"{self.job(planned['id'])}/attempt-{attempt}/runs.parquet: {reason}")
        return runs

    def verified(
        self, job_id: str, names: Sequence[str] | None = None
    ) -> tuple[int, dict[str, bytes]]:
        """The attempt that was committed, and the content of these files of it; raises Damaged if
        one is another.

        Of the attempt's other files only the sizes are looked at. Without names it is about all of
        them.
        """
        return self._found(job_id, lambda source: sources.verified(source, job_id, names))

    def _found(self, job_id: str, read: Callable[[Source], Found]) -> Found:
        """What is read of a job, wherever its files are; they may be gathered while it is read."""
        source = self.source(job_id)
        try:
            return read(source)
        except Damaged:
            now = self.source(job_id)
            if now == source:
                raise
            return read(now)

    def gathered(self) -> list[Path]:
        """The files into which results were gathered, the latest last."""
        return sources.gathered_files(self.path)

    def state(
        self, job_id: str, attempt: int, names: Sequence[str], if_there: Sequence[str]
    ) -> list[int]:
        """Numbers that change if the result of a job, or one of these files of its attempt, does.

        None at all if one of them ought to be there and is not. Raises DiskError.
        """
        return self.source(job_id).state(attempt, names, if_there)

    def in_folders(self, jobs: Iterable[str]) -> int:
        """How many of these jobs were not gathered. Raises DiskError."""
        return sum(not isinstance(self.source(job), sources.Row) for job in jobs)

    def source(self, job_id: str) -> Source:
        """Where the files of a finished job are: its own folder, or those that were gathered.
        Raises DiskError.
        """
        return sources.source(self.path, job_id, self._folder(job_id), self._number(job_id))

    def timing(self, job_id: str) -> Json:
        """Wall times of a finished job, in seconds: in all, and by stretch between evaluations;
        raises Damaged.
        """
        attempt, data = self.verified(job_id, ["timing.json"])
        return self.timed(job_id, attempt, data["timing.json"])

    def timed(self, job_id: str, attempt: int, data: bytes) -> Json:
        """The wall times that stand in this `timing.json`; raises Damaged."""
        timing = files.parse_object(data)
        reason = checks.timing(timing)
        if timing is None or reason is not None:
            raise Damaged(f"{self.job(job_id)}/attempt-{attempt}/timing.json: {reason}")
        return timing

    def failure(self, job_id: str) -> str | None:
        """Why a job failed, in one line; None if it did not, or may still go on."""
        return self.failures([job_id]).get(job_id)

    def failures(self, job_ids: Iterable[str]) -> dict[str, str]:
        """Why, in one line, those of the jobs failed that did, and will not be tried again."""
        retries = {
            launch["launch"]: launch.get("engine", {}).get("retries", 0)
            for launch in self.launches()
        }
        found = {}
        for job_id in job_ids:
            job = self.job(job_id)
            last = claims.attempts(job)
            if not last or self.has_result(job_id):
                continue
            launch = claims.launch_of(job, last)
            if claims.failures(job, launch) > retries.get(launch, 0) and claims.over(job, last):
                found[job_id] = claims.error(job, last) or "its worker died or went silent"
        return found


def _listed(path: Path) -> bytes:
    """The content of a file that the folder's list names; a link to nowhere is as one with nothing
    in it.
    """
    try:
        return files.content(path)
    except FileNotFoundError:
        return b""


def _pretty(tree: object) -> bytes:
    return json.dumps(tree, indent=1, allow_nan=False).encode() + b"\n"


def find(results: Path, name: str) -> Study:
    """The study of this name, launched or not. Raises UserError if something else has its place."""
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
    """The studies in a results folder, the one launched last first."""
    folder.check(results)
    studies = [
        study for path in results.glob("*/launches") if (study := Study(path.parent)).launched()
    ]
    started = {
        study: max((str(launch["started"]) for launch in study.launches()), default="")
        for study in studies
    }
    return sorted(studies, key=lambda study: started[study], reverse=True)


def named(results: Path, name: str) -> Study:
    """The launched study of this name. Raises UserError, with the names of others, if there is
    none.
    """
    study = find(results, name)
    if not study.launched():
        names = (
            ", ".join(study.name for study in existing(results))
            or "none; resformer sweep makes one"
        )
        raise UserError(f"study {name}: is not in {results}; there are {names}")
    return study
