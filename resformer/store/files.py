"""Writing that survives a crash: a file is there whole, or not at all. And reading that no folder
can trap.
"""

import contextlib
import hashlib
import json
import os
import re
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from resformer.errors import DiskError

_CHECKSUM = b', "sha256": "'


def create(path: Path, data: bytes) -> bool:
    """Create `path` with these bytes, once and for all; False if it was there already. Raises
    DiskError.

    Temp file, fsync, link, fsync of the folder. Over a network the reply to a link that succeeded
    may have been lost, so "it exists" is believed only of another inode.
    """
    with temporary(path) as beside, _written(path, _bytes(data)):
        _put(beside, data)
        return publish(beside, path)


def publish(beside: Path, path: Path) -> bool:
    """Have a temporary file, which is durable, be `path`, as `create` does."""
    with _written(path, "a link"):
        try:
            os.link(beside, path)
        except FileExistsError:
            ours = path.lstat().st_ino == beside.stat().st_ino
        else:
            ours = True
        sync(path.parent)  # also of a name that another process made and may have had no time to
    return ours


def write(path: Path, data: bytes) -> None:
    """Write `path` in one stroke, replacing what was there: temp file, fsync, rename, fsync of the
    folder.

    Raises DiskError.
    """
    with temporary(path) as beside, _written(path, _bytes(data)):
        _put(beside, data)
        beside.replace(path)
        sync(path.parent)


def append(path: Path, line: bytes) -> None:
    """Add a line to a list that only this process writes; not durable: for what can be found out
    again.

    Raises DiskError.
    """
    with _written(path, _bytes(line)):
        handle = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW, 0o666)
        with os.fdopen(handle, "ab") as file:
            file.write(line)


def overwrite(path: Path, offset: int, data: bytes) -> None:
    """Replace bytes of a file by as many others; not durable. Raises DiskError."""
    with _written(path, _bytes(data)):
        handle = os.open(path, os.O_WRONLY | os.O_NOFOLLOW)
        try:
            os.pwrite(handle, data, offset)
        finally:
            os.close(handle)


def make_folder(path: Path) -> None:
    """Make a folder, durably, in a parent that is there; if it is there already it must be no link
    to elsewhere.

    Raises DiskError.
    """
    with _written(path, "a folder"):
        try:
            path.mkdir()
        except FileExistsError:
            if not stat.S_ISDIR(path.lstat().st_mode):
                raise DiskError(f"{path}: is in the way, and no folder; move it away") from None
        sync(path.parent)


def remove(path: Path) -> None:
    """Remove a file that nobody needs; if that fails it stays."""
    with contextlib.suppress(OSError):
        path.unlink()


def content(path: str | Path, start: int = 0, end: int | None = None) -> bytes:
    """The bytes of a regular file, from `start` on and before `end`: a pipe would never end.

    FileNotFoundError, or DiskError if it cannot be read.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(handle, "rb", buffering=0) as file:
            if stat.S_ISREG(os.fstat(handle).st_mode):
                file.seek(start)
                return file.readall() if end is None else file.read(end - start)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise DiskError(f"{path}: cannot be read: {error.strerror}") from error
    raise DiskError(f"{path}: cannot be read: is no regular file")


def exists(path: str | Path) -> bool:
    """Whether there is something of this name. Raises DiskError where that cannot be told."""
    try:
        size(path)
    except FileNotFoundError:
        return False
    return True


def size(path: str | Path) -> int:
    """Bytes of a file. FileNotFoundError, or DiskError if that cannot be told."""
    try:
        return os.lstat(path).st_size
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileNotFoundError(*error.args) from error
    except OSError as error:
        raise DiskError(f"{path}: cannot be read: {error.strerror}") from error


def names(folder: Path) -> list[str]:
    """What is in a folder; nothing if it is not there. Raises DiskError."""
    try:
        return os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise DiskError(f"{folder}: cannot be read: {error.strerror}") from error


def numbered(folder: Path, pattern: re.Pattern[str]) -> list[Path]:
    """The files of a folder whose whole name fits, by the number in it."""
    found = {int(match[1]): name for name in names(folder) if (match := pattern.fullmatch(name))}
    return [folder / found[number] for number in sorted(found)]


@contextmanager
def _written(path: Path, wanted: str) -> Iterator[None]:
    """Turns what goes wrong into one line."""
    try:
        yield
    except (IsADirectoryError, NotADirectoryError):
        raise  # not the disk's fault
    except OSError as error:
        raise DiskError(f"{path}: cannot be written ({wanted}): {error.strerror}") from error


def _bytes(data: bytes) -> str:
    return f"{len(data):,} bytes"


def sync(folder: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def temporary(path: Path) -> Iterator[Path]:
    """The path of a file beside `path` that nobody else uses; there is none of it any more
    afterwards.
    """
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        yield beside
    finally:
        remove(beside)


def _put(beside: Path, data: bytes) -> None:
    handle = os.open(beside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def with_checksum(tree: dict[str, Any]) -> bytes:
    """One line of JSON that ends in the SHA-256 of what stands before it, so that a flipped bit
    does not pass.
    """
    body = json.dumps(tree, allow_nan=False).encode()
    return b'%b%b%b"}' % (body[:-1], _CHECKSUM, hashlib.sha256(body).hexdigest().encode())


def verify_checksum(line: bytes) -> dict[str, Any] | None:
    """The object that was sealed, without its seal; None if this is not what was written."""
    body = verified_body(line)
    return None if body is None else parse_object(body)


def verified_body(line: bytes) -> bytes | None:
    """The JSON that was sealed; None if this is not what was written."""
    body, _, rest = line.removesuffix(b"\n").rpartition(_CHECKSUM)
    body += b"}"
    return body if rest == b'%b"}' % hashlib.sha256(body).hexdigest().encode() else None


def parse_object(text: bytes) -> dict[str, Any] | None:
    """The JSON object that this is; None if it is none."""
    try:
        found = json.loads(text.decode())
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def lines_since(path: Path, offset: int) -> tuple[list[bytes], int]:
    """Return the complete lines of a file from an offset on, and the offset behind the last one.

    A torn tail is left for the next call. Raises as `content` does.
    """
    lines, newline, _ = content(path, offset).rpartition(b"\n")
    return lines.splitlines(), offset + len(lines) + len(newline)
