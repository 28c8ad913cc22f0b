"""Strange machines: environments, streams, folders and limits under which a command is typed, each
with its right outcome.

A machine is a line of shell in a folder with the results of a small study, where `@` stands for the
command. `$COMMAND` is its first words, `$PYTHON` the interpreter.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

STUDY = "tiny"
_SETTINGS = (
    "task.length=5 task.symbols=8 model.depth=1 model.width=8 model.heads=2 model.hidden=16 "
    "train.batch=8 train.warmup_steps=2 train.eval_every=2 train.eval_sequences=16"
)
_EAGER = f"{_SETTINGS} train.compile=false train.steps=6 --results fresh"
SWEEP = f"sweep --study {STUDY} {_EAGER} member.seed=range\\(0,2\\) engine.stack=1"
"""Two jobs, in a results folder of their own."""
TRAIN = f"train {_EAGER} member.seed=range\\(0,1\\)"
_COMPILED = f"train {_SETTINGS} train.steps=6"
_LONG = (
    f"sweep --study long {_SETTINGS} train.compile=false train.steps=10000000 "
    "train.stop_when_solved=false --results fresh"
)
_STATUS, _REPORT, _GATHER = f"status {STUDY}", f"report {STUDY}", f"gather {STUDY}"
_JSON, _FIGURES = f"{_REPORT} --format json", f"{_REPORT} --figures drawn"
_FINISHED = "finished     2        2"
_C_LOCALE = "LC_ALL=C PYTHONUTF8=0 PYTHONCOERCECLOCALE=0"
_COMPLAINT = 'printf "\\377" >&2; exit 1'
_FULL = "standard output cannot be written: No space left on device"
_FOLDER = f"results/{STUDY}"


def _without(*capabilities: str) -> str:
    """Words before a command that take capabilities from root; "" for others."""
    dropped = ",".join(f"-{capability}" for capability in capabilities)
    words = f"setpriv --bounding-set {dropped} --inh-caps {dropped} "
    return words if os.geteuid() == 0 else ""


_BARRED = _without("dac_override", "dac_read_search")
"""Words before a command to which the modes of files apply, also if it is root's; the table leaves
them out.
"""


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
    """Text that is printed, to either stream; "": nothing is. None: stdout is that of an ordinary
    machine.
    """
    name: str = ""
    """Name in the table, where the line is long."""

    def __str__(self) -> str:
        shown = " ".join(word for word in self.words.split() if "=" not in word)
        line = (self.name or self.line).replace(_BARRED, "")
        return f"{self.kind}: {line.replace('@', f'resformer {shown}')}"

    @property
    def outcome(self) -> str:
        """The right outcome, in words."""
        if self.says is None:
            return f"exit code {self.code}, as on an ordinary machine"
        return f"exit code {self.code}, {f'says {self.says!r}' if self.says else 'says nothing'}"


def machines() -> list[Machine]:
    """All of them, those that train first."""
    return [
        *_training(),
        *_compilers(),
        *_streams(),
        *_encodings(),
        *_terminals(),
        *_variables(),
        *_folders(),
        *_rights(),
        *_limits(),
    ]


def _training() -> Iterator[Machine]:
    names = "random struct copy queue select types numpy sort signal torch pandas resformer socket"
    yield Machine(
        kind="folder",
        name="files random.py, torch.py, ... beside the study: @ <&- >&- 2>/dev/full",
        line=f"for name in {names}; do echo 'raise SystemExit(9)' >$name.py; done; "
        "@ <&- >&- 2>/dev/full",
        words=SWEEP,
        says="",
    )
    block = "import os, signal, sys; signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD]); "
    quota = 'mount -t tmpfs none /sys/fs/cgroup; echo "50000 100000" >/sys/fs/cgroup/cpu.max'
    yield Machine(
        kind="host",
        name="half a core by quota, no network, TMPDIR of 100 characters, SIGCHLD blocked, a limit "
        "of 16 open files that can be raised: @",
        line="ulimit -Sn 16; export TMPDIR=$PWD/$(printf x%.0s {1..100}); mkdir $TMPDIR; "
        "unshare -mn sh -c "
        f"'{quota}; exec $PYTHON -c \"{block}os.execvp(sys.argv[1], sys.argv[1:])\" @'",
        words=SWEEP,
        says="2 jobs to run, 1 worker\n",
    )
    begun = "grep -qsx '0*[1-9][0-9]*' fresh/long/jobs/*/*/claim-1"
    yield Machine(
        kind="signal",
        name="the terminal is closed: @ & kill -HUP",
        line=f"setsid @ & while kill -0 $! && ! {begun}; do sleep 0.1; done; kill -HUP -- -$!; "
        "wait $!; code=$?; ls fresh/long/jobs/*/*/attempt-1; exit $code",
        words=_LONG,
        code=129,
        says="checkpoint-",
    )
    for setting in (
        "OMP_NUM_THREADS=abc MKL_NUM_THREADS=abc OPENBLAS_NUM_THREADS=-1 GOMP_CPU_AFFINITY=abc",
        "CUDA_VISIBLE_DEVICES=abc TORCH_LOGS=nonsense PYTHONOPTIMIZE=1 TMPDIR=/nonexistent",
        "MKL_CBWR=COMPATIBLE MALLOC_PERTURB_=85 PYTHONHASHSEED=7",
    ):
        yield Machine(kind="variable", line=f"{setting} @", words=TRAIN)
    bad = "p/bad-1.0.dist-info"
    yield Machine(
        kind="variable",
        name="broken entry points of another package, and a broken plugin of Hydra: @",
        line=f"mkdir -p {bad} p/hydra_plugins/bad; echo 'raise Exit' >p/hydra_plugins/bad/a.py; "
        f"printf 'Name: bad\\nVersion: 1.0\\n' >{bad}/METADATA; "
        f"printf '[resformer.tasks]\\nnonsense\\n' >{bad}/entry_points.txt; "
        "PYTHONPATH=p:$PYTHONPATH @",
        words=TRAIN,
    )
    yield Machine(
        kind="rights",
        name="a folder that cannot be read, results on a new disk: @ --results $home/fresh",
        line="home=$PWD; mkdir -p shut fresh/lost+found; cd shut; chmod 0 .; "
        f"{_BARRED}@ --results $home/fresh",
        words=TRAIN,
        says="unsolved within 6 steps",
    )
    yield Machine(
        kind="host",
        name="host name ../../../x: @; echo $(ls) end",
        line="unshare -u sh -c 'echo ../../../x >/proc/sys/kernel/hostname; @'; echo $(ls) end",
        words=TRAIN,
        says="\nfresh results end\n",
    )
    yield Machine(
        kind="host",
        name="clock in 1970: @; resformer status train",
        line="echo '#include <time.h>\n#include <unistd.h>\n#include <sys/syscall.h>\n"
        "int clock_gettime(clockid_t clock, struct timespec *now) {\n"
        "  int code = syscall(SYS_clock_gettime, clock, now);\n"
        "  if (clock == CLOCK_REALTIME) now->tv_sec = 7;\n  return code;\n}\n"
        "time_t time(time_t *now) { return 7; }' | cc -shared -fPIC -x c - -o clock.so; "
        "LD_PRELOAD=$PWD/clock.so @; $COMMAND status train --results fresh",
        words=TRAIN,
        says="launched 1970-01-01 00:00:07",
    )


def _compilers() -> Iterator[Machine]:
    def fakes(*scripts: str) -> str:
        names = ("c++", "g++", "clang++")
        files = [
            f"echo '#!/bin/sh\n[ $1 = --version ] && exec echo some 1\n{script}' >bin/{name}"
            for name, script in zip(names, scripts, strict=True)
        ]
        return f"mkdir bin; {'; '.join(files)}; chmod +x bin/*; XDG_CACHE_HOME=$PWD/cache"

    slower = "training is slower without the kernels"
    garbage = 'for last; do :; done; echo garbage >"$last"'
    yield Machine(
        kind="compiler",
        name="compilers that make nothing, complain in no UTF-8, make garbage, in a C locale: @",
        line=f"{fakes('exit 0', _COMPLAINT, garbage)} LC_ALL=C PYTHONUTF8=0 "
        "PYTHONCOERCECLOCALE=0 PATH=$PWD/bin:$PATH @",
        words=_COMPILED,
        says="c++ makes nothing of the kernels, and does not say why; g++ failed: \\ufffd; what "
        "clang++ makes of the kernels cannot be loaded: file too short; training is slower",
    )
    crash = "echo $* >>built; kill -SEGV $$"
    yield Machine(
        kind="compiler",
        name="a compiler that crashes, a cache folder that others may write to: @",
        line="mkdir -p cache/resformer; chmod 777 cache/resformer; "
        f"{fakes(*[crash] * 3)} CXX=bin/c++ @; ! grep -q cache/resformer built",
        words=_COMPILED,
        says=f"bin/c++ was ended by SIGSEGV; {slower}",
    )
    yield Machine(
        kind="compiler",
        line="HOME=relative PATH= @",
        words=_COMPILED,
        says="there is no C++ compiler",
    )


def _streams() -> Iterator[Machine]:
    for words in ("--help", "--version", _STATUS, _JSON):
        yield Machine(kind="stream", line="@ >/dev/full", words=words, code=1, says=_FULL)
    piped = "mkfifo page; cat page & @ --html page >/dev/null; wait; ls -l page"
    yield Machine(kind="stream", line=piped, words=_REPORT, says="</html>prw")
    for words in ("--help", _STATUS):
        line = "PYTHONUNBUFFERED=1 @ >/dev/full"
        yield Machine(kind="stream", line=line, words=words, code=1, says=_FULL)
        # Its reader has surely left, which under `head` it may have or not.
        left = "exec 3> >(true); wait $!; @ >&3"
        yield Machine(kind="stream", line=left, words=words, code=1, says="")
        yield Machine(kind="stream", line="@ >&- 2>&-", words=words, says="")
        yield Machine(kind="stream", line="@ >/dev/full 2>/dev/full", words=words, code=1, says="")
    yield Machine(kind="stream", line="@ 2>/dev/full", words="nonsense", code=2, says="")
    yield Machine(kind="stream", line="@ 2>&-", words="status nonsense", code=2, says="")
    yield Machine(kind="stream", line="@ 2>/dev/full", words=_GATHER, says="")


def _encodings() -> Iterator[Machine]:
    note = "under it the interval of the median, ... where it is open"
    for setting in ("PYTHONIOENCODING=cp437", _C_LOCALE):
        yield Machine(kind="encoding", line=f"{setting} @", words=_REPORT, says=note)
    for setting in ("PYTHONIOENCODING=latin-1", "PYTHONIOENCODING=ascii"):
        yield Machine(kind="encoding", line=f"{setting} @", says="|finished |   2 |      2 |")
    for setting in ("PYTHONIOENCODING=latin-1", "PYTHONIOENCODING=ascii", _C_LOCALE):
        yield Machine(kind="encoding", line=f"{setting} @", words="--help")
    for words in ("--help", _STATUS):
        line = "PYTHONIOENCODING=utf-16 @ | iconv -f utf-16 -t utf-8"
        yield Machine(kind="encoding", line=line, words=words)


def _terminals() -> Iterator[Machine]:
    for setting in ("COLUMNS=0", "COLUMNS=abc", "LINES=\N{SUPERSCRIPT TWO}"):
        for words in ("--help", _STATUS):
            yield Machine(kind="terminal", line=f"{setting} @", words=words)
    for setting in ("COLUMNS=-5", "COLUMNS=1000000"):
        yield Machine(kind="terminal", line=f"{setting} @")
    yield Machine(kind="terminal", line="TERMINAL_WIDTH=abc @", words="--help")
    yield Machine(kind="terminal", line="COLUMNS=5 @", words=_REPORT, says="deep:\nno \ndepth\n")
    yield Machine(kind="terminal", line="COLUMNS=1 @", says="f\ni\nn\ni\ns\nh\ne\nd\n")
    yield Machine(kind="terminal", line="FORCE_COLOR=1 @", says="\x1b[1mstate")
    for before in ("TERM=nonsense", "stty cols 0 rows 0;"):
        yield Machine(kind="terminal", line=f"script -qec '{before} @' /dev/null", says=_FINISHED)
    line = "script -qec 'unset TERM; @' /dev/null"
    yield Machine(kind="terminal", line=line, words="--help", says="Usage: ")


def _variables() -> Iterator[Machine]:
    for setting in (
        *("LC_ALL=nonsense", "PYTHONOPTIMIZE=2", "PYTHONWARNINGS=error", "PYTHONDEVMODE=1"),
        "env -i PYTHONPATH=$PYTHONPATH COLUMNS=80",
    ):
        for words in ("--help", _STATUS):
            yield Machine(kind="variable", line=f"{setting} @", words=words)
    shadows = "for name in random queue numpy typer; do echo 'raise Exit' >$name.py; done"
    yield Machine(
        kind="variable", line=f"{shadows}; TZ=nonsense PYTHONPATH=$PYTHONPATH: @", words=_STATUS
    )
    yield Machine(kind="variable", line="TZ=XXX-99 @", says=_FINISHED)
    broken = "echo 'backend: nonsense' >matplotlibrc; MPLBACKEND=nonsense MPLCONFIGDIR=/dev/null"
    yield Machine(kind="variable", line=f"{broken} @", words=_FIGURES, says="\ndrawn/")
    line = 'COMMAND="${COMMAND/ -P/ -P -OO}"; @'
    refusal = "resformer: python -O: leaves out assertions"
    yield Machine(kind="variable", line=line, name="python -OO: @", code=2, says=refusal)


def _folders() -> Iterator[Machine]:
    cache = f"{_FOLDER}/.cache"
    for harm in (
        f"ln -s /nonexistent {cache}",
        f"mkdir {cache}; head -c 9999 /dev/zero >{cache}/report.json; mkfifo {cache}/members.arrow",
    ):
        yield Machine(kind="folder", line=f"{harm}; @", words=_REPORT)
    for harm in ("rm results/.resformer", "mv results elsewhere; ln -s elsewhere results"):
        yield Machine(kind="folder", line=f"{harm}; @")
    bytes_ = "$'\\xff\\e[31m'"
    for place in ("'[red]x%s*'", "-x", bytes_):
        line = f"mkdir -- {place}; mv -- results {place}/; cd -- {place}; @"
        yield Machine(kind="folder", line=line)
    moved = f"mkdir {bytes_}; mv results {bytes_}; @ --results {bytes_}/results"
    yield Machine(kind="folder", line=moved, says="\\x1b[31m")
    yield Machine(kind="folder", line=moved, words=_GATHER, says="2 jobs, 2 of them new")
    gone = "home=$PWD; mkdir gone; cd gone; rmdir $home/gone"
    yield Machine(kind="folder", line=f"{gone}; @ --results $home/results", says=_FINISHED)
    yield Machine(kind="folder", line=f"{gone}; @", words="--help")
    for results, says in (
        ("/dev/null", "/dev/null: /dev/null is a file; name a folder"),
        ("/proc", "study tiny: is not in /proc; there are none"),
        ("''", "study tiny: is not in .; there are none"),
        ("'~/res'", "study tiny: is not in /home/res; there are none"),
        ("$(printf x%.0s {1..4000})", "File name too long; name another folder"),
    ):
        line = f"HOME=/home @ --results {results}"
        yield Machine(kind="folder", line=line, code=2, says=says)
    line, loops = "ln -s loop loop; @ --results loop/x", "Too many levels of symbolic links"
    yield Machine(kind="folder", line=line, code=1, says=f"launches: cannot be read: {loops}")
    linked = f"cp -r {_FOLDER} results/other; rm -r {_FOLDER}/jobs; "
    linked += f"ln -s ../other/jobs {_FOLDER}/jobs"
    yield Machine(kind="folder", line=f"{linked}; @", words=_GATHER, code=2, says="is a link")


def _rights() -> Iterator[Machine]:
    for place in (_FOLDER, f"{_FOLDER}/launches", f"{_FOLDER}/plan-1.jsonl"):
        yield Machine(
            kind="rights",
            line=f"chmod 0 {place}; {_BARRED}@",
            code=1,
            says="cannot be read: Permission denied; no result is lost",
        )
    line = f"chmod 0 results; {_BARRED}@"
    yield Machine(kind="rights", line=line, code=2, says="is not readable")
    yield Machine(kind="rights", line=f"chmod 0 {_FOLDER}/done/*; {_BARRED}@")
    line = f"chmod -R a-w .; {_BARRED}@"
    yield Machine(kind="rights", line=line, words=_REPORT)
    refused = "Permission denied; no result is lost"
    yield Machine(kind="rights", line=line, words=_GATHER, code=1, says=refused)
    table = f"$(ls {_FOLDER}/jobs/*/*/attempt-1/runs.parquet | head -n 1)"
    yield Machine(
        kind="rights",
        line=f"chmod 0 {table}; {_BARRED}@",
        words=_REPORT,
        says="runs.parquet: cannot be read: \nPermission denied",
    )
    # Root's group would see all processes.
    other = f"setpriv --regid 65534 --clear-groups {_without('sys_ptrace', 'kill')}"
    hidden = f"mount -t proc -o hidepid=2 proc /proc; exec {other}"
    yield Machine(
        kind="rights",
        name="another user's process holds a job, and /proc hides it: @",
        line="setpriv --reuid 65534 sleep 100 >/dev/null 2>&1 & holder=$!; sleep 0.1; "
        f"PYTHONPATH=$PYTHONPATH:$SCRIPTS $PYTHON -P -m lib.faults.held {_FOLDER} $holder; "
        f"unshare -m sh -c '{hidden}@'; kill $holder",
        says="running      1        1",
    )


def _limits() -> Iterator[Machine]:
    yield Machine(kind="limit", line="ulimit -n 12; @", words=SWEEP, code=2, says="ulimit -n=12: ")
    yield Machine(kind="limit", line="ulimit -n 12; @", words="--help")
    for limit in ("-n 16", "-s 256", "-v 1000000"):
        yield Machine(kind="limit", line=f"ulimit {limit}; @")
    yield Machine(
        kind="limit",
        name="ulimit -u 4; @",
        line="OPENBLAS_NUM_THREADS=1 setpriv --reuid 54321 --inh-caps +dac_override "
        "--ambient-caps +dac_override prlimit --nproc=4 @",
        words=SWEEP,
        code=1,
        says="no process or thread can be started; see ulimit -u, or use fewer workers; no result",
    )
    yield Machine(kind="limit", line="ulimit -f 0; @ | cat", words=_REPORT)
    small = "mkdir d; mount -t tmpfs -o size=80k none d; cp -r results d; cd d"
    for line, says in (
        ("ulimit -f 0; @", "File too large; no result is lost"),
        (f"unshare -m sh -c '{small}; @'", "No space left on device; no result is lost"),
    ):
        yield Machine(kind="limit", line=line, words=_GATHER, code=1, says=says)
    for mount in (
        "mount -t tmpfs none /proc",
        "mount --bind results results; mount -o remount,ro,bind results",
    ):
        yield Machine(kind="mount", line=f"unshare -m sh -c '{mount}; @'")
    read_only = "mount -t tmpfs -o ro none"
    yield Machine(
        kind="mount",
        name="/dev/shm and TMPDIR read-only, /tmp in its place: @",
        line=f"unshare -m sh -c '{read_only} /dev/shm; mkdir t; {read_only} t; TMPDIR=t @'",
    )
    for words in ("--help", _STATUS):
        yield Machine(kind="process", line="unshare -pf --mount-proc @", words=words)
        yield Machine(kind="process", line="nohup @", words=words)
