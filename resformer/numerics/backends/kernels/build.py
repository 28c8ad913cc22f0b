"""Compiled kernels: built by this machine's C++ compiler on first use, and kept in the user's cache
folder.
"""

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import torch

_MAIN = Path(__file__).parent / "kernels.cpp"
_REAL = {torch.float32: "float", torch.float64: "double"}
_FLAGS = (
    "-std=c++17",
    "-O3",
    "-march=native",
    "-ffp-contract=fast",
    "-fno-math-errno",
    "-fPIC",
    "-shared",
)

_L, _P, _R = ctypes.c_long, ctypes.c_void_p, ctypes.c_double
_ARGUMENTS = {
    "attend_forward": (*[_L] * 7, *[_P] * 12),
    "attend_backward": (*[_L] * 7, *[_P] * 20),
    "ffn_forward": (*[_L] * 5, *[_P] * 6),
    "ffn_backward": (*[_L] * 5, *[_P] * 10),
    "norm_forward": (*[_L] * 4, *[_P] * 3, _R, *[_P] * 3),
    "norm_backward": (*[_L] * 4, *[_P] * 8),
    "update": (*[_L] * 2, *[_P] * 6, *[_R] * 7),
}


class Unavailable(Exception):
    """Reason why no kernels can be built here."""


def cpp_files() -> list[Path]:
    """C++ files that results depend on."""
    return sorted(
        path for path in Path(__file__).parent.iterdir() if path.suffix in (".cpp", ".hpp")
    )


@cache
def library(dtype: torch.dtype) -> ctypes.CDLL:
    """Kernels for this dtype, built if they are not in the cache; raises Unavailable."""
    kernels = load(_MAIN, dtype)
    for name, arguments in _ARGUMENTS.items():
        kernel = getattr(kernels, name)
        kernel.argtypes, kernel.restype = arguments, None
    return kernels


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
    """Name and version of the compiler, as it prints them; raises Unavailable."""
    return _run("--version").partition("\n")[0]


def load(main: Path, dtype: torch.dtype) -> ctypes.CDLL:
    """Shared library of a source that may include the kernels' headers, built if it is not in the
    cache; raises Unavailable.
    """
    try:
        name = f"{main.stem}-{_key(main, dtype)}"
        kept = (path for path in _folder().glob(f"{name}-*.so") if path == _named(name, path))
        return ctypes.CDLL(str(next(kept, None) or _build(main, dtype, name)))
    except (OSError, RuntimeError) as error:  # RuntimeError: there is no home folder
        raise Unavailable(f"the kernels cannot be kept in a cache folder: {error}") from error


def _named(name: str, library: Path) -> Path:
    """Path of a library in the cache; its name holds its hash, since a flipped bit in it would be
    one in every number.
    """
    return _folder() / f"{name}-{hashlib.sha256(library.read_bytes()).hexdigest()[:16]}.so"


def _build(main: Path, dtype: torch.dtype, name: str) -> Path:
    """Build a library beside its place, sync and move it: other processes see it whole or not at
    all.
    """
    _folder().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=_folder()) as scratch:
        made = Path(scratch) / f"{name}.so"
        _run(*_FLAGS, f"-I{_MAIN.parent}", f"-DREAL={_REAL[dtype]}", str(main), "-o", str(made))
        with open(made, "rb") as file:
            os.fsync(file.fileno())
        return made.replace(_named(name, made))


def _run(*words: str) -> str:
    """Run the compiler, and return its output."""
    for name in ("c++", "g++", "clang++"):
        if shutil.which(name):
            break
    else:
        raise Unavailable("there is no C++ compiler (c++, g++ or clang++) here")
    try:
        return subprocess.run([name, *words], capture_output=True, text=True, check=True).stdout
    except OSError as error:
        raise Unavailable(f"{name} cannot be run: {error.strerror}") from error
    except subprocess.CalledProcessError as error:
        raise Unavailable(f"{name} failed: {' '.join(error.stderr.split())[:200]}") from error


def _folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "resformer"


def _key(main: Path, dtype: torch.dtype) -> str:
    """Hash of everything that the machine code depends on: sources, flags, compiler, processor."""
    parts = [path.read_bytes() for path in (main, *cpp_files())]
    parts.append(repr((_FLAGS, str(dtype), compiler(), processor())).encode())
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]


@cache
def processor() -> tuple[str, ...]:
    """Model and instruction sets of the processor: machines of several kinds may share a cache."""
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        return platform.processor(), platform.machine()
    return tuple(
        sorted(
            {
                line
                for line in lines
                if line.startswith(("model name", "flags", "Features", "CPU part"))
            }
        )
    )
