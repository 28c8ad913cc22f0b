"""Every kind of file that a study holds, cut at every byte or with one bit flipped: nothing may be
silently wrong.

The study has finished jobs, one of them for the second time, one that failed, and one that was
killed twice, with the checkpoints of both attempts. After each damage it is read as reports, sweeps
and successors read it. What they see must be what they saw before, or the file must be named; of a
checkpoint the damaged one must not be used. After some, the session is run again: the table of
results must be that of an undisturbed run, or the refusal must name the file.

Only informative, so that others may be shown: the text of `error.txt` and of `damaged/*.txt`.
Claims say who runs a job, never what comes out: whether an unfinished one is listed as failed may
change, what the session makes of it not. A report is allowed to be the one from `.cache` as long as
sizes and times of the files are those it was made from: then the sweep, which reads every byte,
must find the damage.
"""

import hashlib
import json
import os
import random
import re
import shutil
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar, final
from unittest.mock import patch

from lib.faults import session, zygote
from lib.faults.invariant import table
from lib.faults.lanes import judged
from lib.faults.outcome import Outcome, Verdict, sampled
from lib.faults.shown import shown
from resformer.console.status import look
from resformer.errors import DiskError, UserError
from resformer.model.shape import Member
from resformer.reporting.analysis.summary import summarise
from resformer.reporting.serial import to_json
from resformer.results import cache as kept
from resformer.results.members import read
from resformer.store import checkpoints, claims
from resformer.store.checks import Damaged
from resformer.store.claims import Claim
from resformer.store.study import Study, existing, find
from resformer.sweep import launch
from resformer.sweep.request import Request
from resformer.training.loop import Training
from resformer.workers.events import Event

_SEED = 0
_FLIPS = 10_600
_EVERY_BYTE = 1600
"""Of a longer file so many cuts, evenly spread, are tried; of others of its kind a few."""
_SPREAD, _FEW = 1000, 12
_BATCH, _CLAIMS_BATCH = 100, 20
"""After one damage of so many the whole report is made, and the session is run again."""
_FAILING, _KILLED = 3, 2
"""Seeds of the job that fails, and of the one that is killed."""
_RATES = (1e-3, 1e-2)
_INFORMATIVE = ("error.txt", "damaged")
_READ_BY_REPORTS = ("result.json", "runs.parquet", "curves.parquet", "timing.json")
_CHECKED = (*_READ_BY_REPORTS, "weights.safetensors", "job.json")
_MEANT = (Damaged, UserError, DiskError)

Json = dict[str, Any]
T = TypeVar("T")
Cache = Literal["kept", "deleted"]
Times = Literal["new", "old"]
_CACHES: tuple[Cache, ...] = ("kept", "deleted")
_TIMES: tuple[Times, ...] = ("new", "old")


class _Enough(Exception):
    """The session has come as far as it is to come."""


@final
@dataclass(frozen=True)
class Damage:
    """A file, in the results folder, is cut at a byte, or has a bit flipped."""

    path: str
    how: Literal["cut", "flip"]
    at: int
    """Bytes that are left; or which bit."""
    cache: Cache
    times: Times
    """Whether the file's time tells of the change."""

    def __str__(self) -> str:
        what = f"cut at byte {self.at}" if self.how == "cut" else f"bit {self.at} flipped"
        return f"{self.path} {what}, .cache {self.cache}, times {self.times}"

    def of(self, data: bytes) -> bytes:
        """What becomes of the bytes."""
        if self.how == "cut":
            return data[: self.at]
        flipped = bytearray(data)
        flipped[self.at // 8] ^= 1 << self.at % 8
        return bytes(flipped)

    def put_into(self, results: Path) -> None:
        """Do it."""
        path = results / self.path
        then = path.stat()
        path.write_bytes(self.of(path.read_bytes()))
        if self.times == "old":
            os.utime(path, ns=(then.st_atime_ns, then.st_mtime_ns))
        if self.cache == "deleted":
            shutil.rmtree(results / session.STUDY / ".cache", ignore_errors=True)


@final
@dataclass(frozen=True)
class Seen:
    """What readers get of a study, or the one line they end with, as text."""

    members: Mapping[str, str]
    """What a report has read, by member."""
    problems: Mapping[str, Sequence[Json]]
    report: tuple[str, ...]
    """Its rows, all of its numbers, and the numbers of a status; nothing where none was made, which
    takes longer.
    """
    planned: Mapping[str, str]
    """Jobs by id."""
    wanted: frozenset[str]
    """Jobs that a sweep would run."""
    checked: Mapping[str, str]
    """By finished job, of all its bytes."""
    resumed: Mapping[str, str]
    """By unfinished job, the checkpoint that a successor would go on from."""
    said: tuple[str, ...]
    """All that was named, and all refusals, in words."""
    raised: tuple[str, ...]
    """What no reader may raise."""


@final
@dataclass(frozen=True)
class Specimen:
    """The study before any damage, what is seen of it, and what an undisturbed session ends
    with.
    """

    results: Path
    files: Mapping[str, tuple[bytes, int]]
    """Content and time of change."""
    live: frozenset[str]
    """Files of results that count, by path."""
    seen: Seen
    resumable: frozenset[str]
    """Checkpoints that there are."""
    table: str
    rows: Mapping[str, str]


def run(most: int | None, scratch: Path) -> Outcome:
    """All damages, in batches that share a copy of the study."""
    began = time.perf_counter()
    session.ready()
    with patch.object(session, "request", partial(_request, (0, 1, _KILLED, _FAILING))):
        whole = _specimen(scratch)
        chosen = sampled([*_cuts(whole), *_flips(whole)], most)
        batches = [*_batches(chosen)]
        verdicts = judged(batches, partial(_tried, whole), scratch)
    failures = [problem for verdict in verdicts for problem in verdict.broken]
    ends: Counter[str] = sum((Counter(json.loads(verdict.ends)) for verdict in verdicts), Counter())
    hows = Counter(damage.how for damage in chosen)
    by_kind = Counter(_kind(damage.path) for damage in chosen)
    notes = [
        ", ".join(f"{count} {how}s" for how, count in hows.items()),
        f"{len(by_kind)} kinds of files",
    ]
    notes += [f"{count} {end}" for end, count in sorted(ends.items())]
    return Outcome(
        "cut at a byte, or a bit flipped",
        len(chosen),
        failures,
        time.perf_counter() - began,
        tuple(notes),
    )


def _request(seeds: Sequence[int]) -> Request:
    """The session's, for these seeds, a job each."""
    wanted = [Member(seed=seed, lr=lr) for seed in seeds for lr in _RATES]
    return replace(_REQUEST(), shapes=[(session.shape(), wanted)])


_REQUEST = session.request


def _specimen(scratch: Path) -> Specimen:
    """Make the study, by sessions that end in all the ways there are."""
    whole = Study(scratch / "whole" / session.STUDY)
    _ends(scratch / "whole", "done")
    results = scratch / "specimen"
    study = Study(results / session.STUDY)
    with patch.object(session, "request", partial(_request, (0, 1))):
        _ends(results, "done")
    (first, *_) = study.planned()
    Damage(
        f"{session.STUDY}/jobs/{first[:2]}/{first}/attempt-1/runs.parquet", "cut", 99, "kept", "new"
    ).put_into(results)
    with (
        patch.object(session, "request", partial(_request, (0, 1, _FAILING))),
        patch.object(Training, "run", _failing(Training.run)),
    ):
        _ends(results, "done", failed=True)
    with patch.object(session, "request", partial(_request, (0, 1, _KILLED))):
        for _ in range(2):
            _ends(results, "killed after an evaluation")
    summarise(read([study]))  # which leaves a cache
    seen = _look(results, thorough=True)
    jobs = study.planned()
    finished = {job: study.verified(job)[0] for job in jobs if study.has_result(job)}
    live = {
        str(path.relative_to(results))
        for job, attempt in finished.items()
        for path in (
            study.result(job),
            study.job(job) / "job.json",
            *(study.job(job) / f"attempt-{attempt}").iterdir(),
        )
    }
    files = {
        str(path.relative_to(results)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted(results.rglob("*"))
        if path.is_file()
    }
    resumable = frozenset(
        _told(
            checkpoints._read(
                path.parent, int(path.stem.rpartition("-")[2]), path.parent.parent.name
            )
        )
        for path in results.rglob("checkpoint-*.json")
    )
    missing = {"result.json", "error.txt", "checkpoint.json", "damaged", "claim"} - {
        _kind(path) for path in files
    }
    if (
        missing
        or seen.raised
        or seen.said
        or len(resumable) != 2
        or len(finished) != 2
        or len(live) != 12
    ):
        raise RuntimeError(
            f"the specimen is not what it is to be: {sorted(missing)}, {seen.raised}, {seen.said}"
        )
    return Specimen(results, files, frozenset(live), seen, resumable, table(whole), _rows(whole))


def _ends(results: Path, how: str, *, failed: bool = False) -> None:
    """One session; RuntimeError if it ends in another way."""
    count = 0

    def heard(event: Event) -> None:
        nonlocal count
        count += event.kind == "progress"
        if how != "done" and count == 2:
            raise _Enough

    try:
        end = zygote.run(results, heard=heard)
        ended = end.kind if bool(end.text) == failed else f"{end.kind} {end.text}"
    except _Enough:
        ended = "killed after an evaluation"
    if ended != how:
        raise RuntimeError(f"a session {ended}, not {how}")


def _failing(real: Callable[..., Any]) -> Callable[..., Any]:
    """`Training.run`, but for one job."""

    def run(training: Training, *given: Any) -> Any:
        if training.members[0].seed == _FAILING:
            raise ArithmeticError("this one fails")
        return real(training, *given)

    return run


def _kind(path: str) -> str:
    """What sort of file it is."""
    for folder in ("launches", "done", "damaged"):
        if f"/{folder}/" in path:
            return folder
    return re.sub(r"-\d+", "", path.rpartition("/")[2])


def _cuts(whole: Specimen) -> Iterator[Damage]:
    """One file of each kind, one that counts if there is one, at every byte; others at some."""
    by_kind = defaultdict(list)
    for path in whole.files:
        by_kind[_kind(path)].append(path)
    drawn = random.Random(_SEED)
    for paths in by_kind.values():
        paths.sort(key=lambda path: (path in whole.live, len(whole.files[path][0])))
        for path in paths:
            every = range(len(whole.files[path][0]))
            count = (
                _FEW if path != paths[-1] else len(every) if len(every) <= _EVERY_BYTE else _SPREAD
            )
            for at in sampled(every, count):
                yield Damage(path, "cut", at, drawn.choice(_CACHES), "new")


def _flips(whole: Specimen) -> Iterator[Damage]:
    """Random ones, as many of every kind, none twice."""
    drawn = random.Random(_SEED)
    by_kind = defaultdict(list)
    for path, (data, _) in whole.files.items():
        by_kind[_kind(path)] += [(path, bit) for bit in range(8 * len(data))]
    each = -(-_FLIPS // len(by_kind))
    for bits in by_kind.values():
        for path, bit in sorted(drawn.sample(bits, min(each, len(bits)))):
            yield Damage(path, "flip", bit, drawn.choice(_CACHES), drawn.choice(_TIMES))


def _batches(chosen: Sequence[Damage]) -> Iterator[tuple[Damage, ...]]:
    """Damages to files of one kind; the one in the middle of a batch is recovered from."""
    by_kind = defaultdict(list)
    for damage in chosen:
        by_kind[_kind(damage.path)].append(damage)
    for kind, damages in by_kind.items():
        size = _CLAIMS_BATCH if kind == "claim" else _BATCH
        yield from (tuple(damages[start : start + size]) for start in range(0, len(damages), size))


def _tried(whole: Specimen, batch: Sequence[Damage], folder: Path) -> Verdict:
    """Damage, look, put right, one after the other; and recover from one."""
    results = folder / "results"
    shutil.copytree(whole.results, results)
    broken: list[str] = []
    ends: Counter[str] = Counter()
    middle = batch[len(batch) // 2]
    for damage in batch:
        damage.put_into(results)
        problems = [*_silent(whole, damage, _look(results, thorough=damage is middle))]
        if damage is middle:
            again = folder / "again"
            shutil.copytree(whole.results, again)
            damage.put_into(again)
            end, unlike = _recovered(whole, damage, again)
            ends[f"run again: {end}"] += 1
            problems += unlike
        _put_right(whole, damage, results)
        broken += [f"{damage}: {'; '.join(problems)}"] if problems else []
    return Verdict(tuple(broken), json.dumps(ends))


def _put_right(whole: Specimen, damage: Damage, results: Path) -> None:
    """All files as they were, which also undoes what a reader would have left."""
    there = {os.path.join(folder, name) for folder, _, names in os.walk(results) for name in names}  # noqa: PTH118
    for path, (data, time_ns) in whole.files.items():
        place = f"{results}/{path}"
        now = os.stat(place) if place in there else None  # noqa: PTH116  (a Path of each would take as long as a look)
        there.discard(place)
        if (
            now is None
            or (now.st_mtime_ns, now.st_size) != (time_ns, len(data))
            or path == damage.path
        ):
            (results / path).parent.mkdir(exist_ok=True)
            (results / path).write_bytes(data)
            os.utime(place, ns=(time_ns, time_ns))
    for place in there:
        Path(place).unlink()


def _look(results: Path, *, thorough: bool) -> Seen:
    """Read everything in the ways there are; thorough: with all the numbers of a report."""
    study = Study(results / session.STUDY)
    said: list[str] = []
    raised: list[str] = []

    def get(what: Callable[[], T], otherwise: T) -> T:
        try:
            return what()
        except _MEANT as error:
            said.append(str(error))
        except Exception as error:
            raised.append(shown(error))
        return otherwise

    get(lambda: find(results, session.STUDY), study)
    if study not in get(lambda: existing(results), [study]):
        raised.append("the study is not listed")
    nothing: tuple[dict[str, Json], list[str]] = ({}, [])
    planned, reasons = get(study.plan, nothing)
    nobody: tuple[dict[str, str], dict[str, list[Json]], tuple[str, ...]] = ({}, {}, ())
    members, problems, report = get(lambda: _reported(study, thorough=thorough), nobody)
    found = get(lambda: launch.plan(session.request(), study), None)
    checked, resumed = {}, {}
    for job, told in planned.items():
        if study.has_result(job):
            checked[job] = get(partial(_checked, study, job, told), "")
        else:
            resumed[job] = get(partial(_resumed, study, job), "")
    said += reasons + [row["reason"] for row in problems.get("damaged", [])]
    said += [] if found is None else found.damaged.values()
    wanted = frozenset[str]() if found is None else frozenset(found.wanted)
    plain = {job: json.dumps(told) for job, told in planned.items()}
    return Seen(
        members, problems, report, plain, wanted, checked, resumed, tuple(said), tuple(raised)
    )


def _reported(
    study: Study, *, thorough: bool
) -> tuple[dict[str, str], dict[str, list[Json]], tuple[str, ...]]:
    """What a report reads, by member, which is what it keeps; its problems; and what it says, if
    that is wanted.
    """
    findings = read([study])
    rows = kept.load_runs(study)[0].to_pylist()
    members = {
        f"{row['job']} {row['seed']} {row['lr']}": json.dumps(row, sort_keys=True) for row in rows
    }
    if not thorough:
        return members, findings.problems, ()
    status = look(study)
    counts = json.dumps(
        [{**status.outcomes}, {name: len(jobs) for name, jobs in status.states().items()}],
        default=int,
    )
    try:
        report = json.dumps(to_json(summarise(findings)))
    except UserError as error:  # that there is nothing to report
        report = str(error)
    return (
        members,
        findings.problems,
        (json.dumps(_members(findings.members), sort_keys=True), report, counts),
    )


def _resumed(study: Study, job: str) -> str:
    claim = Claim(
        study.job(job),
        claims.attempts(study.job(job)) + 1,
        counter_at=0,
        beat_seconds=1.0,
        last_beat=0.0,
    )
    return _told(next(checkpoints.best_first(claim), None))


def _members(found: Any) -> dict[str, str]:
    """Rows by member, without the columns that only number what is there."""
    rows = found.drop(columns="shape", errors="ignore").to_dict("records")
    return {
        f"{row['job']} {row['seed']} {row['lr']}": json.dumps(row, default=str, sort_keys=True)
        for row in rows
    }


def _checked(study: Study, job: str, told: Json) -> str:
    study.whole(job, told)
    attempt, data = study.verified(job)
    found = hashlib.sha256(str(attempt).encode())
    for name in sorted(data):
        found.update(data[name])
    return found.hexdigest()


def _told(found: checkpoints.Checkpoint | None) -> str:
    if found is None:
        return ""
    return f"{found.step} {hashlib.sha256(found.arrays).hexdigest()} {json.dumps(found.facts)}"


def _silent(whole: Specimen, damage: Damage, seen: Seen) -> Iterator[str]:
    """What is wrong and was not said."""
    yield from seen.raised
    kind = _kind(damage.path)
    before = whole.seen if seen.report else replace(whole.seen, report=())
    named = any(damage.path in text for text in seen.said)
    data, _ = whole.files[damage.path]
    harmless = damage.of(data).rstrip(b"\n") == data.rstrip(b"\n")
    must = kind in ("launches", "plan.jsonl") or (damage.path in whole.live and kind in _CHECKED)
    if must and not named and not harmless:
        yield "it is not named"
    reported = any(damage.path in row["reason"] for row in seen.problems.get("damaged", []))
    told_from_cache = damage.cache == "kept" and damage.times == "old"
    if (
        damage.path in whole.live
        and kind in _READ_BY_REPORTS
        and not (reported or harmless or told_from_cache)
    ):
        yield "the report does not name it"
    yield from (
        f"member {key} is another"
        for key, row in seen.members.items()
        if before.members.get(key) != row
    )
    yield from (
        f"job {key} is another"
        for key, job in seen.planned.items()
        if before.planned.get(key) != job
    )
    yield from (
        f"result {key} is another"
        for key, sha in seen.checked.items()
        if sha not in ("", before.checked.get(key))
    )
    yield from _lost(before, damage, seen)
    if kind.startswith("checkpoint"):
        yield from (
            f"goes on from {told}"
            for told in seen.resumed.values()
            if told and told not in whole.resumable
        )
        seen = replace(seen, resumed=before.resumed)
    if kind in _INFORMATIVE or kind == "claim":
        seen = replace(seen, problems=before.problems, report=before.report, said=before.said)
    if not named and before != seen:
        parts = [name for name, part in vars(before).items() if vars(seen)[name] != part]
        yield f"{', '.join(parts)}: not as before, and it is not named"


def _lost(before: Seen, damage: Damage, seen: Seen) -> Iterator[str]:
    """What is not seen any more, of other jobs than those that the file tells of."""
    told = (
        before.planned.keys() - seen.planned.keys()
        if _kind(damage.path) == "plan.jsonl"
        else set[str]()
    )
    for job in before.planned.keys() - seen.planned.keys() - told:
        yield f"job {job} is not planned any more"
    for key in before.members.keys() - seen.members.keys():
        if key.split()[0] not in told and key.split()[0] not in damage.path:
            yield f"member {key} is not reported any more"
    if _kind(damage.path) != "launches":  # which a sweep refuses
        yield from (f"job {job} is not to be run any more" for job in before.wanted - seen.wanted)


def _recovered(whole: Specimen, damage: Damage, results: Path) -> tuple[str, list[str]]:
    """Run the session again: how it ended, and what is wrong then."""
    study = Study(results / session.STUDY)
    end = zygote.run(results)
    if end.kind == "clean" and damage.path in end.text and _kind(damage.path) == "launches":
        return "refused, named", []
    if end.kind != "done" or end.text:
        return end.kind, [f"running it again: {end.kind}: {end.text}"]
    return "done", zygote.ask(_unlike, whole, study)


def _unlike(whole: Specimen, study: Study) -> list[str]:
    """What is not as after an undisturbed run."""
    broken = (
        []
        if table(study) == whole.table
        else ["the table of results is not that of an undisturbed run"]
    )
    found = launch.plan(session.request(), study)
    broken += [f"{job} is still to be run" for job in found.wanted]
    return broken + (
        []
        if _rows(study) == whole.rows
        else ["the report's members are not those of an undisturbed run"]
    )


def _rows(study: Study) -> dict[str, str]:
    """The report's members, without how long they took."""
    members = read([study]).members.drop(columns=["ms"])
    return _members(members)
