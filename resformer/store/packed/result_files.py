"""The files of a finished job: in its folder, or packed with those of other jobs."""

import os
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import final

from resformer.store import files
from resformer.store.checks import Damaged
from resformer.store.packed import file
from resformer.store.packed.file import PackedJob

_PACKED = re.compile(r"gathered-([1-9]\d{0,8})\.parquet")


class ResultFiles(ABC):
    """The files of one result of a job. `result.json` and `job.json` belong to the job, all others
    to an attempt.
    """

    number: int
    """Number of the result, which grows with each damaged one."""

    @abstractmethod
    def path(self, name: str, attempt: int | None = None) -> str:
        """Path of a file, for people."""

    @abstractmethod
    def content(self, name: str, attempt: int | None = None) -> bytes:
        """The bytes of a file. Raises FileNotFoundError, Damaged, or DiskError."""

    @abstractmethod
    def fits(self, name: str, attempt: int, size: int) -> bool:
        """Compare the size of an attempt's file, as far as known without reading it. Raises as
        `content`.
        """

    @abstractmethod
    def state(self, attempt: int, names: Sequence[str], optional: Sequence[str]) -> list[int]:
        """Numbers that change if the result, or one of these files of its attempt, does; empty if
        one that is not optional is missing.
        """


@final
@dataclass(frozen=True)
class FolderFiles(ResultFiles):
    """The files in the job's folder."""

    folder: str
    number: int
    packed_damage: str
    """Damage to the packed files in which the job may be."""

    def path(self, name: str, attempt: int | None = None) -> str:  # noqa: D102
        inside = name if attempt is None else f"attempt-{attempt}/{name}"
        return f"{self.folder}/{result_name(self.number) if name == 'result.json' else inside}"

    def content(self, name: str, attempt: int | None = None) -> bytes:  # noqa: D102
        try:
            return files.content(self.path(name, attempt))
        except FileNotFoundError as error:
            if self.packed_damage:
                raise Damaged(self.packed_damage) from error
            raise

    def fits(self, name: str, attempt: int, size: int) -> bool:  # noqa: D102
        return files.size(self.path(name, attempt)) == size

    def state(self, attempt: int, names: Sequence[str], optional: Sequence[str]) -> list[int]:  # noqa: D102
        state = []
        for name in ("result.json", *names, *optional):
            path = self.path(name, None if name == "result.json" else attempt)
            try:
                status = os.stat(path)  # noqa: PTH116  (a Path for each of 100,000 files takes as long as the rest)
            except OSError:
                if name in optional:
                    continue
                return []
            state += [status.st_mtime_ns, status.st_size]
        return state


@final
@dataclass(frozen=True)
class PackedFiles(ResultFiles):
    """The files in a row of a packed file."""

    job: PackedJob
    number: int

    def path(self, name: str, attempt: int | None = None) -> str:  # noqa: D102
        return f"{self.job.file.path}: {name}"

    def content(self, name: str, attempt: int | None = None) -> bytes:  # noqa: D102
        return self.job.content(name)

    def fits(self, name: str, attempt: int, size: int) -> bool:  # noqa: D102
        return True

    def state(self, attempt: int, names: Sequence[str], optional: Sequence[str]) -> list[int]:  # noqa: D102
        return list(self.job.file.state)


def locate(study: Path, job_id: str, folder: str, number: int) -> ResultFiles:
    """Files of this result of a job, packed or in the job's folder. Raises DiskError."""
    damage: list[str] = []
    for path in _packed_now(study):
        try:
            packed = file.opened(path)
        except Damaged as error:
            damage.append(str(error))
            continue
        if packed is not None and (job := packed.jobs.get(job_id)) and job.number == number:
            return PackedFiles(job, number)
    return FolderFiles(folder=folder, number=number, packed_damage="; ".join(damage))


def packed_files(study: Path) -> list[Path]:
    """The packed files of a study, the latest last."""
    return files.numbered(study, _PACKED)


def _packed_now(study: Path) -> tuple[Path, ...]:
    """The packed files; the folder is listed only if it changed."""
    try:
        return _packed(study, os.stat(study).st_mtime_ns)  # noqa: PTH116  (asked for every job)
    except OSError:
        return ()


@lru_cache(8)
def _packed(study: Path, changed: int) -> tuple[Path, ...]:
    return tuple(packed_files(study))


def result_name(number: int) -> str:
    """Name of the file of a result: the first, or one written after damage to those before."""
    return "result.json" if number == 1 else f"result-{number}.json"
