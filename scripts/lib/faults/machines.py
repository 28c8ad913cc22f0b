"""Strange machines, tried: each passes if its outcome is the right one.

That is the exit code, the text, no traceback and no control character; and of what trains, results
with the bits of an ordinary machine's.
"""

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import final

import psutil

from lib.facts import ROOT
from lib.faults.campaign import Campaign, Outcome, Verdict, sampled, tried
from lib.faults.invariant import table
from lib.faults.strange import STUDY, SWEEP, TRAIN, Machine, machines
from resformer.store.study import Study
from resformer.workers.environment import COMMANDS, RESULTS

_SECONDS = 120.0
_SHOWN = 300
_OTHERS = ("PYTHON", "LC_", "OMP_", "MKL_", "XDG_", "CXX")
_NOT_INHERITED = {variable.name for variable in (*RESULTS, *COMMANDS)}


@final
@dataclass(frozen=True)
class _Done:
    """A line of shell that has ended, or was ended: code None."""

    code: int | None
    stdout: str
    stderr: str

    @property
    def printed(self) -> str:
        """All that it printed."""
        return f"{self.stdout}{self.stderr}"


@final
@dataclass(frozen=True, kw_only=True)
class _Ordinary:
    """Outcomes on an ordinary machine, by the words of the command."""

    good: Path
    """A folder with its results."""
    texts: Mapping[str, str]
    tables: Mapping[str, str]
    """Hashes of the results of commands that train."""


def _tried(most: int | None, scratch: Path) -> Outcome:
    chosen = sampled(machines(), most)
    good = scratch / "good"
    good.mkdir()
    done = _typed(f"$COMMAND {SWEEP}", good)
    texts, tables = {SWEEP: done.stdout}, {SWEEP: _table(good)}
    (good / "fresh").rename(good / "results")
    same = {machine.words for machine in chosen if machine.says is None}
    for number, words in enumerate(sorted((same | {TRAIN}) - {SWEEP})):
        place = _copy(good, scratch / f"ordinary-{number}")
        texts[words] = _typed(f"$COMMAND {words}", place).stdout
        tables[words] = _table(place)
    ordinary = _Ordinary(good=good, texts=texts, tables=tables)
    tally = _kinds if most is not None else list  # at length the table of all of them
    return tried(chosen, partial(_judged, ordinary=ordinary), scratch, tally=tally)


def _kinds(ends: Counter[str]) -> Sequence[str]:
    """A note of how many machines of each kind there are."""
    kinds = Counter(end.partition(":")[0] for end in ends)
    return [", ".join(f"{count} {kind}" for kind, count in kinds.items())]


def _judged(machine: Machine, folder: Path, *, ordinary: _Ordinary) -> Verdict:
    """Try a machine on a copy of the study."""
    place = _copy(ordinary.good, folder / "strange")
    done = _typed(machine.line.replace("@", f"$COMMAND {machine.words}"), place)
    shown = repr(done.printed[-_SHOWN:])
    broken = [] if done.code == machine.code else [f"exit code {done.code}: {shown}"]
    if done.code is None:
        broken = [f"did not end within {_SECONDS:g} s: {shown}"]
    broken += [f"a traceback: {shown}"] if "Traceback" in done.printed else []
    strange = [sign for sign in done.printed if ord(sign) < ord(" ") and sign != "\n"]
    if strange and machine.kind != "terminal":
        broken.append(f"prints control characters: {shown}")
    if machine.says is None and done.stdout != ordinary.texts[machine.words]:
        broken.append(f"another text: {done.stdout[-_SHOWN:]!r}")
    if machine.says == "" and done.printed:
        broken.append(f"prints {shown}")
    if machine.says and machine.says not in done.printed:
        broken.append(f"{machine.says!r} is not said: {shown}")
    if machine.code == 0 and machine.words in (SWEEP, TRAIN):
        broken += [] if _table(place) == ordinary.tables[machine.words] else ["has other results"]
    row = f"{machine}: {'FAILED' if broken else 'passed'}, {machine.outcome}"
    return Verdict((f"{machine}: {'; '.join(broken)}",) if broken else (), (row,))


def _table(place: Path) -> str:
    """Hash of the results of a command that trained in a folder; "" for none."""
    studies = [path for name in (STUDY, "train") for path in place.glob(f"fresh/{name}")]
    return "".join(table(Study(path)) for path in studies)


def _copy(good: Path, place: Path) -> Path:
    subprocess.run(["cp", "-r", str(good), str(place)], check=True)
    return place


def _typed(line: str, place: Path) -> _Done:
    """Run a line of shell in a folder, in which $COMMAND is resformer of this checkout."""
    with subprocess.Popen(
        ["bash", "-o", "pipefail", "-c", line],
        cwd=place,
        env=_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
    ) as shell:
        try:
            out, err = shell.communicate(timeout=_SECONDS)
        except subprocess.TimeoutExpired:
            _kill(shell.pid)
            out, err = shell.communicate()
            return _Done(None, out, err)
        return _Done(shell.returncode, out, err)


def _environment() -> dict[str, str]:
    """Variables of an ordinary machine."""
    return {
        **{
            name: value
            for name, value in os.environ.items()
            if name not in _NOT_INHERITED and not name.startswith(_OTHERS)
        },
        # As the script `resformer` would: the working directory is not on its path.
        "COMMAND": f"{sys.executable} -P -m resformer",
        "PYTHON": sys.executable,
        "PYTHONPATH": str(ROOT),
        "SCRIPTS": str(ROOT / "scripts"),
        "COLUMNS": "80",
        "LANG": "C.UTF-8",
        "TZ": "UTC",
    }


def _kill(pid: int) -> None:
    """Kill a process and all that it started, in whatever process group."""
    descendants = psutil.Process(pid).children(recursive=True)
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    for process in descendants:
        with suppress(psutil.NoSuchProcess):
            process.kill()


MACHINES = Campaign(
    name="machines", fault="strange machines and environments", short=200, full=None, run=_tried
)
