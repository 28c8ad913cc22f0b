"""Durable writes, after which a file is there whole or not at all; and reads that no special file
can block.
"""

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from resformer.errors import DiskError

_CHECKSUM = b', "sha256": "'
_UNSUPPORTED = (errno.EPERM, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)
"""Errors of a file system that lacks a feature."""
_TEMPORARY = re.compile(r"\.(.+)\.[0-9a-f]{32}\.tmp")


def create(path: Path, data: bytes) -> bool:
    """Create `path` with these bytes, once; returns False if it existed. Raises DiskError.

    Temporary file, fsync, link, fsync of the folder. Over a network the reply to a successful link
    may be lost, so "it exists" is believed only of another inode.
    """
    with temporary(path) as beside, _writing(path, _bytes(data)):
        _put(beside, data)
        return publish(beside, path)


def publish(beside: Path, path: Path) -> bool:
    """Link a durable temporary file to `path`, as `create` does."""
    with _writing(path, "a link"):
        try:
            with _supporting(path, "hard links, by which results are committed"):
                os.link(beside, path)
        except FileExistsError:
            ours = path.lstat().st_ino == beside.stat().st_ino
        else:
            ours = True
        sync(path.parent)  # also of a name that another process made and may have had no time to
    return ours


def write(path: Path, data: bytes, mode: int = 0o666) -> None:
    """Write or replace `path` atomically: temporary file, fsync, rename, fsync of the folder.
    Raises DiskError.

    `mode` is that of a new file, less the umask.
    """
    with temporary(path) as beside, _writing(path, _bytes(data)):
        _put(beside, data, mode)
        beside.replace(path)
        sync(path.parent)


def append(path: Path, line: bytes) -> None:
    """Append a line to a file that only this process writes; not durable. Raises DiskError."""
    with _writing(path, _bytes(line)):
        handle = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW, 0o666)
        with os.fdopen(handle, "ab") as file:
            file.write(line)


def overwrite(path: Path, offset: int, data: bytes) -> None:
    """Overwrite bytes of a file at an offset; not durable. Raises DiskError."""
    with _writing(path, _bytes(data)):
        handle = os.open(path, os.O_WRONLY | os.O_NOFOLLOW)
        try:
            os.pwrite(handle, data, offset)
        finally:
            os.close(handle)


def make_folder(path: Path) -> None:
    """Make a folder durably in an existing one. Raises DiskError, also if its name is taken by a
    file or a link.
    """
    with _writing(path, "a folder"):
        try:
            path.mkdir()
        except FileExistsError:
            if not stat.S_ISDIR(path.lstat().st_mode):
                raise DiskError(f"{path}: is in the way, and no folder; move it away") from None
        sync(path.parent)


def remove(path: Path) -> None:
    """Remove a file that nobody needs; errors are ignored."""
    with contextlib.suppress(OSError):
        path.unlink()


def remove_folder(path: Path) -> None:
    """Remove a folder that nobody needs, and all in it; errors are ignored. A link stays, and so
    does a pipe, at which `rmtree` would wait for ever.
    """
    if not os.path.islink(path) and os.path.isdir(path):  # noqa: PTH112, PTH114  (which raise nothing)
        shutil.rmtree(path, ignore_errors=True)


def linked(path: Path, parents: int) -> bool:
    """Tell whether the path or one of so many of its parents, the nearest first, is a link: what
    lies behind it may be somebody else's.
    """
    return any(os.path.islink(place) for place in (path, *path.parents[:parents]))  # noqa: PTH114  (which raises nothing, in doubt)


def content(
    path: str | Path, start: int = 0, end: int | None = None, *, follow: bool = True
) -> bytes:
    """The bytes of a regular file from `start` to `end`. Raises FileNotFoundError, or DiskError if
    it cannot be read, is a pipe, which would never end, or, unless links are to `follow`, is one.
    """
    try:
        links = 0 if follow else os.O_NOFOLLOW
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | links)
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
    """Tell whether the path exists. Raises DiskError where that cannot be told."""
    try:
        size(path)
    except FileNotFoundError:
        return False
    return True


def size(path: str | Path) -> int:
    """Size of a file in bytes. Raises FileNotFoundError, or DiskError if that cannot be told."""
    try:
        return os.lstat(path).st_size
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileNotFoundError(*error.args) from error
    except OSError as error:
        raise DiskError(f"{path}: cannot be read: {error.strerror}") from error


def names(folder: Path) -> list[str]:
    """Names in a folder; none if it does not exist. Raises DiskError."""
    try:
        return os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise DiskError(f"{folder}: cannot be read: {error.strerror}") from error


def numbered(folder: Path, pattern: re.Pattern[str]) -> list[Path]:
    """Files of a folder whose whole name matches, ordered by the number in it."""
    matches = {int(match[1]): name for name in names(folder) if (match := pattern.fullmatch(name))}
    return [folder / matches[number] for number in sorted(matches)]


@contextmanager
def _writing(path: Path, content: str) -> Iterator[None]:
    """Turn errors into one line."""
    try:
        yield
    except (IsADirectoryError, NotADirectoryError):
        raise  # not the disk's fault
    except OSError as error:
        raise DiskError(f"{path}: cannot be written ({content}): {error.strerror}") from error


def _bytes(data: bytes) -> str:
    return f"{len(data):,} bytes"


@contextmanager
def _supporting(path: Path, feature: str) -> Iterator[None]:
    """Raise DiskError if the file system does not have the feature."""
    try:
        yield
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
        raise DiskError(f"{path}: its file system has no {feature} ({error.strerror})") from error


def sync(folder: Path) -> None:
    """Make the names in a folder durable. Raises DiskError if its file system cannot do that."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        with _supporting(folder, "fsync of folders, by which files outlive a power cut"):
            os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def temporary(path: Path) -> Iterator[Path]:
    """A new path beside `path`, whose file is removed at the end."""
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        yield beside
    finally:
        remove(beside)


def final_name(name: str) -> str:
    """Name of the file that a temporary file was to become; of any other file, its own."""
    match = _TEMPORARY.fullmatch(name)
    return match[1] if match else name


def _put(beside: Path, data: bytes, mode: int = 0o666) -> None:
    handle = os.open(beside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def with_checksum(tree: dict[str, Any]) -> bytes:
    """One line of JSON that ends in the SHA-256 of what stands before it."""
    body = json.dumps(tree, allow_nan=False).encode()
    return b'%b%b%b"}' % (body[:-1], _CHECKSUM, hashlib.sha256(body).hexdigest().encode())


def verify_checksum(line: bytes) -> dict[str, Any] | None:
    """The JSON object of a line, without its checksum; None if the checksum does not fit."""
    body = verified_body(line)
    return None if body is None else parse_object(body)


def verified_body(line: bytes) -> bytes | None:
    """The JSON text of a line, without its checksum; None if the checksum does not fit."""
    body, _, rest = line.removesuffix(b"\n").rpartition(_CHECKSUM)
    body += b"}"
    return body if rest == b'%b"}' % hashlib.sha256(body).hexdigest().encode() else None


def parse_object(text: bytes) -> dict[str, Any] | None:
    """Parse a JSON object; None if the text is none."""
    try:
        tree = json.loads(text.decode())
    except (ValueError, RecursionError):
        return None
    return tree if isinstance(tree, dict) else None


def lines_since(path: Path, offset: int) -> tuple[list[bytes], int]:
    """Return the complete lines of a file from an offset on, and the offset behind the last one.

    A torn tail is left for the next call. Raises as `content` does.
    """
    lines, newline, _ = content(path, offset).rpartition(b"\n")
    return lines.splitlines(), offset + len(lines) + len(newline)
