"""A plan: a line per job, sealed. Plans are long, and most of what is said in them is said many times."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from resformer.errors import DiskError
from resformer.store import checks, files

Json = dict[str, Any]

_START, _SHAPE, _MEMBERS, _FACTS = b'{"id": "', b', "shape": {', b'}, "members": [', b'], "parameters": '
_ID = re.compile(rb'^\{"id": "([^"\\]+)"[^\n]*$', re.MULTILINE)


@final
class Reader:
    """Reads lines of plans. What jobs of one shape and size share is parsed and checked once, and shared."""

    def __init__(self) -> None:
        self._shared: dict[bytes, tuple[Json, str | None]] = {}

    def jobs(self, lines: Sequence[bytes]) -> list[tuple[Json | None, str]]:
        """The jobs that were written in these lines, to be read, not changed; or None, and what is wrong with one."""
        bodies = [files.unsealed(line) for line in lines]
        parts = [None if body is None else _parts(body) for body in bodies]
        own = files.each_parsed([part[0] if part else b"{}" for part in parts])
        return [self._job(*each) for each in zip(bodies, parts, own, strict=True)]

    def _job(self, body: bytes | None, parts: tuple[bytes, bytes] | None, own: Json | None) -> tuple[Json | None, str]:
        if body is None:
            return None, "is not what was written"
        shared, reason = self._known(parts[1]) if parts else ({}, None)
        if shared and own:
            job: Json | None = {**own, **shared}
            reason = checks.own(own) or reason
        else:  # written in another way
            job = files.parsed(body)
            reason = checks.planned_job(job)
        return (job, "") if reason is None else (None, reason)

    def _known(self, text: bytes) -> tuple[Json, str | None]:
        """What jobs share, and what is wrong with it; nothing if it is no object."""
        if text not in self._shared:
            shared = files.parsed(text) or {}
            self._shared[text] = shared, checks.shared(shared)
        return self._shared[text]


def _parts(body: bytes) -> tuple[bytes, bytes] | None:
    """What the job has for itself, and what it shares; None if they do not stand where they are written."""
    shape = body.find(_SHAPE)
    facts = body.rfind(_FACTS)
    members = body.rfind(_MEMBERS, shape, facts)
    if not body.startswith(_START) or not 0 < shape < members < facts:
        return None
    own = body[:shape] + body[members + 1 : facts + 1] + b"}"
    return own, b"{" + body[shape + 2 : members + 1] + body[facts + 1 :]


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
