"""C++ compilers of this machine, and what they say when they fail."""

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
from dataclasses import dataclass
from functools import cache
from typing import final

_NAMES = ("c++", "g++", "clang++")
_MOST_SECONDS = 60.0
"""Time for one run; the kernels take some ten seconds on a slow machine."""


class Unavailable(Exception):
    """One line: why no kernels can be built here."""


@final
@dataclass(frozen=True)
class Compiler:
    """A C++ compiler."""

    command: tuple[str, ...]

    def __str__(self) -> str:
        return shlex.join(self.command)

    @property
    def version(self) -> str:
        """Its name and version, as it prints them, and the words that go with its command, such as
        those of CXX="g++ -O1"; raises Unavailable.
        """
        return " ".join([_version(self), *map(shlex.quote, self.command[1:])])

    def run(self, *words: str) -> str:
        """Run it, and return its output. Raises Unavailable if it fails, or takes over a minute."""
        try:
            process = subprocess.Popen(
                [*self.command, *words],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                start_new_session=True,
            )
        except OSError as error:
            raise Unavailable(f"{self} cannot be run: {error.strerror}") from error
        with process:
            try:
                out, err = process.communicate(timeout=_MOST_SECONDS)
            except subprocess.TimeoutExpired as error:
                raise Unavailable(f"{self} did not end within {_MOST_SECONDS:g} s") from error
            finally:
                # What it has started holds its pipes open.
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGKILL)
        if process.returncode == 0:
            return out
        how = f"failed: {' '.join(err.split())[:200]}"
        if process.returncode < 0:
            how = f"was ended by {signal.Signals(-process.returncode).name}"
        elif not err.strip():
            how = f"failed with exit code {process.returncode}"
        raise Unavailable(f"{self} {how}")


def compilers() -> list[Compiler]:
    """The compiler that `CXX` names, else those that are here; raises Unavailable if none is."""
    if chosen := os.environ.get("CXX", "").strip():
        try:
            command = tuple(shlex.split(chosen))
        except ValueError as error:
            raise Unavailable(f"CXX={chosen}: {error}") from error
        if shutil.which(command[0]) is None:
            raise Unavailable(f"CXX={chosen}: there is no such compiler")
        return [Compiler(command)]
    here = [Compiler((name,)) for name in _NAMES if shutil.which(name)]
    if not here:
        raise Unavailable("there is no C++ compiler (c++, g++ or clang++) here")
    return here


@cache
def _version(compiler: Compiler) -> str:
    return compiler.run("--version").partition("\n")[0]
