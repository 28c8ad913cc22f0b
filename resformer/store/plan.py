"""Plans: a line of JSON per job, with a checksum. Plans are long, and most of it repeats."""

import contextlib
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, final

from resformer.errors import DiskError
from resformer.keys import Json
from resformer.store import checks, files

Value = TypeVar("Value")

_SHAPE, _MEMBERS, _FACTS = (b', "shape": {', b'}, "members": [', b'], "parameters": ')
_HEAD = re.compile(rb'\{"id": "[^"\\]+"(?:, "(?:continues|code)": "[^"\\]+"){0,2}')
_ID = re.compile(rb'^\{"id": "([^"\\]+)"[^\n]*$', re.MULTILINE)


@final
class Reader:
    """Reader of lines of plans. Parts that many jobs have alike are parsed and checked once, and
    shared.
    """

    def __init__(self) -> None:
        self._known: dict[bytes, Json] = {}

    def jobs(self, lines: Sequence[bytes]) -> list[tuple[Json | None, str]]:
        """The job in each line, which is not to be changed; or None and what is wrong with the
        line.
        """
        return [self._job(line) for line in lines]

    def _job(self, line: bytes) -> tuple[Json | None, str]:
        body = files.verified_body(line)
        if body is None:
            return None, "is not what was written"
        if parts := _parts(body):
            head, of_members, of_shape = parts
            with contextlib.suppress(ValueError):  # the reason is that of the whole line
                members = self._parsed(of_members, checks.planned_members)
                shared = self._parsed(of_shape, checks.shared)
                whole = {**(files.parse_object(head) or {}), **members, **shared}
                checks.planned_head(whole)
                return whole, ""
        try:
            job = files.parse_object(body)
            checks.planned_job(job)
        except ValueError as error:
            return None, str(error)
        return job, ""

    def _parsed(self, text: bytes, check: Callable[[Json], None]) -> Json:
        """The JSON object. Raises ValueError if the text is none, or it does not pass."""
        if text not in self._known:
            tree = files.parse_object(text) or {}
            check(tree)
            self._known[text] = tree
        return self._known[text]


def _parts(body: bytes) -> tuple[bytes, bytes, bytes] | None:
    """Split a job into JSON objects: of its ids, of its members, and of its shape and size; None if
    its keys are in another order.
    """
    shape = body.find(_SHAPE)
    facts = body.rfind(_FACTS)
    members = body.rfind(_MEMBERS, shape, facts)
    if not 0 < shape < members < facts or not _HEAD.fullmatch(body, 0, shape):
        return None
    of_members = b"{" + body[members + len(b"}, ") : facts + 1] + b"}"
    return body[:shape] + b"}", of_members, b"{" + body[shape + 2 : members + 1] + body[facts + 1 :]


def by_shape(jobs: Mapping[str, Json], value: Callable[[Json], Value]) -> dict[str, Value]:
    """A value by each job's id that depends on its shape and size only: computed once for the jobs
    that share these in memory, as `Reader` gives them.
    """
    known: dict[int, Value] = {}
    values = {}
    for job_id, job in jobs.items():
        shared = id(job["shape"])
        if shared not in known:
            known[shared] = value(job)
        values[job_id] = known[shared]
    return values


def superseding(planned: Mapping[str, Json]) -> list[Json]:
    """Jobs whose results take the place of those that their members had within a smaller budget.

    Members that train on after they have solved are scored by their last loss, which is one of its
    budget: those of the smaller budget stay beside them.
    """
    return [
        job
        for job in planned.values()
        if "continues" in job and job["shape"]["train"].get("stop_when_solved") is True
    ]


def superseded(planned: Mapping[str, Json]) -> set[str]:
    """Ids of the jobs each of whose members is in another job that takes the place of theirs."""
    longer: dict[str, set[tuple[int, float]]] = defaultdict(set)
    for job in superseding(planned):
        longer[job["continues"]] |= _members(job)
    return {job for job in planned.keys() & longer if _members(planned[job]) <= longer[job]}


def _members(job: Json) -> set[tuple[int, float]]:
    return {(member["seed"], member["lr"]) for member in job["members"]}


@final
@dataclass(frozen=True)
class Index(Mapping[str, Json]):
    """The planned jobs by id, each read from its place in a plan when it is asked for.

    For workers: 100,000 places take 20 MB, the jobs themselves many times as much.
    """

    places: Mapping[str, tuple[Path, int, int]]

    @classmethod
    def of(cls, paths: Sequence[Path]) -> "Index":
        """Index the intact lines of these plans. Raises DiskError."""
        return cls(
            {
                match[1].decode(): (path, *match.span())
                for path in paths
                for match in _lines(path)
                if files.verified_body(match[0]) is not None
            }
        )

    def __getitem__(self, job_id: str) -> Json:
        """The job of this id. Raises DiskError if its line can no longer be read."""
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
