"""Writing that survives a crash: a file is there whole, or not at all."""

import hashlib
import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_SEAL = ', "sha256": "'


def create(path: Path, data: bytes) -> bool:
    """Create `path` with these bytes, once and for all; False if it was there already.

    Temp file, fsync, link, fsync of the folder. Over a network the reply to a link that succeeded may have been lost,
    so "it exists" is believed only of another inode.
    """
    with _temporary(path, data) as temporary:
        try:
            os.link(temporary, path)
        except FileExistsError:
            if path.stat().st_ino != temporary.stat().st_ino:
                return False
        sync_folder(path.parent)
    return True


def write(path: Path, data: bytes) -> None:
    """Write `path` in one stroke, replacing what was there: temp file, fsync, rename, fsync of the folder."""
    with _temporary(path, data) as temporary:
        temporary.replace(path)
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _temporary(path: Path, data: bytes) -> Iterator[Path]:
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    handle = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def lines(path: Path) -> Iterator[dict[str, Any]]:
    """The JSON objects of an appended file, a line each; a torn tail is ignored."""
    for line in path.read_bytes().split(b"\n")[:-1]:
        try:
            yield json.loads(line)
        except ValueError:
            continue


def seal(tree: dict[str, Any]) -> bytes:
    """One line of JSON that ends in the SHA-256 of what stands before it, so that a flipped bit does not pass."""
    body = json.dumps(tree, allow_nan=False)
    return f'{body[:-1]}{_SEAL}{hashlib.sha256(body.encode()).hexdigest()}"}}'.encode()


def unseal(line: bytes) -> dict[str, Any] | None:
    """The object that was sealed, without its seal; None if this is not what was written."""
    body, _, rest = line.rpartition(_SEAL.encode())
    body += b"}"
    if rest.rstrip(b"\n") != f'{hashlib.sha256(body).hexdigest()}"}}'.encode():
        return None
    found: dict[str, Any] = json.loads(body)
    return found
