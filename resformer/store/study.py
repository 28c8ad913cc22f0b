"""One study: its launches, its plan, and the results its jobs committed."""

import hashlib
import io
import json
import os
import re
import traceback
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, final

import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from resformer.errors import UserError
from resformer.store import claims, files
from resformer.store.claims import Claim

Json = dict[str, Any]

_MARK = ".resformer"
_MARK_TEXT = b"Results of resformer, one folder per study.\n"
_FEW_ROWS = 100
_PLAN = r"plan-([1-9]\d*)\.jsonl"
_LAUNCH = r"([1-9]\d*)\.json"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class Damaged(Exception):
    """A committed result whose files are not what was committed: the file and what is wrong with it."""


@final
@dataclass(frozen=True)
class Study:
    """A study folder. Nothing is read or written before a method asks for it."""

    path: Path

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.name

    def job(self, job_id: str) -> Path:
        """The folder of a job; made at the first claim."""
        return self.path / "jobs" / job_id[:2] / job_id

    def launches(self) -> list[Json]:
        """What was asked, oldest first."""
        found = (files.unseal(path.read_bytes()) for path in _numbered(self.path / "launches", _LAUNCH))
        return [launch for launch in found if launch is not None]

    def damaged_launches(self) -> Iterator[str]:
        """Which launches are not what was written, in words."""
        for path in _numbered(self.path / "launches", _LAUNCH):
            if files.unseal(path.read_bytes()) is None:
                yield f"{path}: not what was written"

    def planned(self) -> dict[str, Json]:
        """Every planned job by its id, in the order of the plans."""
        return self.plan()[0]

    def plan(self) -> tuple[dict[str, Json], list[str]]:
        """Every planned job by its id; and which launches and lines of plans are not what was written, and unused."""
        jobs: dict[str, Json] = {}
        damaged = list(self.damaged_launches())
        counts = {launch["launch"]: launch.get("planned") for launch in self.launches()}
        for path in _numbered(self.path, _PLAN):
            lines, launch = path.read_bytes().splitlines(), int(path.stem.removeprefix("plan-"))
            if counts.get(launch) not in (None, len(lines)):
                damaged.append(f"{path}: {len(lines)} lines of {counts[launch]}")
            for number, line in enumerate(lines, 1):
                job = files.unseal(line)
                if job is None:
                    damaged.append(f"{path}: line {number} is not what was written")
                else:
                    jobs[job["id"]] = job
        return jobs, damaged

    def strangers(self, planned: Container[str]) -> Iterator[Path]:
        """Folders and files among the jobs that are none of those planned; none of them is used."""
        for shelf in sorted(self.path.glob("jobs/*")):
            if not shelf.is_dir():
                yield shelf
                continue
            yield from (
                path for path in sorted(shelf.iterdir()) if path != self.job(path.name) or path.name not in planned
            )

    def launch(self, record: Json, jobs: Sequence[Json]) -> int:
        """Put a launch and the jobs it adds on disk; returns its number.

        The plan is one durable write, and making it is what takes the number, so two launches never share one.
        """
        open_results(self.path.parent)
        (self.path / "launches").mkdir(parents=True, exist_ok=True)
        plan = b"".join(files.seal(job) + b"\n" for job in jobs)
        number = 1
        while not files.create(self.path / f"plan-{number}.jsonl", plan):
            number += 1
        started = datetime.now(UTC).isoformat()
        record = {"launch": number, "started": started, "planned": len(jobs), **record}
        files.create(self.path / "launches" / f"{number}.json", files.seal(record) + b"\n")
        return number

    def committed(self) -> set[str]:
        """Ids of the jobs that the workers' lists name; a cache: `has_result` is the truth about one job."""
        return {line["job"] for path in self.path.glob("done/*.jsonl") for line in files.lines(path)}

    def has_result(self, job_id: str) -> bool:
        """Whether this job is finished."""
        return (self.job(job_id) / "result.json").exists()

    def finished(self, job_ids: Iterable[str]) -> set[str]:
        """Those of the jobs that are finished."""
        known = self.committed()
        return {job_id for job_id in job_ids if job_id in known or self.has_result(job_id)}

    def commit(
        self, claim: Claim, tables: dict[str, dict[str, Any]], timing: Json, others: Mapping[str, bytes] = {}
    ) -> bool:
        """Write an attempt's files, then `result.json`, once; False if another attempt was first.

        `tables` become Parquet; `others` are files as they are, by name.
        """
        claim.folder.mkdir(exist_ok=True)
        written = {f"{name}.parquet": _parquet(columns) for name, columns in tables.items()}
        written |= {"timing.json": _pretty(timing), **others}
        for name, data in written.items():
            files.write(claim.folder / name, data)
        job_id = claim.job.name
        result = {
            "job": job_id,
            "attempt": claim.attempt,
            "files": {name: _facts((claim.folder / name).read_bytes()) for name in written},
        }
        first = files.create(claim.job / "result.json", _pretty(result))
        if first:
            self._note_done(job_id)
        return first

    def _note_done(self, job_id: str) -> None:
        me = claims.holder()
        path = self.path / "done" / f"{me.host}-{me.pid}-{me.started}.jsonl"
        path.parent.mkdir(exist_ok=True)
        with open(path, "ab") as file:
            file.write(json.dumps({"job": job_id}).encode() + b"\n")

    def read(self, job_id: str, name: str, columns: list[str] | None = None) -> pd.DataFrame:
        """A table of a finished job, checked against the hash in its `result.json`; raises Damaged."""
        _, data = self.verified(job_id, [f"{name}.parquet"])
        table: pd.DataFrame = pq.read_table(io.BytesIO(data[f"{name}.parquet"]), columns=columns).to_pandas()
        return table

    def verified(self, job_id: str, names: Sequence[str]) -> tuple[int, dict[str, bytes]]:
        """The attempt that was committed, and the content of these files of it; raises Damaged if one is another.

        Of the attempt's other files only the sizes are looked at.
        """
        folder = str(self.job(job_id))  # a Path for every file would take longer than to read it
        try:
            result = json.loads(_content(f"{folder}/result.json"))
            if result["job"] != job_id:
                raise Damaged(f"{folder}/result.json: is of the job {result['job']}")
            attempt, facts = int(result["attempt"]), result["files"]
            for name in facts.keys() - set(names):
                path = f"{folder}/attempt-{attempt}/{name}"
                if Path(path).stat().st_size != facts[name]["bytes"]:
                    raise Damaged(f"{path}: not the bytes that were committed")
            found = {name: _content(f"{folder}/attempt-{attempt}/{name}") for name in names}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise Damaged(f"{folder}/result.json: {summary(error)}") from error
        for name, data in found.items():
            if _facts(data) != facts.get(name):
                raise Damaged(f"{folder}/attempt-{attempt}/{name}: not the bytes that were committed")
        return attempt, found

    def timing(self, job_id: str) -> Json:
        """Wall times of a finished job, in seconds: in all, and by stretch between evaluations; raises Damaged."""
        found: Json = json.loads(self.verified(job_id, ["timing.json"])[1]["timing.json"])
        return found

    def failure(self, job_id: str) -> str | None:
        """Why a job failed, in one line; None if it did not, or may still go on."""
        job = self.job(job_id)
        last = claims.attempts(job)
        if not last or self.has_result(job_id):
            return None
        error = job / f"attempt-{last}" / "error.txt"
        launch = claims.launch_of(job, last)
        retries = next((found["engine"]["retries"] for found in self.launches() if found["launch"] == launch), 0)
        if claims.attempts(job, since=launch) <= retries or not claims.over(job, last):
            return None
        if not error.exists():
            return "its worker died or went silent"
        said = error.read_text(errors="replace").split("\n")
        return next((line for line in reversed(said) if line.strip()), f"{error} is empty")

    def fail(self, claim: Claim, error: BaseException) -> None:
        """End an attempt with the traceback of what went wrong, and a last line that says it."""
        claim.folder.mkdir(exist_ok=True)
        text = f"{''.join(traceback.format_exception(error))}\n{summary(error)}\n"
        files.write(claim.folder / "error.txt", text.encode(errors="backslashreplace"))


def summary(error: BaseException) -> str:
    """Type and message of an error, in one line."""
    return " ".join("".join(traceback.format_exception_only(error)).split())


def check_name(name: str) -> str:
    """The name of a study, or UserError: it becomes a folder, so it must not be a path."""
    if not _NAME.fullmatch(name):
        raise UserError(f"study {name!r}: a name of letters, digits, '.', '_' and '-', starting with a letter or digit")
    return name


def find(results: Path, name: str) -> Study:
    """The study of that name, there or not yet; UserError if its place is taken by something else."""
    study = Study(results / check_name(name))
    _check_results(results)
    taken = study.path.exists() and not (study.path / "launches").is_dir()
    if taken and (not study.path.is_dir() or os.listdir(study.path)):
        raise UserError(f"study {name}: {study.path} is there and is no study of resformer; choose another name")
    return study


def existing(results: Path) -> list[Study]:
    """The studies in a results folder, the one launched last first."""
    _check_results(results)
    there = [Study(path.parent) for path in results.glob("*/launches") if _numbered(path, _LAUNCH)]
    started = {study: max((str(launch["started"]) for launch in study.launches()), default="") for study in there}
    return sorted(there, key=lambda study: started[study], reverse=True)


def named(results: Path, name: str) -> Study:
    """The study of that name; UserError, with the names of those there are, if it is not there."""
    there = existing(results)
    if find(results, name).name not in {study.name for study in there}:
        names = ", ".join(study.name for study in there) or "none; resformer sweep makes one"
        raise UserError(f"study {name}: is not in {results}; there are {names}")
    return Study(results / name)


def open_results(results: Path) -> None:
    """Make the results folder if it is not there, and mark it as resformer's."""
    try:
        results.mkdir(parents=True, exist_ok=True)
        files.create(results / _MARK, _MARK_TEXT)
    except OSError as error:
        raise UserError(f"--results {results}: cannot be written: {error.strerror}; name another folder") from error


def _check_results(results: Path) -> None:
    nearest = next((path for path in (results, *results.parents) if path.exists()), results)
    if nearest.exists() and not nearest.is_dir():
        raise UserError(f"--results {results}: {nearest} is a file; name a folder")
    # A kill between its temporary file and the link leaves the mark's temporary file alone.
    others = [name for name in (os.listdir(results) if results.is_dir() else []) if not name.startswith(f".{_MARK}.")]
    if others and not (results / _MARK).exists():
        raise UserError(
            f"--results {results}: holds files of something else (there is no {_MARK} in it); use a new or empty one"
        )


def _parquet(columns: dict[str, list[object] | npt.NDArray[Any]]) -> bytes:
    """The columns as Parquet, with page checksums: without them most flipped bits go unseen."""
    table, buffer = pa.table(columns), io.BytesIO()
    # A few rows are no smaller for being compressed, and take twice as long to read.
    compression = "zstd" if len(table) > _FEW_ROWS else "none"
    pq.write_table(table, buffer, write_page_checksum=True, compression=compression)
    return buffer.getvalue()


def _numbered(folder: Path, pattern: str) -> list[Path]:
    """The files of a folder whose whole name fits, by the number in it."""
    names = os.listdir(folder) if folder.is_dir() else []
    found = {int(match[1]): name for name in names if (match := re.fullmatch(pattern, name))}
    return [folder / found[number] for number in sorted(found)]


def _content(path: str) -> bytes:
    with open(path, "rb", buffering=0) as file:
        return file.readall()


def _facts(data: bytes) -> Json:
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def _pretty(tree: object) -> bytes:
    return json.dumps(tree, indent=1, allow_nan=False).encode() + b"\n"
