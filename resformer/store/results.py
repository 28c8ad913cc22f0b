"""Results of a study's jobs: committed once, verified whenever read, quarantined if damaged."""

import contextlib
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, final

from resformer.errors import DiskError
from resformer.keys import Json
from resformer.store import checkpoints, checks, claims, files, job_folders, tables
from resformer.store.checks import Damaged, Unreadable
from resformer.store.claims import Claim
from resformer.store.job_folders import job_folder
from resformer.store.packed import result_files
from resformer.store.packed.result_files import PackedFiles, ResultFiles
from resformer.store.tables import TableData
from resformer.text import exception_line

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

Value = TypeVar("Value")

_CHECKS = {"curves": checks.curves, "layers": checks.layers}
"""Checks of tables that need no plan, by the table's name."""


@final
@dataclass(frozen=True)
class Result:
    """The attempt that was committed for a job, and some of its files, which are verified."""

    folder: str
    """Folder of the job."""
    attempt: int
    contents: Mapping[str, bytes]
    """By name."""

    def runs(self, members: Sequence[Json]) -> "pa.Table":
        """A row per planned member. Raises Damaged if the table has others."""
        return self._table("runs", lambda table: checks.runs(table, members))

    def table(self, name: str) -> "pa.Table":
        """The table of `<name>.parquet`. Raises Damaged if it cannot be used."""
        return self._table(name, _CHECKS.get(name, lambda table: None))

    def timing(self) -> Json:
        """Wall times in seconds: in all, and by stretch between evaluations. Raises Damaged."""
        timing = files.parse_object(self.contents["timing.json"]) or {}
        with self._checking("timing.json"):
            checks.timing(timing)
        return timing

    def _table(self, name: str, check: "Callable[[pa.Table], None]") -> "pa.Table":
        with self._checking(f"{name}.parquet"):
            table = tables.read(self.contents[f"{name}.parquet"])
            check(table)
        return table

    @contextmanager
    def _checking(self, name: str) -> Iterator[None]:
        try:
            yield
        except ValueError as error:
            path = f"{self.folder}/attempt-{self.attempt}/{name}"
            raise Damaged(f"{path}: {error}") from error


@final
@dataclass(frozen=True)
class Results:
    """The results of a study. Nothing is read or written before a method asks for it, and then it
    may raise DiskError.
    """

    study: Path

    def path(self, job_id: str) -> Path:
        """Path of the result of a job, which exists once it is finished: `result.json`, or after
        damage to that `result-2.json`, and so on.
        """
        return Path(job_folder(self.study, job_id)) / result_files.result_name(self._number(job_id))

    def _number(self, job_id: str) -> int:
        """Number of the result of a job that counts."""
        number = 1
        while files.exists(self._damage(job_id, number)):
            number += 1
        return number

    def _damage(self, job_id: str, number: int) -> str:
        """Path of the file that quarantines the result of this number."""
        return f"{self.study}/damaged/{job_id}.{number}.txt"

    def has(self, job_id: str) -> bool:
        """Tell whether a job is finished."""
        return files.exists(self.path(job_id))

    def finished(self, job_ids: Iterable[str]) -> set[str]:
        """Ids of the finished jobs among these. Only folders of jobs that were begun are read."""
        begun = self.begun()
        return {job_id for job_id in job_ids if job_id in begun and self.has(job_id)}

    def begun(self) -> set[str]:
        """Names of the jobs' folders: every job that was claimed, and perhaps orphans."""
        return job_folders.begun(self.study)

    def commit(
        self,
        claim: Claim,
        table_data: dict[str, TableData],
        timing: Json,
        others: Mapping[str, bytes] = {},
        checkpoint: int | None = None,
    ) -> bool:
        """Write an attempt's files, then its result, once. Returns False if another attempt was
        first.

        `table_data` has the tables by name; `others` are contents of further files, by name. Of the
        job's checkpoints stays the one that the attempt wrote after `checkpoint` steps.
        """
        claim.open()
        contents = {f"{name}.parquet": tables.written(table) for name, table in table_data.items()}
        pretty = json.dumps(timing, indent=1, allow_nan=False).encode() + b"\n"
        contents |= {"timing.json": pretty, **others}
        for name, data in contents.items():
            files.write(claim.folder / name, data)
        facts = {name: file_facts(data) for name, data in contents.items()}
        result = {"job": claim.job.name, "attempt": claim.attempt, "files": facts}
        first = files.create(self.path(claim.job.name), files.with_checksum(result) + b"\n")
        if first:
            checkpoints.discard(claim, except_for=checkpoint)
            with contextlib.suppress(DiskError):  # the list is a cache, and the result exists
                self._list_as_done(claim.job.name, table_data, timing)
        claim.committed()
        return first

    def _list_as_done(self, job_id: str, table_data: Mapping[str, TableData], timing: Json) -> None:
        """Append the job, and its seconds and outcomes for `status`, to this worker's list."""
        outcomes = Counter(table_data.get("runs", {}).get("outcome", ()))
        path = self.study / "done" / f"{claims.holder().file_name}.jsonl"
        files.make_folder(path.parent)
        line = {"job": job_id, "seconds": timing["seconds"], "outcomes": outcomes}
        files.append(path, files.with_checksum(line) + b"\n")

    def quarantine(self, result: Path, reason: str) -> None:
        """Quarantine a damaged result so that its job runs again. No file of it is overwritten."""
        number = int(result.stem.removeprefix("result").lstrip("-") or 1)
        path = Path(self._damage(result.parent.name, number))
        files.make_folder(path.parent)
        files.create(path, f"{reason}\n".encode(errors="backslashreplace"))

    def read(self, job_id: str, names: Sequence[str] | None = None) -> Result:
        """The committed attempt of a finished job with these files of it (None: all), verified
        against the hashes in its result. Raises Damaged.

        Of the attempt's other files only the sizes are compared.
        """
        folder = job_folder(self.study, job_id)
        return self._retried(job_id, lambda source: _verified(source, job_id, folder, names))

    def whole(self, planned: Json) -> dict[str, bytes]:
        """Every file of a finished job by name, verified. Raises Damaged."""
        folder = job_folder(self.study, planned["id"])
        return self._retried(planned["id"], lambda source: _whole(source, folder, planned))

    def runs(self, planned: Json) -> "pa.Table":
        """A row per planned member of a finished job. Raises Damaged."""
        return self.read(planned["id"], ["runs.parquet"]).runs(planned["members"])

    def timing(self, job_id: str) -> Json:
        """Wall times of a finished job in seconds: in all, and by stretch. Raises Damaged."""
        return self.read(job_id, ["timing.json"]).timing()

    def table(self, job_id: str, name: str, columns: list[str] | None = None) -> "pd.DataFrame":
        """A table of a finished job, or these columns of it. Raises Damaged."""
        table = self.read(job_id, [f"{name}.parquet"]).table(name)
        frame: pd.DataFrame = (table if columns is None else table.select(columns)).to_pandas(
            ignore_metadata=True
        )
        return frame

    def _retried(self, job_id: str, read: Callable[[ResultFiles], Value]) -> Value:
        """Read a job's files, and once more if they were packed meanwhile."""
        source = self.locate(job_id)
        try:
            return read(source)
        except Damaged:
            now = self.locate(job_id)
            if now == source:
                raise
            return read(now)

    def locate(self, job_id: str) -> ResultFiles:
        """Files of a finished job, in its folder or packed. Raises DiskError."""
        folder, number = job_folder(self.study, job_id), self._number(job_id)
        return result_files.locate(self.study, job_id, folder, number)

    def packed(self, job_id: str) -> bool:
        """Tell whether the files of a finished job are packed. Raises DiskError."""
        return isinstance(self.locate(job_id), PackedFiles)


def file_facts(data: bytes) -> Json:
    """Size and hash of a file, as a result records them."""
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def _verified(source: ResultFiles, job_id: str, folder: str, names: Sequence[str] | None) -> Result:
    """The committed attempt with these files (None: all). Raises Damaged, Unreadable."""
    path = source.path("result.json")
    try:
        result: Any = files.verify_checksum(source.content("result.json"))
        checks.result(result, job_id)
        attempt, committed = result["attempt"], result["files"]
        chosen = list(committed) if names is None else names
        for name in committed.keys() - set(chosen):
            if not source.fits(name, attempt, committed[name]["bytes"]):
                raise Damaged(f"{source.path(name, attempt)}: not the bytes that were committed")
        contents = {name: source.content(name, attempt) for name in chosen}
    except OSError as error:
        raise Damaged(f"{path}: {exception_line(error)}") from error
    except DiskError as error:
        raise Unreadable(str(error)) from error
    except ValueError as error:
        raise Damaged(f"{path}: {error}") from error
    for name, data in contents.items():
        if file_facts(data) != committed.get(name):
            raise Damaged(f"{source.path(name, attempt)}: not the bytes that were committed")
    return Result(folder=folder, attempt=attempt, contents=contents)


def _whole(source: ResultFiles, folder: str, planned: Json) -> dict[str, bytes]:
    """Every file of a finished job by name. Raises Damaged, Unreadable."""
    contents = dict(_verified(source, planned["id"], folder, None).contents)
    try:
        contents |= {name: source.content(name) for name in ("result.json", "job.json")}
    except (FileNotFoundError, Damaged):
        pass
    except DiskError as error:
        raise Unreadable(str(error)) from error
    if files.verify_checksum(contents.get("job.json", b"")) != planned:
        raise Damaged(f"{source.path('job.json')}: not the job that was planned")
    return contents
