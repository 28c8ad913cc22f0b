"""A plan: a line per job, sealed. Plans are long, and most of what is said in them is said many
times.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from resformer.errors import DiskError
from resformer.store import checks, files

Json = dict[str, Any]

_START, _SHAPE, _MEMBERS, _FACTS = (
    b'{"id": "',
    b', "shape": {',
    b'}, "members": [',
    b'], "parameters": ',
)
_ID = re.compile(rb'^\{"id": "([^"\\]+)"[^\n]*$', re.MULTILINE)


@final
class Reader:
    """Reads lines of plans. What many jobs have alike is parsed and checked once, and shared."""

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[Json, str | None]] = {}

    def jobs(self, lines: Sequence[bytes]) -> list[tuple[Json | None, str]]:
        """The jobs that were written in these lines, to be read, not changed; or None, and what is
        wrong with one.
        """
        return [self._job(files.verified_body(line)) for line in lines]

    def _job(self, body: bytes | None) -> tuple[Json | None, str]:
        if body is None:
            return None, "is not what was written"
        if parts := _parts(body):
            name, of_members, of_shape = parts
            members, wrong_members = self._parsed(of_members, checks.planned_members)
            shape, wrong_shape = self._parsed(of_shape, checks.shared)
            if members and shape:
                wrong = checks.job_id(name) or wrong_members or wrong_shape
                return ({"id": name, **members, **shape}, "") if wrong is None else (None, wrong)
        job = files.parse_object(body)  # written in another way
        wrong = checks.planned_job(job)
        return (job, "") if wrong is None else (None, wrong)

    def _parsed(self, text: bytes, check: Callable[[Json], str | None]) -> tuple[Json, str | None]:
        """The object that this is, empty if it is none, and what is wrong with it."""
        if text not in self._known:
            found = files.parse_object(text) or {}
            self._known[text] = found, check(found)
        return self._known[text]


def _parts(body: bytes) -> tuple[str, bytes, bytes] | None:
    """A job's id; its members; its shape and size: each as an object. None if they are written in
    another way.
    """
    shape = body.find(_SHAPE)
    facts = body.rfind(_FACTS)
    members = body.rfind(_MEMBERS, shape, facts)
    if not body.startswith(_START) or not 0 < shape < members < facts:
        return None
    name, quote, rest = body[len(_START) : shape].partition(b'"')
    if not quote or rest or b"\\" in name or not name.isascii():
        return None
    of_members = b"{" + body[members + len(b"}, ") : facts + 1] + b"}"
    return name.decode(), of_members, b"{" + body[shape + 2 : members + 1] + body[facts + 1 :]


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
        found = (
            (path, match)
            for path in paths
            for match in _lines(path)
            if files.verified_body(match[0]) is not None
        )
        return cls({match[1].decode(): (path, *match.span()) for path, match in found})

    def __getitem__(self, job_id: str) -> Json:
        """The job; DiskError if its line is not, or no longer, what was written."""
        path, start, end = self.places[job_id]
        try:
            ((job, reason),) = Reader().jobs([files.content(path, start, end)])
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
