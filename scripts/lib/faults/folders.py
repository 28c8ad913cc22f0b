"""Study folders from somebody who means no good: their hashes fit, and still anything may stand in
them.

Every reader must either work with what is there or refuse in one line, at once, and write nowhere
else.
"""

import hashlib
import io
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from rich.console import Console

from lib.faults import session
from lib.faults.outcome import Outcome, sampled
from lib.faults.shown import shown
from lib.faults.trees import mutated
from resformer.console.status import look, picture
from resformer.errors import DiskError, UserError
from resformer.reporting.analysis.summary import summarise
from resformer.reporting.layout import layout
from resformer.reporting.views import formats, terminal
from resformer.results import frames
from resformer.results.members import read
from resformer.store import files
from resformer.store.study import Study, existing, find
from resformer.sweep import launch
from resformer.text import printable

FAULT = "hostile results folders"
FUZZED = 5_000
_SECONDS = 1.0

Harm = Callable[[Path, Path], None]
"""Does something to a study folder, which lies beside a folder that nobody may touch."""


def run(points: int | None, scratch: Path) -> Outcome:
    """Every fixed harm, then so many records with something else in them, their seals made anew
    (None: FUZZED).
    """
    began, failures = time.perf_counter(), list[str]()
    good = made(scratch / "good")
    harms = sampled(list(fixed()), points)
    for name, harm in harms:
        failures += [f"{name}: {reason}" for reason in answered(good, scratch, harm)]
    count = FUZZED if points is None else points

    def fuzz(drawn: st.DataObject) -> None:
        failures.extend(answered(good, scratch, lambda study, _: rewritten(study, drawn)))

    limits = settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    limits(given(st.data())(fuzz))()
    return Outcome(FAULT, len(harms) + count, failures, time.perf_counter() - began)


def made(results: Path) -> Path:
    """The folder of a study with finished jobs, one whose result is gone, and one that nobody has
    begun.
    """
    session.run(results, lambda event: None)
    study = results / session.STUDY
    first, second, *_ = sorted(path.parent for path in study.glob("jobs/*/*/result.json"))
    (first / "result.json").unlink()
    shutil.rmtree(second)
    shutil.rmtree(study / "done")
    shutil.rmtree(study / ".cache", ignore_errors=True)
    return study


def answered(good: Path, scratch: Path, harm: Harm) -> list[str]:
    """What is wrong with how readers take a copy of the study after this harm."""
    results, outside = scratch / "hostile", scratch / "outside"
    shutil.rmtree(results, ignore_errors=True)
    shutil.rmtree(outside, ignore_errors=True)
    shutil.copytree(good.parent, results)
    outside.mkdir()
    (outside / "mine").write_text("mine")
    study = Study(results / good.name)
    harm(study.path, outside)
    before = _there(outside)
    reasons = [
        reason for name, reader in _READERS.items() if (reason := _asked(name, reader, study))
    ]
    return [*reasons, *([] if _there(outside) == before else ["something was written outside"])]


def _asked(
    name: str, reader: Callable[[Study], object], study: Study, *, again: bool = True
) -> str | None:
    """What is wrong with the answer of one reader; it is slow if it is so twice, and not because
    memory was tidied.
    """
    began = time.process_time()
    try:
        reader(study)
    except (UserError, DiskError) as error:
        line = printable(str(error))
        if not line or not line.isprintable():
            return f"{name}: {line[:200]!r} is not one line"
    except Exception as error:
        return f"{name}: {shown(error)}"[:600]
    seconds = time.process_time() - began
    if seconds > _SECONDS:
        return (
            _asked(name, reader, study, again=False) if again else f"{name}: took {seconds:.1f} s"
        )
    return None


def _report(study: Study) -> None:
    found = read([study])
    if not found.members.empty:
        summary = summarise(found)
        console = Console(file=io.StringIO(), width=80)
        terminal.render(summary, layout(summary), console)
        formats.as_json(summary)
        formats.as_csv(summary)


def _status(study: Study) -> None:
    Console(file=io.StringIO(), width=80).print(picture(look(study)))


def _tables(study: Study) -> None:
    list(frames.curves_by_job(read([study])))


def _sweep(study: Study) -> None:
    plan = launch.plan(session.request(), find(study.path.parent, study.name))
    with _in_a_hurry():
        plan.start(["sweep"])


def _list(study: Study) -> None:
    existing(study.path.parent)


_READERS = {"list": _list, "report": _report, "status": _status, "tables": _tables, "sweep": _sweep}


@contextmanager
def _in_a_hurry() -> Iterator[None]:
    """Nothing here waits for the disk."""
    fsync, os.fsync = os.fsync, lambda handle: None  # type: ignore[assignment]
    try:
        yield
    finally:
        os.fsync = fsync


def rewritten(study: Path, drawn: st.DataObject) -> None:
    """Put something else into one record of the study, and make every hash fit again."""
    jobs = sorted(path.parent for path in study.glob("jobs/*/*/result.json"))
    kind = drawn.draw(st.sampled_from(["launch", "plan", "result", "timing", "job", "claim"]))
    match kind:
        case "launch":
            _resealed(study / "launches" / "1.json", drawn)
        case "plan":
            path = study / "plan-1.jsonl"
            lines = path.read_bytes().splitlines()
            number = drawn.draw(st.integers(0, len(lines) - 1))
            lines[number] = _sealed(drawn.draw(mutated(files.verify_checksum(lines[number]))))
            path.write_bytes(b"\n".join(lines) + b"\n")
        case "result":
            _resealed(drawn.draw(st.sampled_from(jobs)) / "result.json", drawn)
        case "job":
            _resealed(drawn.draw(st.sampled_from(jobs)) / "job.json", drawn)
        case "timing":
            job = drawn.draw(st.sampled_from(jobs))
            tree = drawn.draw(
                mutated(json.loads(next(job.glob("attempt-*/timing.json")).read_bytes()))
            )
            committed(job, "timing.json", _dumped(tree))
        case "claim":
            path = sorted(study.glob("jobs/*/*/claim-1"))[0]
            first, counter = path.read_bytes().split(b"\n")
            tree = drawn.draw(mutated(json.loads(first)))
            path.write_bytes(
                _dumped(tree)
                + b"\n"
                + drawn.draw(st.sampled_from([counter, b"", b"9" * 5000, b"\xff"]))
            )


def committed(job: Path, name: str, content: bytes) -> None:
    """Make this the content of a committed file, hashes and all."""
    tree = files.verify_checksum((job / "result.json").read_bytes())
    assert tree is not None
    tree["files"][name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (job / f"attempt-{tree['attempt']}" / name).write_bytes(content)
    (job / "result.json").write_bytes(files.with_checksum(tree))


def _resealed(path: Path, drawn: st.DataObject) -> None:
    path.write_bytes(_sealed(drawn.draw(mutated(files.verify_checksum(path.read_bytes())))))


def _sealed(tree: Any) -> bytes:
    """As `files.with_checksum`, of anything."""
    body = _dumped(tree)
    return body[:-1] + b', "sha256": "' + hashlib.sha256(body).hexdigest().encode() + b'"}'


def _dumped(tree: Any) -> bytes:
    return json.dumps(tree).encode()


def _there(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() if path.is_file() else b"" for path in folder.rglob("*")}


# --- the fixed ones


def fixed() -> Iterator[tuple[str, Harm]]:
    """What is done to a study folder, with a name for each."""
    for place in _PLACES:
        for name, put in _THINGS.items():
            yield f"{place}: {name}", _instead(place, put)
    for name, content in _CONTENTS.items():
        for place in (
            "launches/1.json",
            "plan-1.jsonl",
            "JOB/result.json",
            "JOB/claim-1",
            "done/x.jsonl",
        ):
            yield f"{place}: {name}", _holding(place, content)
    for name, table in _TABLES.items():
        for file in ("runs.parquet", "curves.parquet"):
            yield f"{file}: {name}", _committing(file, table)
    for name in (
        "claim-999999999",
        "claim-0",
        "claim-00001",
        "claim-1e9",
        "claim--1",
        "claim-٣",
        "result-2.json",
    ):
        yield f"also {name}", _holding(f"JOB/{name}", b"{}")
    for name in (
        "plan-999999999.jsonl",
        "plan-0.jsonl",
        "launches/999999999.json",
        "launches/x.json",
        "damaged/x",
    ):
        yield f"also {name}", _holding(name, b"{}\n")


def _job(study: Path) -> Path:
    return sorted(path.parent for path in study.glob("jobs/*/*/result.json"))[0]


def _place(study: Path, place: str) -> Path:
    job = _job(study)
    return study / place.replace("SHELF", str(job.parent)).replace("JOB", str(job))


def _instead(place: str, put: Callable[[Path, Path], None]) -> Harm:
    def harm(study: Path, outside: Path) -> None:
        path = _place(study, place)
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        put(path, outside)

    return harm


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


_PLACES = (
    *(
        "launches",
        "launches/1.json",
        "plan-1.jsonl",
        "jobs",
        "SHELF",
        "JOB",
        "JOB/result.json",
        "JOB/claim-1",
    ),
    *("JOB/job.json", "JOB/attempt-1", "JOB/attempt-1/runs.parquet", "JOB/attempt-1/timing.json"),
    *(
        "JOB/attempt-1/error.txt",
        "done",
        "done/x.jsonl",
        "damaged",
        ".cache",
        ".cache/members.arrow",
    ),
)
"""Relative to the study; JOB is the folder of a finished job, SHELF the one that it is in."""


def _device(path: Path, outside: Path) -> None:
    path.symlink_to("/dev/zero")


def _itself(path: Path, outside: Path) -> None:
    path.symlink_to(path.name)


_THINGS: dict[str, Callable[[Path, Path], None]] = {
    "a folder": lambda path, outside: path.mkdir(),
    "a file": lambda path, outside: path.write_bytes(b"x") and None,
    "nothing": lambda path, outside: None,
    "a pipe": lambda path, outside: os.mkfifo(path),
    "a link to a device without end": _device,
    "a link to itself": _itself,
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


def _without_rows(table: pa.Table) -> bytes:
    return _written(table.slice(0, 0))


def _other_columns(table: pa.Table) -> bytes:
    return _written(table.rename_columns([f"x{number}" for number in range(table.num_columns)]))


def _texts(table: pa.Table) -> bytes:
    return _written(
        pa.table(
            {name: [str(value) for value in table[name].to_pylist()] for name in table.column_names}
        )
    )


def _nested(table: pa.Table) -> bytes:
    return _written(
        pa.table(
            {name: [[value] for value in table[name].to_pylist()] for name in table.column_names}
        )
    )


def _with_metadata(table: pa.Table) -> bytes:
    return _written(
        table.replace_schema_metadata({"pandas": '{"index_columns": ["a"], "columns": 7}'})
    )


def _endless(table: pa.Table) -> bytes:
    """Some kilobytes that unfold to 100 million rows."""
    ones = pa.chunked_array([pa.array([1] * 1_000_000)] * 100)
    return _written(pa.table({"seed": ones.dictionary_encode()}))


def _written(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


_TABLES: dict[str, Callable[[pa.Table], bytes]] = {
    "no rows": _without_rows,
    "other columns": _other_columns,
    "texts": _texts,
    "lists": _nested,
    "hints for pandas": _with_metadata,
    "more rows than memory": _endless,
    "no table": lambda table: b"PAR1PAR1",
    "nothing": lambda table: b"",
}
