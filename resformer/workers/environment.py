"""Environment variables and packages that would change results, or break what a command imports or
starts, and their values here.

`ATEN_CPU_CAPABILITY` is left as it is, though the bits of results depend on it: it has torch use
fewer vector instructions, as on an older processor. A launch records those that are used, and a
sweep that goes on with others notes it (`resformer.plan.provenance.other_processor`).
"""

import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import final


@final
@dataclass(frozen=True, kw_only=True)
class Variable:
    """An environment variable that is set or removed; processes started later inherit it so."""

    name: str
    reason: str
    value: str | Callable[[str], str] | None = None
    """The value it gets, also where it is not set, or a function of its present one; None: it is
    removed.
    """
    harmful: Callable[[str], bool] = lambda value: True
    """Predicate of the present values that are removed or mended."""


RESULTS = (
    Variable(
        name="MKL_CBWR",
        value="AUTO,STRICT",
        reason="MKL reads it when it is first called; without it the bits of a product depend on "
        "where in memory its matrices begin, and so a member's on those stacked before it",
    ),
)
"""Changed wherever resformer is imported."""
_CORES = re.compile(r"{0}([\s,]+{0})*".format(r"\d+(-\d+(:\d+)?)?"), re.ASCII)
"""A list of cores, such as `0,2-7:2`."""
_LONGEST_TMPDIR = 107 - len("/pymp-12345678/listener-12345678")


def _too_long(folder: str) -> bool:
    try:
        return len(os.fsencode(Path(folder).absolute())) > _LONGEST_TMPDIR
    except FileNotFoundError:  # the working directory is deleted
        return False


def _without_empty_entries(path: str) -> str:
    return os.pathsep.join(filter(None, path.split(os.pathsep)))


COMMANDS = (
    Variable(
        name="PYTHONSAFEPATH",
        value="1",
        reason="without it the working directory is first on the path of workers: a file random.py "
        "beside a study would run in each of them, or another checkout's code",
    ),
    Variable(
        name="PYTHONPATH",
        value=_without_empty_entries,
        reason="an empty entry, as of PYTHONPATH=$PYTHONPATH:/x where it was not set, is the "
        "working directory, which nobody has named",
    ),
    Variable(
        name="MPLBACKEND",
        reason="matplotlib cannot be imported where it does not know a notebook's backend; figures "
        "in files need none",
    ),
    Variable(
        name="COLUMNS",
        harmful=lambda value: not value.isdecimal() or int(value) == 0,
        reason="a terminal of no columns shows nothing",
    ),
    Variable(
        name="LINES",
        harmful=lambda value: not value.isdecimal(),
        reason="nothing can be printed where rich takes a digit, such as a superscript, for a "
        "number",
    ),
    Variable(
        name="TORCH_LOGS",
        reason="torch cannot be imported where it does not know a log of that name; nothing here "
        "writes any",
    ),
    Variable(
        name="TORCH_DEVICE_BACKEND_AUTOLOAD",
        value="0",
        reason="torch cannot be imported where any installed package's entry points cannot be "
        "read, among which it looks for backends of devices that are none here",
    ),
    Variable(
        name="GOMP_CPU_AFFINITY",
        harmful=lambda value: _CORES.fullmatch(value) is None,
        reason="the import of torch never ends where libgomp finds no list of cores in it",
    ),
    *(
        Variable(
            name=name,
            harmful=_too_long,
            reason="the fork server's socket lies in the first of them, and the system limits its "
            "path to 107 bytes",
        )
        for name in ("TMPDIR", "TEMP", "TMP")
    ),
)
"""Changed by commands only; a notebook that imports resformer keeps its own."""
NO_MODULES = {
    "hydra_plugins": "Hydra imports every module of this package on the path; none is needed, and "
    "one that is broken would break every command",
}
"""Packages that commands find empty, whatever is installed, with the reason."""
_FROM_A_JOB = ("SLURM_", "SLURMD_", "SRUN_", "SALLOC_", "SBATCH_", "SQUEUE_", "SCANCEL_")
"""Set by Slurm inside a job, or options of its commands: those of sbatch go before its script's,
and those of squeue and scancel would leave out pilots, or list them in another format.
"""
_FOR_A_CLUSTER = ("SLURM_CONF", "SLURM_JWT")
"""Kept: they say where the cluster is."""


def for_results() -> None:
    """Set what the bits of results depend on."""
    _change(RESULTS)


def for_command() -> None:
    """Set and remove what a command and its workers depend on, and hide packages that break it.

    Python has read some of it by now: the command is started again where PYTHONPATH is another, and
    where PYTHONOPTIMIZE leaves out assertions, without which Hydra reads no range.
    """
    path = os.environ.get("PYTHONPATH")
    _change(COMMANDS)
    for name in NO_MODULES:
        empty = ModuleType(name)
        empty.__path__ = []
        sys.modules[name] = empty
    asserting = not sys.flags.optimize or not os.environ.pop("PYTHONOPTIMIZE", "")
    if not asserting or os.environ.get("PYTHONPATH") != path:
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


@contextmanager
def outside_of_jobs(kept: Sequence[str] = ()) -> Iterator[None]:
    """Hide what a job of Slurm has inherited, so that a job submitted in it is one of its own.

    `kept` are further variables that stay, such as SBATCH_PARTITION where no setting names one.
    """
    hidden = {
        name: os.environ.pop(name)
        for name in [*os.environ]
        if name.startswith(_FROM_A_JOB) and name not in (*_FOR_A_CLUSTER, *kept)
    }
    try:
        yield
    finally:
        os.environ.update(hidden)


def _change(variables: Sequence[Variable]) -> None:
    for variable in variables:
        present, value = os.environ.get(variable.name), variable.value
        if isinstance(value, str):
            os.environ[variable.name] = value
        elif present is not None and variable.harmful(present):
            if value is None:
                del os.environ[variable.name]
            else:
                os.environ[variable.name] = value(present)
