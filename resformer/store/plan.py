"""A plan: a line per job, sealed. Plans are long, and most of what is said in them is said many times."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from resformer.errors import DiskError
from resformer.store import checks, files

Json = dict[str, Any]

_SHAPE, _MEMBERS = b'"shape": ', b', "members": ['
_ID = re.compile(rb'^\{"id": "([^"\\]+)"[^\n]*$', re.MULTILINE)


@final
class Shapes:
    """The shapes that stand in the lines of plans, each parsed and checked once.

    Jobs of one shape share it: they are to be read, not changed.
    """

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[Any, str | None]] = {}

    def job(self, line: bytes) -> tuple[Json | None, str]:
        """The job that was written in a line; or None, and what is wrong with it."""
        body = files.unsealed(line)
        if body is None:
            return None, "is not what was written"
        start, end = body.find(_SHAPE) + len(_SHAPE), body.find(_MEMBERS)
        shape, reason = self._shape(body[start:end]) if len(_SHAPE) <= start < end else (None, None)
        if shape is None:  # written in another way
            job = files.parsed(body)
            reason = checks.shape(job.get("shape")) if job is not None else None
        else:
            job = files.parsed(body[:start] + b"null" + body[end:])
            if job is not None:
                job["shape"] = shape
        if job is None:
            return None, "is no object"
        wrong = checks.planned_job(job) or reason
        return (None, wrong) if wrong else (job, "")

    def _shape(self, text: bytes) -> tuple[Any, str | None]:
        if text not in self._known:
            shape = files.parsed(text)
            self._known[text] = (shape, checks.shape(shape))
        return self._known[text]


@final
@dataclass(frozen=True)
class Index(Mapping[str, Json]):
    """Where in the files of plans each job stands; it is read when it is asked for.

    For workers: of 100,000 jobs it takes 20 MB, and the jobs themselves many times as much.
    """

    places: Mapping[str, tuple[Path, int, int]]

    @classmethod
    def of(cls, paths: Sequence[Path]) -> "Index":
        """Of what is whole in these files; raises DiskError."""
        found = ((path, match) for path in paths for match in _lines(path) if files.unsealed(match[0]) is not None)
        return cls({match[1].decode(): (path, *match.span()) for path, match in found})

    def __getitem__(self, job_id: str) -> Json:
        """The job; DiskError if its line is not, or no longer, what was written."""
        path, start, end = self.places[job_id]
        try:
            job, reason = Shapes().job(files.content(path, start, end))
        except FileNotFoundError:
            job, reason = None, "is gone"
        if job is None or job["id"] != job_id:
            raise DiskError(f"{path}: job {job_id} can no longer be read from it: {reason}")
        return job

    def __iter__(self) -> Iterator[str]:
        return iter(self.places)

    def __len__(self) -> int:
        return len(self.places)


def _lines(path: Path) -> Iterator[re.Match[bytes]]:
    try:
        return _ID.finditer(files.content(path))
    except FileNotFoundError:
        return iter(())
