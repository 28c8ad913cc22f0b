"""What a report has read and computed, kept in the study's folder under `.cache`. It may be deleted
at any time.

Nothing depends on it: a file that is not whole, or was written by other code, is read as empty; a
folder that cannot be written is left alone.
"""

import contextlib
import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa

from resformer.errors import DiskError
from resformer.store import files
from resformer.store.study import Study

Json = dict[str, Any]

_DIGEST = 32
_STATES = b"states"
_COMPUTING = (
    "trees.py",
    "reporting/*.py",
    "store/**/*.py",
    "stats/*.py",
    "results/*.py",
    "reporting/analysis/*.py",
)
"""The code that reads and computes."""


def members(study: Study) -> tuple[pa.Table, dict[str, list[int]]]:
    """The runs that were read before, and by job the state of its files then."""
    try:
        table = pa.ipc.open_stream(_read(study, "members.arrow")).read_all()
        states = json.loads(table.schema.metadata[_STATES])
        fits = {"job", "ms"} <= set(table.column_names) and all(map(_is_state, states.values()))
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError, AttributeError):
        fits = False
    return (table.replace_schema_metadata(), states) if fits else (pa.table({}), {})


def _is_state(state: object) -> bool:
    return isinstance(state, list) and bool(state) and all(type(number) is int for number in state)


def keep_members(study: Study, runs: pa.Table, states: dict[str, list[int]]) -> None:
    """Keep the runs, and by job the state of its files."""
    table = runs.replace_schema_metadata({_STATES: json.dumps(states)})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    _write(study, "members.arrow", sink.getvalue().to_pybytes())


def report(study: Study, key: str) -> Json | None:
    """The report that was kept under this key, if it is the last one that was kept."""
    data = _read(study, "report.json")
    kept: Json = json.loads(data) if data else {}
    found: Json | None = kept.get("report") if kept.get("key") == key else None
    return found


def keep_report(study: Study, key: str, report: Json) -> None:
    """Keep a report instead of the last one."""
    _write(study, "report.json", json.dumps({"key": key, "report": report}).encode())


def _read(study: Study, name: str) -> bytes:
    try:
        data = files.content(study.path / ".cache" / name)
    except (OSError, DiskError):
        return b""
    return data[_DIGEST:] if data[:_DIGEST] == _digest(data[_DIGEST:]) else b""


def _write(study: Study, name: str, data: bytes) -> None:
    folder = study.path / ".cache"
    with contextlib.suppress(OSError, DiskError):
        files.make_folder(folder)
        files.write(folder / name, _digest(data) + data)


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(_code() + data).digest()


@cache
def _code() -> bytes:
    """Of that code: what other code kept is not read."""
    package = Path(__file__).parent.parent
    sources = [path for names in _COMPUTING for path in sorted(package.glob(names))]
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).digest()
