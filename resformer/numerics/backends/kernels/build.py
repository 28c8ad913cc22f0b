"""Compiled kernels: built by this machine's C++ compiler on first use, and kept in the user's cache
folder.
"""

import atexit
import ctypes
import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import final

import torch

from resformer.numerics.backends.kernels import selftest
from resformer.numerics.backends.kernels.compiler import Compiler, Unavailable, compilers
from resformer.numerics.backends.kernels.sources import FLAGS, FOLDER, MAIN, REAL, bind, cpp_files
from resformer.numerics.cache_folder import CacheUnavailable, cache_folder
from resformer.numerics.processor import processor

_PRIVATE = "RESFORMER_KERNELS"
"""Environment variable that names the folder of a command that cannot use the cache; its workers
inherit it.
"""


@cache
def library(dtype: torch.dtype) -> ctypes.CDLL:
    """Kernels for this dtype that compute what torch computes, built if they are not in the cache;
    raises Unavailable.
    """
    return _chosen(dtype)[1]


@cache
def missing() -> str | None:
    """Reason why no kernels can be built here; None if they can."""
    try:
        library(torch.float32)
    except Unavailable as reason:
        return str(reason)
    return None


@cache
def compiler() -> str:
    """Name and version of the compiler of the kernels, as it prints them; raises Unavailable."""
    return _chosen(torch.float32)[0].version


def note() -> str:
    """Reason why kernels that were built are not kept; "" if there is none."""
    return "; ".join(_notes)


def load(main: Path, dtype: torch.dtype) -> ctypes.CDLL:
    """Shared library of a source that may include the kernels' headers, built if it is not in the
    cache; raises Unavailable.
    """
    return ctypes.CDLL(str(_library_file(compilers()[0], main, dtype).path))


_notes: list[str] = []


@cache
def _chosen(dtype: torch.dtype) -> tuple[Compiler, ctypes.CDLL]:
    """The first compiler that makes kernels that work, and the kernels."""
    reasons = []
    for candidate in compilers():
        try:
            return candidate, _working(candidate, dtype)
        except Unavailable as reason:
            reasons.append(str(reason))
    raise Unavailable("; ".join(reasons))


def _working(made_by: Compiler, dtype: torch.dtype) -> ctypes.CDLL:
    """Kernels that pass the self-test. Those of the cache that do not are removed, and built
    anew.
    """
    while True:
        library_file = _library_file(made_by, MAIN, dtype)
        try:
            kernels = bind(ctypes.CDLL(str(library_file.path)))
            deviating = selftest.deviation(kernels, dtype)
            if not deviating:
                return kernels
            trouble = f"computes {deviating} wrongly"
        except (OSError, AttributeError) as error:
            trouble = f"cannot be loaded: {str(error).removeprefix(f'{library_file.path}: ')}"
        try:
            _remove(library_file.path)
        except OSError as error:
            raise Unavailable(
                f"{library_file.path} {trouble}, and cannot be removed: {error.strerror}"
            ) from error
        if library_file.is_new:
            raise Unavailable(f"what {made_by} makes of the kernels {trouble}")


@final
@dataclass(frozen=True)
class _LibraryFile:
    """A library on disk."""

    path: Path
    is_new: bool
    """True if this process has built it."""


def _library_file(made_by: Compiler, main: Path, dtype: torch.dtype) -> _LibraryFile:
    """The library of a source by this compiler: that of the cache, or of this command, or one that
    is built now.
    """
    name = f"{main.stem}-{_key(made_by, main, dtype)}"
    try:
        folder = _folder()
        for path in sorted(folder.glob(f"{name}-*.so")):
            if _trusted(path, name):
                return _LibraryFile(path, is_new=False)
            _remove(path)
        return _LibraryFile(_build(made_by, main, dtype, folder, name), is_new=True)
    except OSError as error:
        raise Unavailable(f"the kernels cannot be written: {error}") from error


def _folder() -> Path:
    """The cache folder; where only this user cannot have written it, one for this command and its
    workers.
    """
    if (private := os.environ.get(_PRIVATE)) and _mine(Path(private), stat.S_ISDIR):
        return Path(private)
    try:
        folder = cache_folder()
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except CacheUnavailable as trouble:
        reason = str(trouble)
    except OSError as error:
        reason = f"{folder}: cannot be written: {error.strerror}"
    made = tempfile.mkdtemp(prefix="resformer-")  # mode 0700
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    os.environ[_PRIVATE] = made
    _notes.append(f"the kernels are built for this command only: {reason}")
    return Path(made)


def _trusted(path: Path, name: str) -> bool:
    """True of a library that is whole, and that nobody else can have written."""
    return _mine(path, stat.S_ISREG) and path == path.parent / _file_name(name, path)


def _mine(path: Path, is_kind: Callable[[int], bool]) -> bool:
    """True of a file or folder, no link, of this user or root that others cannot write to."""
    try:
        status = path.lstat()
    except OSError:
        return False
    return (
        is_kind(status.st_mode)
        and status.st_uid in (os.geteuid(), 0)
        and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    )


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _file_name(name: str, library: Path) -> str:
    """Name of a library in the cache; it holds its hash, since a flipped bit in it would be one in
    every number.
    """
    return f"{name}-{hashlib.sha256(library.read_bytes()).hexdigest()[:16]}.so"


def _build(made_by: Compiler, main: Path, dtype: torch.dtype, folder: Path, name: str) -> Path:
    """Build a library beside its place, sync and move it: other processes see it whole or not at
    all.
    """
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        made = Path(scratch) / f"{name}.so"
        made_by.run(*FLAGS, f"-I{FOLDER}", f"-DREAL={REAL[dtype]}", str(main), "-o", str(made))
        if not made.is_file():
            raise Unavailable(f"{made_by} makes nothing of the kernels, and does not say why")
        made.chmod(0o700)
        with made.open("rb") as file:
            os.fsync(file.fileno())
        return made.replace(folder / _file_name(name, made))


def _key(made_by: Compiler, main: Path, dtype: torch.dtype) -> str:
    """Hash of everything that the machine code depends on: sources, flags, compiler, processor."""
    parts = [path.read_bytes() for path in (main, *cpp_files())]
    parts.append(repr((FLAGS, str(dtype), made_by.version, processor())).encode())
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]
