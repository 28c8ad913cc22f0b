"""Strange machines: environments, streams, folders and limits under which a command is typed.

Each is a line of shell beside the results of a small study. It passes if the exit code is the right
one, no traceback is printed, and stdout is that of an ordinary machine, or what is printed says
what it should.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import final

from lib.facts import ROOT
from lib.faults import session
from lib.faults.campaign import Campaign, Outcome, Verdict, sampled, tried, verdict

_SECONDS = 60.0
_REPORT, _STATUS = f"report {session.STUDY}", f"status {session.STUDY}"
_STUDY = f"results/{session.STUDY}"
_NAMES = "random struct copy queue select types numpy sort signal torch pandas resformer rich"


@final
@dataclass(frozen=True, kw_only=True)
class Machine:
    """A line of shell in which `@` is the command, and its right outcome."""

    kind: str
    line: str
    words: str = _STATUS
    """Words of the command."""
    code: int = 0
    says: str | None = None
    """Text that is printed, to either stream; None: stdout is that of an ordinary machine."""

    def __str__(self) -> str:
        return f"{self.kind}: {self.line.replace('@', f'resformer {self.words}')}"


def machines() -> list[Machine]:
    """All of them."""
    return [*_streams(), *_terminals(), *_variables(), *_folders(), *_limits()]


def _streams() -> Iterator[Machine]:
    for words in (_REPORT, _STATUS, f"{_REPORT} --format json", f"{_REPORT} --format csv"):
        full = "standard output cannot be written: No space left on device"
        yield Machine(kind="stream", line="@ >/dev/full", words=words, code=1, says=full)
        yield Machine(kind="stream", line="@ 2>/dev/full", words=words)
        yield Machine(kind="stream", line="@ <&-", words=words)
        yield Machine(kind="stream", line="@ >&- 2>&-", words=words, says="")
        yield Machine(kind="stream", line="@ | head -n 1", words=words, says="")
    yield Machine(kind="stream", line="@ >/dev/full 2>/dev/full", words=_REPORT, code=1, says="")
    yield Machine(kind="stream", line="@ | head -n 1", words="--help", says="Usage")
    yield Machine(kind="stream", line="@ 2>&-", words=f"{_REPORT} --figures drawn")
    for name in ("ascii", "latin-1", "cp437", "utf-8", "utf-16"):
        yield Machine(kind="encoding", line=f"PYTHONIOENCODING={name} @", words=_REPORT, says="")
    plain = "LC_ALL=C PYTHONUTF8=0 PYTHONCOERCECLOCALE=0"
    for words, says in ((_REPORT, "How deep"), (_STATUS, "finished")):
        yield Machine(kind="encoding", line=f"{plain} @", words=words, says=says)


def _terminals() -> Iterator[Machine]:
    for columns in ("1", "5", "20", "1000000"):
        yield Machine(kind="terminal", line=f"COLUMNS={columns} @", words=_REPORT, says="")
    for setting in (
        *("COLUMNS=0", "COLUMNS=-5", "COLUMNS=abc", "COLUMNS=", "LINES=0"),
        *("TERM=dumb", "TERM=nonsense", "TERM=", "NO_COLOR=1"),
    ):
        yield Machine(kind="terminal", line=f"{setting} @")


def _variables() -> Iterator[Machine]:
    for setting in (
        *("TZ=nonsense", "TZ=", "LANG=xx_YY.nonsense", "LC_ALL=nonsense"),
        *("HOME=/nonexistent", "HOME=", "HOME=relative", "XDG_CACHE_HOME=relative"),
        *("XDG_CACHE_HOME=/dev/null", "XDG_CACHE_HOME=/proc", "TMPDIR=/nonexistent"),
        *("OMP_NUM_THREADS=abc", "MKL_NUM_THREADS=abc", "OPENBLAS_NUM_THREADS=-1"),
        *("PYTHONHASHSEED=7", "PYTHONDONTWRITEBYTECODE=1", "PYTHONUNBUFFERED=1", "PYTHONSAFEPATH="),
        *("PYTHONOPTIMIZE=1", "PYTHONOPTIMIZE=2", "PYTHONMALLOC=debug", "PYTHONWARNINGS=default"),
        *("MPLBACKEND=nonsense", "MPLCONFIGDIR=/dev/null", "CUDA_VISIBLE_DEVICES=abc"),
        *("SLURM_JOB_ID=7", "SBATCH_TIMELIMIT=1", "MKL_CBWR=COMPATIBLE", "CXX=/nonexistent"),
    ):
        yield Machine(kind="variable", line=f"{setting} @", words=_REPORT)
    yield Machine(kind="variable", line="TZ=XXX-99 @", says="finished")
    for setting in ("MPLBACKEND=nonsense", "MPLCONFIGDIR=/dev/null", "HOME=/nonexistent"):
        yield Machine(kind="variable", line=f"{setting} @", words=f"{_REPORT} --figures drawn")
    for level in ("1", "2"):
        words = "show 'member.seed=range(0,3)'"
        yield Machine(kind="variable", line=f"PYTHONOPTIMIZE={level} @", words=words)
    broken = "mkdir -p p/hydra_plugins/bad; echo 'raise RuntimeError' >p/hydra_plugins/bad/a.py"
    line = f"{broken}; PYTHONPATH=p:$PYTHONPATH @"
    yield Machine(kind="variable", line=line, words="show model.depth=1")


def _folders() -> Iterator[Machine]:
    shadows = f"for name in {_NAMES}; do echo 'raise SystemExit(9)' >$name.py; done"
    for words in (_REPORT, f"{_REPORT} --figures drawn"):
        yield Machine(kind="folder", line=f"{shadows}; PYTHONSAFEPATH=1 @", words=words)
    cache = f"{_STUDY}/.cache"
    for harm in (
        f"rm -rf {cache}; ln -s /nonexistent {cache}",
        f"rm -rf {cache}; touch {cache}",
        f"mkdir -p {cache}; head -c 9999 /dev/urandom >{cache}/report.json",
        f"mkdir -p {cache}; echo '{{}}' >{cache}/report.json",
        f"mkdir -p {cache}; rm -f {cache}/members.arrow; mkfifo {cache}/members.arrow",
        "rm -f results/.resformer",
        "mkdir results/lost+found",
        "touch results/other",
        f"chmod -R a-w {_STUDY}",
        "mv results elsewhere; ln -s elsewhere results",
    ):
        yield Machine(kind="folder", line=f"{harm}; @", words=_REPORT)
    for name in ("a b", "$'new\\nline'", "ünï", "[x]%s*", "-x"):
        place = name if name.startswith("$") else f"'{name}'"
        yield Machine(
            kind="folder", line=f"mkdir -- {place}; mv -- results {place}/; cd -- {place}; @"
        )
    for words, says in ((_REPORT, None), (_STATUS, "finished")):
        gone = "home=$PWD; mkdir gone; cd gone; rmdir $home/gone"
        line = f"{gone}; @ --results $home/results"
        yield Machine(kind="folder", line=line, words=words, says=says)
    for results in ("/dev/null", "/proc", "nowhere", "''", "/"):
        line = f"@ --results {results}"
        yield Machine(kind="folder", line=line, code=2, says="resformer: ")
    linked = f"cp -r {_STUDY} results/other; rm -r {_STUDY}/jobs; ln -s ../other/jobs {_STUDY}/jobs"
    words = f"gather {session.STUDY}"
    yield Machine(kind="folder", line=f"{linked}; @", words=words, code=2, says="is a link")


def _limits() -> Iterator[Machine]:
    for limit in ("-n 32", "-n 64", "-s 256", "-s unlimited", "-c 0", "-q 0", "-i 0", "-l 0"):
        yield Machine(kind="limit", line=f"ulimit {limit}; @")
    for mask in ("000", "077", "777"):
        yield Machine(kind="limit", line=f"umask {mask}; @")
    for name in ("INT", "TERM", "HUP", "PIPE", "CHLD", "USR1"):
        yield Machine(kind="signal", line=f"trap '' {name}; @")
    for before in ("nohup", "setsid -w", "nice -n 19", "timeout 50", "taskset -c 0", "env -u HOME"):
        yield Machine(kind="process", line=f"{before} @")


def _tried(most: int | None, scratch: Path) -> Outcome:
    good = scratch / "good"
    session.run(good / "results")
    chosen = sampled(machines(), most)
    ordinary = {
        words: _typed(f"resformer {words}", _copy(good, scratch / f"ordinary-{number}")).stdout
        for number, words in enumerate(sorted({machine.words for machine in chosen}))
    }
    return tried(chosen, partial(_judged, good=good, ordinary=ordinary), scratch)


def _judged(machine: Machine, folder: Path, *, good: Path, ordinary: Mapping[str, str]) -> Verdict:
    """Try a machine on a copy of the study."""
    line = machine.line.replace("@", f"$COMMAND {machine.words}")
    done = _typed(line, _copy(good, folder / "strange"))
    printed = f"{done.stdout}{done.stderr}"
    shown = printed[-300:]
    broken = [f"exit code {done.returncode}: {shown!r}"] if done.returncode != machine.code else []
    broken += [f"a traceback: {shown!r}"] if "Traceback" in printed else []
    if machine.says is not None and machine.says not in printed:
        broken.append(f"{machine.says!r} is not said: {shown!r}")
    if machine.says is None and done.stdout != ordinary[machine.words]:
        broken.append(f"another text: {done.stdout[-300:]!r}")
    return verdict(machine, broken, machine.kind)


def _copy(good: Path, place: Path) -> Path:
    shutil.copytree(good, place)
    return place


def _typed(line: str, place: Path) -> subprocess.CompletedProcess[str]:
    """Run a line of shell in a folder; `$COMMAND` is resformer of this checkout."""
    variables = {
        **os.environ,
        "COMMAND": f"{sys.executable} -m resformer",
        "PYTHONPATH": str(ROOT),
        "COLUMNS": "80",
    }
    words = ["bash", "-c", f'resformer() {{ $COMMAND "$@"; }}; {line}']
    return subprocess.run(
        words,
        cwd=place,
        env=variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=_SECONDS,
        check=False,
    )


MACHINES = Campaign(
    name="machines", fault="strange machines and environments", short=200, full=None, run=_tried
)
