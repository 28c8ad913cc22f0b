"""The results of many jobs in one file: a row per job, a column for each file of its folder, with
that file's bytes.

The hashes in each result go on to say whether its bytes are what was committed.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import final

import pyarrow as pa
import pyarrow.parquet as pq

from resformer.errors import DiskError

_JOB, _NUMBER = "job", "number"
"""Columns: the job's id, and which of its results this is: its first, or one that came after
damage.
"""
_MOST_ROWS, _MOST_BYTES = 1000, 16 << 20
"""Of a group of rows, which is read at once."""
_COLUMNS = 8
"""Of groups of rows that are kept in memory."""
_MOST_BYTES_A_BYTE = 1000
"""No results are as easily compressed as that, but a file can be made to fill the memory."""

FILES = (
    *("result.json", "job.json", "runs.parquet", "timing.json", "curves.parquet", "layers.parquet"),
    "weights.safetensors",
)
"""What is gathered of a job's folder: those of its files that count."""


class Corrupt(Exception):
    """The file is not what was written: what is wrong with it, in a line."""


@final
@dataclass(frozen=True)
class Row:
    """What was gathered of a job."""

    file: "Gathered"
    number: int
    """Of its result."""
    group: int
    place: int
    """In that group of rows."""

    def content(self, name: str) -> bytes:
        """The bytes of a file of the job; FileNotFoundError if there was none, Corrupt, or
        DiskError.
        """
        column = self.file.column(self.group, name)
        if self.place >= len(column):
            raise Corrupt(f"{self.file.path}: cannot be read: {name} has too few rows")
        found: bytes | None = column[self.place].as_py()
        if found is None:
            raise FileNotFoundError(f"{self.file.path}: has no {name} of this job")
        return found


@final
class Gathered:
    """Such a file, read by and by. Corrupt if it is none, DiskError if it cannot be read."""

    def __init__(self, path: Path, state: tuple[int, ...]) -> None:
        self.path, self.state = path, state
        """And what changes with it."""
        self.rows: dict[str, Row] = {}
        """By job."""
        self.column = lru_cache(_COLUMNS)(self._column)
        self._one_at_a_time = (
            Lock()
        )  # two threads in one of Arrow's readers wait for each other for ever
        with _reading(path):
            self._file = pq.ParquetFile(path, page_checksum_verification=True)
            for group in range(self._file.metadata.num_row_groups):
                jobs, numbers = (self._column(group, name).to_pylist() for name in (_JOB, _NUMBER))
                for place, (job, number) in enumerate(zip(jobs, numbers, strict=True)):
                    self.rows[str(job)] = Row(self, number, group, place)

    def _column(self, group: int, name: str) -> pa.ChunkedArray:
        """A column of a group of rows."""
        with self._one_at_a_time, _reading(self.path):
            if name not in self._file.schema_arrow.names:
                raise (ValueError if name in (_JOB, _NUMBER) else FileNotFoundError)(
                    f"{self.path}: has no {name}"
                )
            about = self._file.metadata.row_group(group).column(
                self._file.schema_arrow.names.index(name)
            )
            if about.total_uncompressed_size > _MOST_BYTES_A_BYTE * max(
                1024, about.total_compressed_size
            ):
                raise ValueError("unfolds to too much")
            found = self._file.read_row_group(group, [name], use_threads=False).column(0)
            if name in FILES and found.type != pa.binary():
                raise ValueError(f"{name} is no bytes")
            return found


@lru_cache(8)
def _opened(path: Path, state: tuple[int, ...]) -> Gathered:
    return Gathered(path, state)


def opened(path: Path) -> Gathered | None:
    """The file as it is now, None if it is gone. It is read anew only if it has changed. Raises as
    Gathered does.
    """
    try:
        found = os.stat(path)  # noqa: PTH116  (asked for every job)
        return _opened(path, (found.st_ino, found.st_size, found.st_mtime_ns))
    except FileNotFoundError:
        return None


def at(path: Path) -> Gathered:
    """The file; DiskError if it is gone. Else raises as Gathered does."""
    found = opened(path)
    if found is None:
        raise DiskError(f"{path}: is gone")
    return found


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turns what goes wrong into one line. Of the file itself Arrow says OSError too, but without a
    number.
    """
    try:
        yield
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError, ValueError, TypeError) as error:
        kind = DiskError if isinstance(error, OSError) and error.errno else Corrupt
        raise kind(f"{path}: cannot be read: {' '.join(str(error).split())[:200]}") from error


def write(beside: Path, rows: Iterable[tuple[str, int, dict[str, bytes]]]) -> None:
    """Write a new file, durably: of each job its id, the number of its result, and the bytes of its
    files by name.

    Raises DiskError.
    """
    schema = pa.schema(
        [(_JOB, pa.string()), (_NUMBER, pa.int32()), *((name, pa.binary()) for name in FILES)]
    )
    try:
        with pq.ParquetWriter(
            beside, schema, compression="zstd", write_page_checksum=True
        ) as writer:
            for group in _groups(rows):
                jobs, numbers, contents = zip(*group, strict=True)
                columns = [[content.get(name) for content in contents] for name in FILES]
                writer.write_table(pa.table([jobs, numbers, *columns], schema=schema))
        with open(beside, "rb+") as file:
            os.fsync(file.fileno())
    except (pa.ArrowException, OSError) as error:
        raise DiskError(
            f"{beside}: cannot be written: {' '.join(str(error).split())[:200]}"
        ) from error


def _groups(
    rows: Iterable[tuple[str, int, dict[str, bytes]]],
) -> Iterator[list[tuple[str, int, dict[str, bytes]]]]:
    """Rows that are read together."""
    group, size = [], 0
    for row in rows:
        group.append(row)
        size += sum(map(len, row[2].values()))
        if len(group) >= _MOST_ROWS or size >= _MOST_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group
