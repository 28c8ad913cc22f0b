"""Compiled kernels: built by this machine's C++ compiler on first use, and kept in the user's cache
folder.
"""

import atexit
import contextlib
import ctypes
import hashlib
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import final

import torch

from resformer.numerics import source_code
from resformer.numerics.backends.kernels import selftest, sources
from resformer.numerics.backends.kernels.compiler import Compiler, Unavailable, compilers
from resformer.numerics.backends.kernels.functions import Kernels
from resformer.numerics.backends.kernels.sources import FOLDER, MAIN, REAL, bind, cpp_files
from resformer.numerics.cache_folder import CacheUnavailable, cache_folder
from resformer.numerics.processor import processor
from resformer.numerics.trusted import distrust

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
    """Name and version of the compiler of the kernels, as it prints them, and the further words of
    its command; raises Unavailable.
    """
    return _chosen(torch.float32)[0].version


def note() -> str:
    """Reason why kernels that were built are not kept; "" if there is none."""
    return "; ".join(_notes)


def load(main: Path, dtype: torch.dtype) -> ctypes.CDLL:
    """Shared library of a source that may include the kernels' headers, by the compiler of the
    kernels, built if it is not in the cache; raises Unavailable.
    """
    made_by = _chosen(dtype)[0]
    name = _name(made_by, main, dtype)
    return ctypes.CDLL(str(next(_kept(name), None) or _build(made_by, main, dtype, name)))


_notes: list[str] = []


@cache
def _chosen(dtype: torch.dtype) -> tuple[Compiler, ctypes.CDLL]:
    """The first compiler that makes kernels that work, and the kernels."""
    if source_code.digest(sources.REFERENCE) != sources.TESTED:
        raise Unavailable("torch's operations in eager.py are not those that the kernels compute")
    reasons = []
    for candidate in compilers():
        try:
            return candidate, _working(candidate, dtype)
        except Unavailable as reason:
            reasons.append(str(reason))
    raise Unavailable("; ".join(dict.fromkeys(reasons)))


def _working(made_by: Compiler, dtype: torch.dtype) -> ctypes.CDLL:
    """Kernels that pass the self-test: those that are kept, else new ones."""
    name = _name(made_by, MAIN, dtype)
    for path in _kept(name):
        try:
            return _tested(path, dtype)
        except _Unusable:
            _remove(path)
    path = _build(made_by, MAIN, dtype, name)
    try:
        return _tested(path, dtype)
    except _Unusable as trouble:
        _remove(path)
        raise Unavailable(f"what {made_by} makes of the kernels {trouble}") from trouble


@final
class _Unusable(Exception):
    """Trouble with a library, in words behind its name."""


def _tested(path: Path, dtype: torch.dtype) -> ctypes.CDLL:
    """A library of kernels that passes the self-test; raises _Unusable."""
    try:
        kernels = bind(ctypes.CDLL(str(path)))
    except (OSError, AttributeError) as error:
        raise _Unusable(f"cannot be loaded: {str(error).removeprefix(f'{path}: ')}") from error
    if deviating := selftest.deviation(Kernels(kernels), dtype):
        raise _Unusable(f"computes {deviating} wrongly")
    return kernels


def _kept(name: str) -> Iterator[Path]:
    """Libraries of this name that are whole and that nobody else can have written, in the folder of
    this command and in the cache, which need not be writable. Others are removed.
    """
    for folder in _folders():
        for path in sorted(folder.glob(f"{name}-*.so")):
            if _trusted(path, name):
                yield path
            else:
                _remove(path)


def _folders() -> Iterator[Path]:
    if private := _private():
        yield private
    with contextlib.suppress(CacheUnavailable):
        yield cache_folder()


def _private() -> Path | None:
    """The folder of this command and its workers, where it cannot write to the cache."""
    folder = Path(os.environ.get(_PRIVATE, ""))
    with contextlib.suppress(OSError):
        if folder.is_absolute() and not distrust(folder, stat.S_ISDIR):
            return folder
    return None


def _writable() -> Path:
    """The folder for new libraries: the cache; where only this user cannot have written it, or
    cannot write, one for this command and its workers.
    """
    if private := _private():
        return private
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
    try:
        return not distrust(path, stat.S_ISREG) and path == path.parent / _file_name(name, path)
    except OSError:
        return False


def _remove(path: Path) -> None:
    """Remove a library that is of no use, or whatever has its name, if that may be removed."""
    with contextlib.suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _file_name(name: str, library: Path) -> str:
    """Name of a library in the cache; it holds its hash, since a flipped bit in it would be one in
    every number.
    """
    return f"{name}-{hashlib.sha256(library.read_bytes()).hexdigest()[:16]}.so"


def _build(made_by: Compiler, main: Path, dtype: torch.dtype, name: str) -> Path:
    """Build a library beside its place, sync and move it: other processes see it whole or not at
    all. Raises Unavailable, also if it ends a process that loads it.
    """
    try:
        folder = _writable()
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            made = Path(scratch) / f"{name}.so"
            made_by.run(
                *sources.FLAGS, f"-I{FOLDER}", f"-DREAL={REAL[dtype]}", str(main), "-o", str(made)
            )
            if not made.is_file():
                raise Unavailable(f"{made_by} makes nothing of the kernels, and does not say why")
            if crash := _crash(made, dtype):
                raise Unavailable(f"what {made_by} makes of the kernels {crash}")
            made.chmod(0o700)
            with made.open("rb") as file:
                os.fsync(file.fileno())
            return made.replace(folder / _file_name(name, made))
    except OSError as error:
        raise Unavailable(f"the kernels cannot be written: {error}") from error


def _crash(library: Path, dtype: torch.dtype) -> str:
    """The crash of a process that loads a new library, in words behind its name; "" for none.
    Raises Unavailable if no process can be started.
    """
    try:
        return selftest.crash(library, dtype)
    except OSError as error:
        reason = f"{sys.executable} cannot be run: {error.strerror}"
        raise Unavailable(f"the kernels cannot be tried: {reason}") from error


def _name(made_by: Compiler, main: Path, dtype: torch.dtype) -> str:
    """Name of a library with the hash of everything that its machine code depends on: sources,
    flags, compiler, processor.
    """
    parts = [path.read_bytes() for path in (main, *cpp_files())]
    other = (sources.FLAGS, str(dtype), made_by.command, made_by.version, processor())
    parts.append(repr(other).encode())
    digest = hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]
    return f"{main.stem}-{digest}"
