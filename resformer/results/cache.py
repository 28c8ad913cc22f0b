"""Cache of runs and reports in the study's folder under `.cache`, which may be deleted at any time.

No result depends on it: a damaged file, or one written by other code, another user or for another
study, is read as empty, and a folder that cannot be written is left alone.
"""

import contextlib
import hashlib
import hmac
import json
import os
import stat
from functools import cache
from pathlib import Path

import pyarrow as pa

from resformer.errors import DiskError
from resformer.keys import Json
from resformer.numerics.cache_folder import CacheUnavailable, cache_folder
from resformer.numerics.trusted import distrust
from resformer.store import files
from resformer.store.study import Study

_DIGEST, _KEY = 32, 32
"""Bytes of a file's digest, and of the key."""
_STATES = b"states"
_COMPUTING = ("keys", "store", "stats", "results", "reporting")
"""Modules and packages that read and compute; no file is read that others wrote."""


def load_runs(study: Study) -> tuple[pa.Table, dict[str, list[int]]]:
    """Cached runs, and the state of their files then, by job."""
    try:
        table = pa.ipc.open_stream(_read(study, "members.arrow")).read_all()
        states = json.loads(table.schema.metadata[_STATES])
        fits = {"job", "ms"} <= set(table.column_names) and all(map(_is_state, states.values()))
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError, AttributeError):
        fits = False
    return (table.replace_schema_metadata(), states) if fits else (pa.table({}), {})


def _is_state(state: object) -> bool:
    return isinstance(state, list) and bool(state) and all(type(number) is int for number in state)


def save_runs(study: Study, runs: pa.Table, states: dict[str, list[int]]) -> None:
    """Cache runs, and the state of their files by job."""
    table = runs.replace_schema_metadata({_STATES: json.dumps(states)})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    _write(study, "members.arrow", sink.getvalue().to_pybytes())


def load_report(study: Study, key: str) -> Json | None:
    """The last cached report if it has this key, else None."""
    data = _read(study, "report.json")
    cached: Json = json.loads(data) if data else {}
    return cached.get("report") if cached.get("key") == key else None


def save_report(study: Study, key: str, report: Json) -> None:
    """Cache a report instead of the last one."""
    _write(study, "report.json", json.dumps({"key": key, "report": report}).encode())


def _read(study: Study, name: str) -> bytes:
    try:
        data = files.content(study.cache / name)
        digest = _digest(study, name, data[_DIGEST:])
    except (OSError, DiskError, CacheUnavailable):
        return b""
    return data[_DIGEST:] if hmac.compare_digest(data[:_DIGEST], digest) else b""


def _write(study: Study, name: str, data: bytes) -> None:
    if files.linked(study.path, parents=0):
        return  # what lies behind it is another study
    with contextlib.suppress(OSError, DiskError, CacheUnavailable):
        digest = _digest(study, name, data)
        files.make_folder(study.cache)
        files.write(study.cache / name, digest + data)


def _digest(study: Study, name: str, data: bytes) -> bytes:
    """Digest that only this user can make, and only for this file of this study. Raises
    CacheUnavailable, DiskError.
    """
    place = hashlib.sha256(os.fsencode(os.path.realpath(study.path)) + b"/" + name.encode())
    key = hashlib.sha256(_key() + _code() + place.digest()).digest()
    return hmac.digest(key, data, "sha256")


def _key() -> bytes:
    """Random bytes that nobody else can read, made at first use. Raises CacheUnavailable,
    DiskError.

    A folder from elsewhere can hold any report, and its owner says nothing once it is unpacked.
    """
    path = cache_folder() / "reports.key"
    key = _private(path)
    if key is None:
        key = os.urandom(_KEY)
        files.write(path, key, mode=0o600)
    return key


def _private(path: Path) -> bytes | None:
    """Content of a key that only this user, or root, can have written and can read; None if there
    is none.
    """
    try:
        if distrust(path, stat.S_ISREG) or path.lstat().st_mode & 0o077:
            return None
        key = files.content(path, follow=False)
    except FileNotFoundError:
        return None
    return key if len(key) == _KEY else None


@cache
def _code() -> bytes:
    """Hash of the sources of `_COMPUTING`."""
    root = Path(__file__).parent.parent
    files = [
        path
        for name in _COMPUTING
        for path in [*root.glob(f"{name}.py"), *sorted(root.glob(f"{name}/**/*.py"))]
    ]
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).digest()
