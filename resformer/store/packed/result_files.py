"""Where the files of a finished job are, and whether they are what was committed."""

import hashlib
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, final

from resformer.errors import DiskError
from resformer.store import checks, files
from resformer.store.checks import Damaged, Unreadable
from resformer.store.packed import file as gathered
from resformer.store.packed.file import Corrupt
from resformer.text import exception_line

Json = dict[str, Any]

_GATHERED = re.compile(r"gathered-([1-9]\d{0,8})\.parquet")


class Source(ABC):
    """The files of one result of a job. `result.json` and `job.json` are the job's, the others of
    an attempt.
    """

    number: int
    """Which result: the first, or one that came after damage."""

    @abstractmethod
    def path(self, name: str, attempt: int | None = None) -> str:
        """Where a file is, for people."""

    @abstractmethod
    def content(self, name: str, attempt: int | None = None) -> bytes:
        """The bytes of a file; FileNotFoundError, Corrupt, or DiskError."""

    @abstractmethod
    def fits(self, name: str, attempt: int, size: int) -> bool:
        """Whether an attempt's file is as large as it was, as far as that is told without reading
        it; raises alike.
        """

    @abstractmethod
    def state(self, attempt: int, names: Sequence[str], if_there: Sequence[str]) -> list[int]:
        """Numbers that change if one of these files of an attempt does; none if one that ought to
        be there is not.
        """


@final
@dataclass(frozen=True)
class Folder(Source):
    """Each for itself, in the job's folder."""

    folder: str
    number: int
    trouble: str
    """What is wrong with the files into which the job may have been gathered."""

    def path(self, name: str, attempt: int | None = None) -> str:  # noqa: D102
        inside = name if attempt is None else f"attempt-{attempt}/{name}"
        return f"{self.folder}/{result_name(self.number) if name == 'result.json' else inside}"

    def content(self, name: str, attempt: int | None = None) -> bytes:  # noqa: D102
        try:
            return files.content(self.path(name, attempt))
        except FileNotFoundError as error:
            if self.trouble:
                raise Corrupt(self.trouble) from error
            raise

    def fits(self, name: str, attempt: int, size: int) -> bool:  # noqa: D102
        return files.size(self.path(name, attempt)) == size

    def state(self, attempt: int, names: Sequence[str], if_there: Sequence[str]) -> list[int]:  # noqa: D102
        state = []
        for name in ("result.json", *names, *if_there):
            path = self.path(name, None if name == "result.json" else attempt)
            try:
                found = os.stat(path)  # noqa: PTH116  (a Path for each of 100,000 files takes as long as the rest)
            except OSError:
                if name in if_there:
                    continue
                return []
            state += [found.st_mtime_ns, found.st_size]
        return state


@final
@dataclass(frozen=True)
class Row(Source):
    """Gathered."""

    row: gathered.Row
    number: int

    def path(self, name: str, attempt: int | None = None) -> str:  # noqa: D102
        return f"{self.row.file.path}: {name}"

    def content(self, name: str, attempt: int | None = None) -> bytes:  # noqa: D102
        return self.row.content(name)

    def fits(self, name: str, attempt: int, size: int) -> bool:  # noqa: D102
        return True

    def state(self, attempt: int, names: Sequence[str], if_there: Sequence[str]) -> list[int]:  # noqa: D102
        return list(self.row.file.state)


def source(study: Path, job_id: str, folder: str, number: int) -> Source:
    """The files of this result of a job, in its own folder, or gathered. Raises DiskError."""
    trouble: list[str] = []
    for path in _gathered_now(study):
        try:
            file = gathered.opened(path)
        except Corrupt as error:
            trouble.append(str(error))
            continue
        if file is not None and (row := file.rows.get(job_id)) is not None and row.number == number:
            return Row(row, number)
    return Folder(folder, number, "; ".join(trouble))


def verified(
    source: Source, job_id: str, names: Sequence[str] | None
) -> tuple[int, dict[str, bytes]]:
    """The attempt that was committed, and the content of these files of it (None: all); raises
    Damaged, Unreadable.
    """
    path = source.path("result.json")
    try:
        result = files.verify_checksum(source.content("result.json"))
        reason = "not what was written" if result is None else checks.result(result, job_id)
        if result is None or reason is not None:
            raise Damaged(f"{path}: {reason}")
        attempt, wrote = result["attempt"], result["files"]
        wanted = list(wrote) if names is None else names
        for name in wrote.keys() - set(wanted):
            if not source.fits(name, attempt, wrote[name]["bytes"]):
                raise Damaged(f"{source.path(name, attempt)}: not the bytes that were committed")
        found = {name: source.content(name, attempt) for name in wanted}
    except OSError as error:
        raise Damaged(f"{path}: {exception_line(error)}") from error
    except Corrupt as error:
        raise Damaged(str(error)) from error
    except DiskError as error:
        raise Unreadable(str(error)) from error
    for name, data in found.items():
        if facts(data) != wrote.get(name):
            raise Damaged(f"{source.path(name, attempt)}: not the bytes that were committed")
    return attempt, found


def whole(source: Source, job_id: str, planned: Json) -> dict[str, bytes]:
    """Every file of a finished job by name; raises Damaged, Unreadable."""
    _, found = verified(source, job_id, None)
    try:
        found |= {name: source.content(name) for name in ("result.json", "job.json")}
    except (FileNotFoundError, Corrupt):
        pass
    except DiskError as error:
        raise Unreadable(str(error)) from error
    if files.verify_checksum(found.get("job.json", b"")) != planned:
        raise Damaged(f"{source.path('job.json')}: not the job that was planned")
    return found


def gathered_files(study: Path) -> list[Path]:
    """The files into which a study's results were gathered, the latest last."""
    return files.numbered(study, _GATHERED)


def _gathered_now(study: Path) -> tuple[Path, ...]:
    """The same; the folder is listed only if it has changed."""
    try:
        return _gathered(study, os.stat(study).st_mtime_ns)  # noqa: PTH116  (asked for every job)
    except OSError:
        return ()


@lru_cache(8)
def _gathered(study: Path, changed: int) -> tuple[Path, ...]:
    return tuple(gathered_files(study))


def result_name(number: int) -> str:
    """How the file of a result is called: the first, or one that came after damage."""
    return "result.json" if number == 1 else f"result-{number}.json"


def facts(data: bytes) -> Json:
    """What a result says of a file."""
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
