"""Hostile study folders: their hashes fit, and still anything may stand in them.

Every reader must either work with them or refuse in one line, at once, and write nowhere else.
"""

import hashlib
import io
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st
from rich.console import Console

from lib.faults import session
from lib.faults.campaign import Campaign, Outcome, sampled
from lib.faults.requests import fuzzed
from lib.faults.shown import shown
from lib.faults.trees import mutated
from resformer.console.status import picture, read_status
from resformer.errors import DiskError, Stuck, UserError
from resformer.reporting.analysis.summary import summarise
from resformer.reporting.layout import layout
from resformer.reporting.views import formats, terminal
from resformer.results import frames
from resformer.results.members import read
from resformer.store import files
from resformer.store.packed.gather import gather
from resformer.store.study import Study, existing, find
from resformer.sweep import launch
from resformer.text import printable
from resformer.workers.signals import Stop
from resformer.workers.worker import work

Put = Callable[[Path, Path], object]
"""Puts something at a path; the second one is a folder that nobody may touch."""
FUZZED = 5_000
_SECONDS, _PATIENCE_SECONDS = 1.0, 20.0

Reader = Callable[[Study], object]
Harm = Callable[[Path, Path], None]
"""Harms a study folder, beside which lies a folder that nobody may touch: another user's copy of
the same study, and a file.
"""


def _folders(points: int | None, scratch: Path) -> Outcome:
    """Try every link into another study, every other fixed harm, then so many records with
    something else in them and fitting hashes (None: FUZZED).
    """
    good = made(scratch / "good")
    links, harms = list(linked()), sampled(list(fixed()), points)
    failures = [
        f"{name}: {reason}"
        for name, harm in links
        for reason in answered(good, scratch, harm, (*_READERS, _work, _gather))
    ]
    failures += [
        f"{name}: {reason}" for name, harm in harms for reason in answered(good, scratch, harm)
    ]
    count = FUZZED if points is None else points

    def fuzz(data: st.DataObject) -> None:
        failures.extend(answered(good, scratch, lambda study, _: rewritten(study, data)))

    fuzzed(count, fuzz, st.data())
    return Outcome(points=len(links) + len(harms) + count, failures=failures)


FOLDERS = Campaign(
    name="folders", fault="hostile results folders", short=50, full=1000, run=_folders
)


def made(results: Path) -> Path:
    """Make a study with finished jobs, one whose result is gone, and one that nobody has begun."""
    session.run(results)
    study = results / session.STUDY
    first, second, *_ = sorted(path.parent for path in study.glob("jobs/*/*/result.json"))
    (first / "result.json").unlink()
    shutil.rmtree(second)
    shutil.rmtree(study / "done")
    shutil.rmtree(study / ".cache", ignore_errors=True)
    return study


def answered(
    good: Path, scratch: Path, harm: Harm, readers: Sequence[Reader] | None = None
) -> list[str]:
    """List what is wrong with how readers (None: those that train nothing) take a copy of the study
    after this harm.
    """
    results, outside = scratch / "hostile", scratch / "outside"
    shutil.rmtree(results, ignore_errors=True)
    shutil.rmtree(outside, ignore_errors=True)
    shutil.copytree(good.parent, results)
    shutil.copytree(good.parent, outside)
    (outside / "mine").write_text("mine")
    study = Study(results / good.name)
    harm(study.path, outside)
    before = _contents(outside)
    answers = [_answer(reader, study) for reader in readers or _READERS]
    reasons = [reason for reason in answers if reason]
    return [*reasons, *([] if _contents(outside) == before else ["something was written outside"])]


def _answer(reader: Reader, study: Study, *, again: bool = True) -> str | None:
    """Say what is wrong with the answer of a reader; it is slow if it is so twice, and not because
    memory was tidied.
    """
    name = reader.__name__.strip("_")
    began = time.process_time()
    try:
        reader(study)
    except (UserError, DiskError, Stuck) as error:
        line = printable(str(error))
        if not line or not line.isprintable():
            return f"{name}: {line[:200]!r} is not one line"
    except Exception as error:
        return f"{name}: {shown(error)}"[:600]
    seconds = time.process_time() - began
    if seconds <= _SECONDS:
        return None
    return _answer(reader, study, again=False) if again else f"{name}: took {seconds:.1f} s"


def _report(study: Study) -> None:
    findings = read([study])
    if not findings.members.empty:
        summary = summarise(findings)
        console = Console(file=io.StringIO(), width=80)
        terminal.render(summary, layout(summary), console)
        formats.as_json(summary)
        formats.as_csv(summary)


def _status(study: Study) -> None:
    Console(file=io.StringIO(), width=80).print(picture(read_status(study)))


def _tables(study: Study) -> None:
    list(frames.curves_by_job(read([study])))


def _sweep(study: Study) -> None:
    plan = launch.plan(session.request(), find(study.path.parent, study.name))
    with _in_a_hurry():
        plan.start(["sweep"])


def _work(study: Study) -> None:
    plan = launch.plan(session.request(), find(study.path.parent, study.name))
    deadline = time.monotonic() + _PATIENCE_SECONDS
    with _in_a_hurry():
        work(
            plan.start(["sweep"]),
            worker=0,
            workers=1,
            emit=lambda event: None,
            stop=Stop(lambda: time.monotonic() > deadline),
        )


def _gather(study: Study) -> None:
    with _in_a_hurry():
        gather(study)


def _list(study: Study) -> None:
    existing(study.path.parent)


_READERS = (_list, _report, _status, _tables, _sweep, _gather)


@contextmanager
def _in_a_hurry() -> Iterator[None]:
    """While this is entered, nothing waits for the disk."""
    fsync, os.fsync = os.fsync, lambda handle: None  # type: ignore[assignment]
    try:
        yield
    finally:
        os.fsync = fsync


def rewritten(study: Path, data: st.DataObject) -> None:
    """Put something else into one record of the study, and make every hash fit again."""
    jobs = sorted(path.parent for path in study.glob("jobs/*/*/result.json"))
    kind = data.draw(st.sampled_from(["launch", "plan", "result", "timing", "job", "claim"]))

    def any_job() -> Path:
        return data.draw(st.sampled_from(jobs))

    def hostile(tree: Any) -> Any:
        return data.draw(mutated(tree))

    def reseal(path: Path) -> None:
        path.write_bytes(_sealed(hostile(files.verify_checksum(path.read_bytes()))))

    match kind:
        case "launch":
            reseal(study / "launches" / "1.json")
        case "plan":
            path = study / "plan-1.jsonl"
            lines = path.read_bytes().splitlines()
            number = data.draw(st.integers(0, len(lines) - 1))
            lines[number] = _sealed(hostile(files.verify_checksum(lines[number])))
            path.write_bytes(b"\n".join(lines) + b"\n")
        case "result" | "job":
            reseal(any_job() / f"{kind}.json")
        case "timing":
            job = any_job()
            (path,) = job.glob("attempt-*/timing.json")
            committed(job, "timing.json", _dumped(hostile(json.loads(path.read_bytes()))))
        case "claim":
            path = sorted(study.glob("jobs/*/*/claim-1"))[0]
            first, counter = path.read_bytes().split(b"\n")
            record = _dumped(hostile(json.loads(first)))
            beats = data.draw(st.sampled_from([counter, b"", b"9" * 5000, b"\xff"]))
            path.write_bytes(record + b"\n" + beats)


def committed(job: Path, name: str, content: bytes) -> None:
    """Make this the content of a committed file, hashes and all."""
    tree = files.verify_checksum((job / "result.json").read_bytes())
    assert tree is not None
    tree["files"][name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (job / f"attempt-{tree['attempt']}" / name).write_bytes(content)
    (job / "result.json").write_bytes(files.with_checksum(tree))


def _sealed(tree: Any) -> bytes:
    """Seal anything as `files.with_checksum` does a record."""
    body = _dumped(tree)
    return body[:-1] + b', "sha256": "' + hashlib.sha256(body).hexdigest().encode() + b'"}'


def _dumped(tree: Any) -> bytes:
    return json.dumps(tree).encode()


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() if path.is_file() else b"" for path in folder.rglob("*")}


# --- the fixed ones


def linked() -> Iterator[tuple[str, Harm]]:
    """Yield by name every harm that is a link into another user's copy of the study."""
    for place in _LINKED.split():
        yield f"{place}: a link to another study's", _linking(place)


def fixed() -> Iterator[tuple[str, Harm]]:
    """Yield all fixed harms by name."""
    for place in _PLACES.split():
        for name, put in _THINGS.items():
            yield f"{place}: {name}", _instead(place, put)
    for name, content in _CONTENTS.items():
        for place in _RECORDS.split():
            yield f"{place}: {name}", _holding(place, content)
    for name, table in _TABLES.items():
        for file in ("runs.parquet", "curves.parquet"):
            yield f"{file}: {name}", _committing(file, table)
    for name in _STRANGE_NAMES_IN_A_JOB.split():
        yield f"also {name}", _holding(f"JOB/{name}", b"{}")
    for name in _STRANGE_NAMES.split():
        yield f"also {name}", _holding(name, b"{}\n")


def _job(study: Path) -> Path:
    return sorted(path.parent for path in study.glob("jobs/*/*/result.json"))[0]


def _open_job(study: Path) -> Path:
    claimed = (path.parent for path in study.glob("jobs/*/*/claim-1"))
    return next(job for job in sorted(claimed) if not (job / "result.json").exists())


def _place(study: Path, place: str) -> Path:
    name, _, rest = place.partition("/")
    job = _open_job(study) if name.startswith("OPEN_") else _job(study)
    named = {"SHELF": job.parent, "JOB": job}.get(name.removeprefix("OPEN_"), study / name)
    return named / rest


def _instead(place: str, put: Put) -> Harm:
    def harm(study: Path, outside: Path) -> None:
        path = _place(study, place)
        _remove(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        put(path, outside)

    return harm


def _linking(place: str) -> Harm:
    """Link to the same place of another user's study."""

    def harm(study: Path, outside: Path) -> None:
        path = _place(study, place)
        _remove(path)
        path.symlink_to(outside / path.relative_to(study.parent))

    return harm


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _holding(place: str, content: bytes) -> Harm:
    def put(path: Path, outside: Path) -> None:
        path.write_bytes(content)

    return _instead(place, put)


def _committing(name: str, table: Callable[[pa.Table], bytes]) -> Harm:
    def harm(study: Path, outside: Path) -> None:
        job = _job(study)
        (path,) = job.glob(f"attempt-*/{name}")
        committed(job, name, table(pq.read_table(path)))

    return harm


_RECORDS = "launches/1.json plan-1.jsonl JOB/result.json JOB/claim-1 done/x.jsonl"
_PLACES = (
    "launches launches/1.json plan-1.jsonl jobs SHELF JOB JOB/result.json JOB/claim-1 JOB/job.json "
    "JOB/attempt-1 JOB/attempt-1/runs.parquet JOB/attempt-1/timing.json JOB/attempt-1/error.txt "
    "done done/x.jsonl damaged .cache .cache/members.arrow"
)
"""Paths in a study; JOB is the folder of a finished job, SHELF the one that it is in."""
_LINKED = (
    ". launches jobs SHELF JOB JOB/attempt-1 OPEN_SHELF OPEN_JOB OPEN_JOB/attempt-1 done .cache"
)
"""Paths of which another study has its own; OPEN_JOB is the folder of a job that has begun and has
no result.
"""
_STRANGE_NAMES_IN_A_JOB = (
    "claim-999999999 claim-0 claim-00001 claim-1e9 claim--1 claim-٣ result-2.json"
)
_STRANGE_NAMES = (
    "plan-999999999.jsonl plan-0.jsonl launches/999999999.json launches/x.json damaged/x"
)


_THINGS: dict[str, Put] = {
    "a folder": lambda path, outside: path.mkdir(),
    "a file": lambda path, outside: path.write_bytes(b"x"),
    "nothing": lambda path, outside: None,
    "a pipe": lambda path, outside: os.mkfifo(path),
    "a link to a device without end": lambda path, outside: path.symlink_to("/dev/zero"),
    "a link to itself": lambda path, outside: path.symlink_to(path.name),
    "a link to somebody's folder": lambda path, outside: path.symlink_to(outside),
    "a link to somebody's file": lambda path, outside: path.symlink_to(outside / "mine"),
    "a link to nothing": lambda path, outside: path.symlink_to(outside / "not there"),
}

_CONTENTS = {
    "nothing": b"",
    "zeros": bytes(1000),
    "no text": b"\xff\xfe" * 500,
    "no object": b"[1, 2]\n",
    "deep": b"[" * 100_000 + b"\n",
    "a long number": b'{"launch": ' + b"9" * 10_000 + b"}\n",
    "a sealed list": _sealed([1, {}]),
    "a sealed path": _sealed({"id": "../../../outside/x", "job": "../x", "launch": 1}),
    "a sealed NaN": _sealed({"launch": float("nan"), "started": float("inf")}),
}


def _made(change: Callable[[pa.Table], pa.Table]) -> Callable[[pa.Table], bytes]:
    """Change a table, and write it as Parquet."""

    def made(table: pa.Table) -> bytes:
        buffer = io.BytesIO()
        pq.write_table(change(table), buffer, compression="zstd")
        return buffer.getvalue()

    return made


def _each(change: Callable[[Any], Any]) -> Callable[[pa.Table], bytes]:
    """Change every value of a table."""
    return _made(
        lambda table: pa.table(
            {name: list(map(change, table[name].to_pylist())) for name in table.column_names}
        )
    )


def _endless(table: pa.Table) -> pa.Table:
    """Some kilobytes that unfold to 100 million rows."""
    ones = pa.chunked_array([pa.array([1] * 1_000_000)] * 100)
    return pa.table({"seed": ones.dictionary_encode()})


_HINTS = {"pandas": '{"index_columns": ["a"], "columns": 7}'}
_TABLES: dict[str, Callable[[pa.Table], bytes]] = {
    "no rows": _made(lambda table: table.slice(0, 0)),
    "other columns": _made(
        lambda table: table.rename_columns([f"x{number}" for number in range(table.num_columns)])
    ),
    "texts": _each(str),
    "lists": _each(lambda value: [value]),
    "hints for pandas": _made(lambda table: table.replace_schema_metadata(_HINTS)),
    "more rows than memory": _made(_endless),
    "no table": lambda table: b"PAR1PAR1",
    "nothing": lambda table: b"",
}
