"""Every kind of file that a study holds, cut at every byte or with one bit flipped: nothing may be
silently wrong.

The study has finished jobs, one of them for the second time, one that failed, and one that was
killed twice, with the checkpoints of both attempts. After each damage it is read as reports, sweeps
and successors read it. They must see the same as before, or the file must be named; a damaged
checkpoint must not be used. After some, the session is run again: the table of results must be that
of an undisturbed run, or the refusal must name the file.

The text of `error.txt` and of `damaged/*.txt` is only informative, so that others may be shown.
Claims say who runs a job, never what comes out: an unfinished one may or may not be listed as
failed, the session makes the same of it. A report may be the one from `.cache` as long as sizes and
times of the files are those it was made from: then the sweep, which reads every byte, must name the
damage.
"""

import os
import random
import re
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, final, get_args
from unittest.mock import patch

from lib.faults import forked, session
from lib.faults.campaign import Campaign, Outcome, Verdict, listed, sampled, tried
from lib.faults.forked import End
from lib.faults.invariant import table
from lib.faults.seen import Seen, checkpoint_text, rows_by_member, seen
from resformer.reporting.analysis.summary import summarise
from resformer.results.members import read
from resformer.store import checkpoints
from resformer.store.study import Study
from resformer.sweep import launch
from resformer.training.loop import Training
from resformer.workers.events import Event

_SEED = 0
_FLIPS = 10_600
_EVERY_BYTE = 1600
"""Longest file that is cut at every byte; of a longer one a spread, of others of its kind a few."""
_SPREAD, _FEW = 1000, 12
_BATCH, _CLAIMS_BATCH = 100, 20
"""Damages of which one is looked at closely, and recovered from."""
_FAILING, _KILLED = 3, 2
"""Seeds of the job that fails, and of the one that is killed."""
_INFORMATIVE = ("error.txt", "damaged")
_READ_BY_REPORTS = ("result.json", "runs.parquet", "curves.parquet", "timing.json")
_CHECKED = (*_READ_BY_REPORTS, "weights.safetensors", "job.json")

Cache = Literal["kept", "deleted"]
Times = Literal["new", "old"]


class _Enough(Exception):
    """The session has come as far as it should."""


@final
@dataclass(frozen=True, kw_only=True)
class Damage:
    """A file of the results folder that is cut at a byte, or has a bit flipped."""

    path: str
    how: Literal["cut", "flip"]
    at: int
    """Bytes that are left; or number of the bit."""
    cache: Cache
    times: Times
    """Time of the file: new if it tells of the change."""

    def __str__(self) -> str:
        change = f"cut at byte {self.at}" if self.how == "cut" else f"bit {self.at} flipped"
        return f"{self.path} {change}, .cache {self.cache}, times {self.times}"

    def of(self, data: bytes) -> bytes:
        """Damage these bytes."""
        if self.how == "cut":
            return data[: self.at]
        flipped = bytearray(data)
        flipped[self.at // 8] ^= 1 << self.at % 8
        return bytes(flipped)

    def put_into(self, results: Path) -> None:
        """Damage the file, and perhaps delete the cache."""
        path = results / self.path
        then = path.stat()
        path.write_bytes(self.of(path.read_bytes()))
        if self.times == "old":
            os.utime(path, ns=(then.st_atime_ns, then.st_mtime_ns))
        if self.cache == "deleted":
            shutil.rmtree(results / session.STUDY / ".cache", ignore_errors=True)


@final
@dataclass(frozen=True)
class Specimen:
    """The study before any damage, as readers see it, and the end of an undisturbed session."""

    results: Path
    files: Mapping[str, tuple[bytes, int]]
    """Content and time of change, by path."""
    live: frozenset[str]
    """Paths of files of results that count."""
    seen: Seen
    resumable: frozenset[str]
    """Checkpoints of unfinished jobs."""
    table: str
    rows: Mapping[str, str]


def _damages(most: int | None, scratch: Path) -> Outcome:
    """Try all damages, in batches that share a copy of the study."""
    session.ready()
    with _seeds(0, 1, _KILLED, _FAILING):
        specimen = _specimen(scratch)
        damages = sampled([*_cuts(specimen), *_flips(specimen)], most)
        kinds = {_kind(damage.path) for damage in damages}
        return tried(
            [*_batches(damages)],
            partial(_tried, specimen),
            scratch,
            notes=[listed(f"{damage.how}s" for damage in damages), f"{len(kinds)} kinds of files"],
            tally=lambda ends: [f"{count} {end}" for end, count in sorted(ends.items())],
            points=len(damages),
        )


DAMAGE = Campaign(
    name="damage", fault="cut at a byte, or a bit flipped", short=400, full=None, run=_damages
)


def _seeds(*seeds: int) -> Any:
    """While this is entered, sessions train these seeds, a job each."""
    return patch.object(session, "scope", (f"member.seed={','.join(map(str, seeds))}",))


def _specimen(scratch: Path) -> Specimen:
    """Make the study, by sessions that end in all the ways there are."""
    whole = Study(scratch / "whole" / session.STUDY)
    _run(whole, "done")
    study = Study(scratch / "specimen" / session.STUDY)
    results = study.path.parent
    with _seeds(0, 1):
        _run(study, "done")
    (first, *_) = study.planned()
    runs = f"{session.STUDY}/jobs/{first[:2]}/{first}/attempt-1/runs.parquet"
    Damage(path=runs, how="cut", at=99, cache="kept", times="new").put_into(results)
    with _seeds(0, 1, _FAILING), patch.object(Training, "run", _failing(Training.run)):
        _run(study, "done with failed jobs")
    with _seeds(0, 1, _KILLED):
        for _ in range(2):
            _run(study, "killed after an evaluation")
    summarise(read([study]))  # which leaves a cache
    before = seen(study, closely=True)
    finished = {
        job: study.results.read(job).attempt for job in study.planned() if study.results.has(job)
    }
    live = {
        str(path.relative_to(results))
        for job, attempt in finished.items()
        for path in (
            study.results.path(job),
            study.job(job) / "job.json",
            *(study.job(job) / f"attempt-{attempt}").iterdir(),
        )
        if not path.name.startswith("checkpoint-")  # on which no result depends
    }
    files = {
        str(path.relative_to(results)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted(results.rglob("*"))
        if path.is_file()
    }
    resumable = frozenset(_checkpoint(path) for path in results.rglob("checkpoint-*.json"))
    kinds = {"result.json", "error.txt", "checkpoint.json", "damaged", "claim"}
    missing = kinds - {_kind(path) for path in files}
    counts = (len(resumable), len(finished), len(live))
    if missing or before.raised or before.texts or counts != (4, 2, 12):
        raise RuntimeError(
            f"the specimen is not what it is to be: {sorted(missing)}, {before.raised}, "
            f"{before.texts}, {counts}"
        )
    return Specimen(
        results=results,
        files=files,
        live=frozenset(live),
        seen=before,
        resumable=resumable,
        table=table(whole),
        rows=_rows(whole),
    )


def _checkpoint(path: Path) -> str:
    step = int(path.stem.rpartition("-")[2])
    return checkpoint_text(checkpoints._read(path.parent, step, path.parent.parent.name))


def _run(study: Study, ending: str) -> None:
    """Run one session; RuntimeError if it ends in another way."""
    evaluations = 0

    def heard(event: Event) -> None:
        nonlocal evaluations
        evaluations += event.kind == "progress"
        if not ending.startswith("done") and evaluations == 2:
            raise _Enough

    try:
        end: End | str = forked.run(study.path.parent, heard=heard)
    except _Enough:
        end = "killed after an evaluation"
    if str(end) != ending:
        raise RuntimeError(f"a session {end}, not {ending}")


def _failing(real: Callable[..., Any]) -> Callable[..., Any]:
    """`Training.run`, but for one job."""

    def run(training: Training, *arguments: Any) -> Any:
        if training.members[0].seed == _FAILING:
            raise ArithmeticError("this one fails")
        return real(training, *arguments)

    return run


def _kind(path: str) -> str:
    """Kind of file: its folder, or its name without numbers."""
    for folder in ("launches", "done", "damaged"):
        if f"/{folder}/" in path:
            return folder
    return re.sub(r"-\d+", "", path.rpartition("/")[2])


def _cuts(specimen: Specimen) -> Iterator[Damage]:
    """One file of each kind, one that counts if there is one, at every byte; others at some."""
    by_kind = defaultdict(list)
    for path in specimen.files:
        by_kind[_kind(path)].append(path)
    draw = random.Random(_SEED)
    for paths in by_kind.values():
        paths.sort(key=lambda path: (path in specimen.live, len(specimen.files[path][0])))
        for path in paths:
            size = len(specimen.files[path][0])
            most = None if size <= _EVERY_BYTE else _SPREAD
            for at in sampled(range(size), _FEW if path != paths[-1] else most):
                cache = draw.choice(get_args(Cache))
                yield Damage(path=path, how="cut", at=at, cache=cache, times="new")


def _flips(specimen: Specimen) -> Iterator[Damage]:
    """Random ones, as many of every kind, none twice."""
    draw = random.Random(_SEED)
    by_kind: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for path, (data, _) in specimen.files.items():
        by_kind[_kind(path)] += [(path, bit) for bit in range(8 * len(data))]
    each = -(-_FLIPS // len(by_kind))
    for bits in by_kind.values():
        for path, bit in sorted(draw.sample(bits, min(each, len(bits)))):
            cache, times = draw.choice(get_args(Cache)), draw.choice(get_args(Times))
            yield Damage(path=path, how="flip", at=bit, cache=cache, times=times)


def _batches(damages: Sequence[Damage]) -> Iterator[tuple[Damage, ...]]:
    """Damages to files of one kind; the one in the middle of a batch is recovered from."""
    by_kind = defaultdict(list)
    for damage in damages:
        by_kind[_kind(damage.path)].append(damage)
    for kind, group in by_kind.items():
        size = _CLAIMS_BATCH if kind == "claim" else _BATCH
        yield from (tuple(group[start : start + size]) for start in range(0, len(group), size))


def _tried(specimen: Specimen, batch: Sequence[Damage], folder: Path) -> Verdict:
    """Damage, look, put right, one after the other; and recover from one."""
    results = folder / "results"
    shutil.copytree(specimen.results, results)
    failures: list[str] = []
    middle = batch[len(batch) // 2]
    for damage in batch:
        damage.put_into(results)
        after = seen(Study(results / session.STUDY), closely=damage is middle)
        problems = [*_silent(specimen, damage, after)]
        if damage is middle:
            recovered, broken = _recovered(specimen, damage, folder / "again")
            problems += broken
        _put_right(specimen, damage, results)
        failures += [f"{damage}: {'; '.join(problems)}"] if problems else []
    return Verdict(tuple(failures), (f"run again: {recovered}",))


def _put_right(specimen: Specimen, damage: Damage, results: Path) -> None:
    """Make all files as they were, which also undoes what a reader would have left.

    With strings, since making a Path of each would take as long as a look.
    """
    strangers = {
        os.path.join(folder, name)  # noqa: PTH118
        for folder, _, names in os.walk(results)
        for name in names
    }
    for path, (data, time_ns) in specimen.files.items():
        place = f"{results}/{path}"
        now = os.stat(place) if place in strangers else None  # noqa: PTH116
        strangers.discard(place)
        unchanged = now is not None and (now.st_mtime_ns, now.st_size) == (time_ns, len(data))
        if not unchanged or path == damage.path:
            (results / path).parent.mkdir(exist_ok=True)
            (results / path).write_bytes(data)
            os.utime(place, ns=(time_ns, time_ns))
    for place in strangers:
        Path(place).unlink()


def _silent(specimen: Specimen, damage: Damage, after: Seen) -> Iterator[str]:
    """List what is wrong and was not named."""
    yield from after.raised
    kind, live = _kind(damage.path), damage.path in specimen.live
    before = specimen.seen if after.report else replace(specimen.seen, report=())
    named = any(damage.path in text for text in after.texts)
    data, _ = specimen.files[damage.path]
    harmless = damage.of(data).rstrip(b"\n") == data.rstrip(b"\n")
    must = kind in ("launches", "plan.jsonl") or (live and kind in _CHECKED)
    if must and not named and not harmless:
        yield "it is not named"
    reported = any(damage.path in reason for reason in after.problems.reasons)
    from_cache = damage.cache == "kept" and damage.times == "old"
    if live and kind in _READ_BY_REPORTS and not (reported or harmless or from_cache):
        yield "the report does not name it"
    yield from _another("member", before.members, after.members)
    yield from _another("job", before.planned, after.planned)
    checked = {job: sha for job, sha in after.checked.items() if sha}
    yield from _another("result", before.checked, checked)
    yield from _lost(before, damage, after)
    if kind.startswith("checkpoint"):
        for checkpoint in after.resumed.values():
            if checkpoint and checkpoint not in specimen.resumable:
                yield f"goes on from {checkpoint}"
        after = replace(after, resumed=before.resumed)
    if kind in _INFORMATIVE or kind == "claim":
        after = replace(after, problems=before.problems, report=before.report, texts=before.texts)
    if not named and before != after:
        parts = [name for name, part in vars(before).items() if vars(after)[name] != part]
        yield f"{', '.join(parts)}: not as before, and it is not named"


def _another(noun: str, before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[str]:
    for key, text in after.items():
        if before.get(key) != text:
            yield f"{noun} {key} is another"


def _lost(before: Seen, damage: Damage, after: Seen) -> Iterator[str]:
    """List what is not seen any more, of other jobs than those that the file describes."""
    lost = before.planned.keys() - after.planned.keys()
    described = lost if _kind(damage.path) == "plan.jsonl" else set()
    for job in lost - described:
        yield f"job {job} is not planned any more"
    for key in before.members.keys() - after.members.keys():
        job = key.split()[0]
        if job not in described and job not in damage.path:
            yield f"member {key} is not reported any more"
    if _kind(damage.path) != "launches":  # which a sweep refuses
        yield from (f"job {job} is not to be run any more" for job in before.to_run - after.to_run)


def _recovered(specimen: Specimen, damage: Damage, results: Path) -> tuple[str, list[str]]:
    """Run the session again on a copy; how it ended, and what is wrong then."""
    shutil.copytree(specimen.results, results)
    damage.put_into(results)
    end = forked.run(results)
    if end.kind == "clean" and damage.path in end.text and _kind(damage.path) == "launches":
        return "refused, named", []
    if not end.finished:
        return end.kind, [f"running it again: {end.kind}: {end.text}"]
    return "done", forked.ask(_unlike, specimen, Study(results / session.STUDY))


def _unlike(specimen: Specimen, study: Study) -> list[str]:
    """List what is not as after an undisturbed run."""
    plan = launch.plan(session.request(), study)
    broken = [f"{job} is still to be run" for job in plan.unfinished]
    if table(study) != specimen.table:
        broken.append("the table of results is not that of an undisturbed run")
    if _rows(study) != specimen.rows:
        broken.append("the report's members are not those of an undisturbed run")
    return broken


def _rows(study: Study) -> dict[str, str]:
    """Members of the report, without how long they took."""
    return rows_by_member(read([study]).members.drop(columns=["ms"]))
