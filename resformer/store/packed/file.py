"""A packed file: the results of many jobs, a row per job, a column per file of a job's folder, with
that file's bytes.

The hashes in each `result.json` still tell whether its files are what was committed. The footer has
a hash of its own, just before it, where Parquet's readers do not look: on a footer whose schema and
statistics contradict each other Arrow aborts the process. Files of earlier versions have none.
"""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import BinaryIO, final

import pyarrow as pa
import pyarrow.parquet as pq

from resformer.errors import DiskError
from resformer.store.checks import Damaged

GROUP_ROWS = 1000
"""Most rows of a row group, which is read at once."""
_GROUP_BYTES = 16 << 20
_CACHED_COLUMNS = 8
"""Columns of row groups kept in memory."""
_MOST_BYTES_A_BYTE = 1000
"""No results are as easily compressed as that, but a file can be made to fill the memory."""
_END = 8
"""Bytes after a Parquet file's footer: the footer's length, and `PAR1`."""
_HASH = b"sha256:"
_JOB, _NUMBER = "job", "number"
"""Columns: the job's id, and the number of its result, which grows with each damaged one."""

FILES = (
    "result.json",
    "job.json",
    "runs.parquet",
    "timing.json",
    "curves.parquet",
    "layers.parquet",
    "weights.safetensors",
)
"""Files of a job that are packed."""


@final
@dataclass(frozen=True)
class PackedJob:
    """The place of a job in a packed file."""

    file: "PackedFile"
    number: int
    """Number of its result."""
    group: int
    row: int
    """Row within the row group."""

    def content(self, name: str) -> bytes:
        """The bytes of a file of the job. Raises FileNotFoundError if it had none, Damaged, or
        DiskError.
        """
        column = self.file.column(self.group, name)
        if self.row >= len(column):
            raise Damaged(f"{self.file.path}: cannot be read: {name} has too few rows")
        data: bytes | None = column[self.row].as_py()
        if data is None:
            raise FileNotFoundError(f"{self.file.path}: has no {name} of this job")
        return data


@final
class PackedFile:
    """A packed file, whose columns are read when asked for. Raises Damaged if it is none, DiskError
    if it cannot be read.
    """

    def __init__(self, path: Path, state: tuple[int, ...]) -> None:
        self.path, self.state = path, state
        """The path, and numbers that change with the file."""
        self.jobs: dict[str, PackedJob] = {}
        """By id."""
        self.column = lru_cache(_CACHED_COLUMNS)(self._column)
        self._lock = Lock()  # two threads in one of Arrow's readers wait for each other for ever
        with _reading(path):
            _check_footer(path)
            opened = pa.OSFile(os.fsencode(path))  # Arrow itself takes no path that is no UTF-8
            self._file = pq.ParquetFile(opened, page_checksum_verification=True)
            for group in range(self._file.metadata.num_row_groups):
                jobs, numbers = (self._column(group, name).to_pylist() for name in (_JOB, _NUMBER))
                for row, (job, number) in enumerate(zip(jobs, numbers, strict=True)):
                    self.jobs[str(job)] = PackedJob(file=self, number=number, group=group, row=row)

    def _column(self, group: int, name: str) -> pa.ChunkedArray:
        """A column of a row group."""
        with self._lock, _reading(self.path):
            names = self._file.schema_arrow.names
            if name not in names:
                raise (ValueError if name in (_JOB, _NUMBER) else FileNotFoundError)(
                    f"{self.path}: has no {name}"
                )
            sizes = self._file.metadata.row_group(group).column(names.index(name))
            most = _MOST_BYTES_A_BYTE * max(1024, sizes.total_compressed_size)
            if sizes.total_uncompressed_size > most:
                raise ValueError("unfolds to too much")
            column = self._file.read_row_group(group, [name], use_threads=False).column(0)
            if name in FILES and column.type != pa.binary():
                raise ValueError(f"{name} is no bytes")
            return column


@lru_cache(8)
def _opened(path: Path, state: tuple[int, ...]) -> PackedFile:
    return PackedFile(path, state)


def opened(path: Path) -> PackedFile | None:
    """The packed file as it is now, None if it is gone; read anew only if it changed. Raises as
    PackedFile.
    """
    try:
        status = os.stat(path)  # noqa: PTH116  (asked for every job)
        return _opened(path, (status.st_ino, status.st_size, status.st_mtime_ns))
    except FileNotFoundError:
        return None


def at(path: Path) -> PackedFile:
    """The packed file. Raises DiskError if it is gone, else as PackedFile."""
    file = opened(path)
    if file is None:
        raise DiskError(f"{path}: is gone")
    return file


def _footer_at(file: BinaryIO) -> int:
    """Offset of the footer of a Parquet file, by its last bytes."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _END))
    return max(0, size - _END - int.from_bytes(file.read(4), "little"))


def _check_footer(path: Path) -> None:
    """Raises ValueError if the footer has a hash and is not what was hashed, OSError."""
    size = len(_HASH) + hashlib.sha256().digest_size
    with open(path, "rb") as file:
        footer_at = _footer_at(file)
        file.seek(max(0, footer_at - size))
        before = file.read(size)
        if before.startswith(_HASH) and before != _HASH + hashlib.sha256(file.read()).digest():
            raise ValueError("its footer has another hash")


def _hash_footer(file: BinaryIO) -> None:
    """Insert the hash of a Parquet file's footer before it."""
    file.seek(footer_at := _footer_at(file))
    footer = file.read()
    file.seek(footer_at)
    file.write(_HASH + hashlib.sha256(footer).digest() + footer)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn errors into one line. For a broken file Arrow raises OSError too, but without errno."""
    try:
        yield
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError, ValueError, TypeError) as error:
        kind = DiskError if isinstance(error, OSError) and error.errno else Damaged
        raise kind(f"{path}: cannot be read: {_line(error)}") from error


@final
class Writer:
    """Writes the rows of a packed file, a row group at a time."""

    def __init__(self, parquet: pq.ParquetWriter, group_rows: int) -> None:
        self._parquet, self._group_rows = parquet, group_rows
        self._rows: list[tuple[str, int, dict[str, bytes]]] = []
        self._bytes = 0

    def add(self, job: str, number: int, contents: dict[str, bytes]) -> None:
        """Add a job: its id, the number of its result, and the bytes of its files by name."""
        self._rows.append((job, number, contents))
        self._bytes += sum(map(len, contents.values()))
        if len(self._rows) >= self._group_rows or self._bytes >= _GROUP_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write the rows that were added as a row group."""
        if self._rows:
            jobs, numbers, contents = zip(*self._rows, strict=True)
            columns = [[files.get(name) for files in contents] for name in FILES]
            schema = self._parquet.schema
            self._parquet.write_table(pa.table([jobs, numbers, *columns], schema=schema))
            self._rows, self._bytes = [], 0


@contextmanager
def writer(path: Path, group_rows: int = GROUP_ROWS) -> Iterator[Writer]:
    """Write a new packed file, which is durable at the end. Raises DiskError."""
    schema = pa.schema(
        [(_JOB, pa.string()), (_NUMBER, pa.int32()), *((name, pa.binary()) for name in FILES)]
    )
    try:
        with (
            pa.OSFile(os.fsencode(path), "wb") as opened,
            pq.ParquetWriter(
                opened,
                schema,
                compression="zstd",
                write_statistics=False,
                write_page_checksum=True,
            ) as parquet,
        ):
            rows = Writer(parquet, group_rows)
            yield rows
            rows.flush()
        with open(path, "rb+") as file:
            _hash_footer(file)
            file.flush()
            os.fsync(file.fileno())
    except (pa.ArrowException, OSError) as error:
        raise DiskError(f"{path}: cannot be written: {_line(error)}") from error


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
