"""kill -9 at random moments of real training: of the whole sweep, as a power cut does, and of one
worker of it.

What runs is the command as a user types it, in a process group of its own. All that is random is
drawn from seeds.
"""

import ctypes
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import final

from lib.faults import session, zygote
from lib.faults.invariant import Expected, Hashes, expected, hashes, table, violations
from lib.faults.lanes import judged
from lib.faults.outcome import Outcome, Verdict
from resformer import config
from resformer.keys import job_label
from resformer.results.members import read
from resformer.store import claims
from resformer.store.study import Study
from resformer.sweep import launch
from resformer.sweep.request import Request

_ASKED = (
    *("task=copy,reverse", "task.length=5", "task.symbols=8"),
    *(
        "model.depth=1",
        "model.width=8",
        "model.heads=2",
        "model.residual=true,false",
        "model.norm=post,pre,sandwich",
    ),
    *("member.seed=0", "member.lr=1e-3,1e-2,1e30"),
    *(
        "train.steps=400",
        "train.eval_every=40",
        "train.eval_sequences=16",
        "train.stop_when_solved=false",
    ),
    *("train.compile=false", "train.keep_weights=true", "train.checkpoint_seconds=0.2"),
    *("engine.workers=2", "engine.stack=3"),
)
"""Twelve jobs, each with a name of its own, of which one member diverges: ten seconds for two
workers.
"""
_KEPT = ("runs.parquet", "curves.parquet", "weights.safetensors")
_KILLS, _WORKERS_KILLED = 100, 50
_KILLS_OF_ONE_TRIAL = 5
_AT_START = 0.15
"""This share of the kills falls into the first seconds of the command, most of which it spends on
imports.
"""
_START_SECONDS, _TRAINING_SECONDS, _BETWEEN_SECONDS = 3.0, 3.0, 1.2
"""The longest times from the start, from the first claim, and between workers, to a kill."""
_LONGEST_SECONDS, _LEAVING_SECONDS = 120.0, 5.0
_LOOK_SECONDS = 0.02
_SET_DEATH_SIGNAL, _SET_SUBREAPER = 1, 36
_TOLD = re.compile(r"\[\d+/\d+\] (?P<label>[^:]+): (finished|\d+ (?:solved|unsolved|diverged)\b).*")
_C = ctypes.CDLL(None)


@final
@dataclass(frozen=True)
class Standard:
    """What an undisturbed command leaves, and what was asked of it."""

    request: Request
    expected: Expected
    kept: dict[str, dict[str, bytes]]
    """By job the files of its result that have no wall times in them."""


@final
@dataclass(frozen=True)
class Series:
    """So many kills, at moments drawn by this seed."""

    seed: int
    kills: int

    def __str__(self) -> str:
        return f"{self.kills} kills of seed {self.seed}"


def run(most: int | None, scratch: Path) -> Outcome:
    """Kill the whole sweep again and again until it is finished, and as many sweeps as that
    takes.
    """
    return _campaign("kill -9 of the whole sweep", _at_most(_KILLS, most), _killed, scratch)


def run_workers(most: int | None, scratch: Path) -> Outcome:
    """Kill workers that hold a job, several of every sweep."""
    return _campaign("kill -9 of one worker", _at_most(_WORKERS_KILLED, most), _bereaved, scratch)


def _at_most(kills: int, most: int | None) -> int:
    return kills if most is None else min(kills, most)


def _campaign(
    fault: str, kills: int, judge: Callable[[Standard, Series, Path], Verdict], scratch: Path
) -> Outcome:
    began = time.perf_counter()
    session.ready()
    standard = _undisturbed(scratch / "undisturbed")
    whole, rest = divmod(kills, _KILLS_OF_ONE_TRIAL)
    series = [Series(seed, _KILLS_OF_ONE_TRIAL) for seed in range(whole)] + (
        [Series(whole, rest)] if rest else []
    )
    verdicts = judged(series, partial(judge, standard), scratch, _adopting)
    failures = [
        f"{trial}, {problem}"
        for trial, found in zip(series, verdicts, strict=True)
        for problem in found.broken
    ]
    ends = Counter(end for verdict in verdicts for end in verdict.ends.split(", "))
    notes = [f"{count} {end}" for end, count in ends.most_common()]
    return Outcome(fault, kills, failures, time.perf_counter() - began, tuple(notes))


def _undisturbed(folder: Path) -> Standard:
    """What the command leaves that nobody kills; RuntimeError unless it ends well."""
    _adopting()
    folder.mkdir()
    whole = _Sweep(folder)
    with whole.running() as command:
        code = whole.ended(command)
    study, request = whole.study, config.request(session.STUDY, list(_ASKED))
    jobs = [job.id for job in request.jobs()]
    if code != 0 or study.finished(jobs) != set(jobs):
        raise RuntimeError(f"an undisturbed sweep: exit code {code}: {whole.said()}")
    standard = Standard(request, expected(whole.results), {job: _kept(study, job) for job in jobs})
    broken = [
        *whole.left,
        *_untold(whole, standard),
        *_unfinished(whole.results, whole.acknowledged, standard),
    ]
    if broken:
        raise RuntimeError(f"an undisturbed sweep: {'; '.join(broken)}")
    return standard


def _killed(standard: Standard, trial: Series, folder: Path) -> Verdict:
    """Kill, look, run again and kill again, until all is finished; then look closely, and begin
    another.
    """
    draw = random.Random(trial.seed)
    broken: list[str] = []
    ends: list[str] = []
    kills = 0
    while kills < trial.kills:
        sweep = _Sweep(folder / str(len(ends)))
        sweep.folder.mkdir()
        code: int | None = None
        while code is None:
            moment = (
                None
                if kills == trial.kills
                else "at start"
                if draw.random() < _AT_START
                else "training"
            )
            with sweep.running() as command:
                if moment is None or not sweep.lived(command, moment, draw):
                    code = sweep.ended(command)
            if code is None:
                kills += 1
                ends.append(f"killed {moment}")
                found = zygote.ask(_disturbed, sweep.results, sweep.acknowledged, standard)
                broken += [
                    f"kill {kills}, {moment}: {problem}" for problem in [*sweep.left, *found]
                ]
        ends.append("finished")
        found = [] if code == 0 else [f"exit code {code}: {sweep.said()}"]
        found += [
            *sweep.left,
            *zygote.ask(_unfinished, sweep.results, sweep.acknowledged, standard),
        ]
        broken += [f"after kill {kills}: {problem}" for problem in found]
    return Verdict(tuple(broken), ", ".join(ends))


def _bereaved(standard: Standard, trial: Series, folder: Path) -> Verdict:
    """Kill one worker after the other; then look at whose job was touched, and begin another."""
    draw = random.Random(trial.seed)
    broken: list[str] = []
    ends: list[str] = []
    kills = 0
    while kills < trial.kills:
        sweep = _Sweep(folder / str(len(ends)), (f"engine.retries={trial.kills}",))
        sweep.folder.mkdir()
        shot: list[str] = []
        with sweep.running() as command:
            while (
                kills + len(shot) < trial.kills and (job := sweep.shoot(command, draw)) is not None
            ):
                shot.append(job)
            code = sweep.ended(command)
        kills += len(shot)
        ends += [*["worker killed"] * len(shot), "finished"]
        found = [] if code == 0 else [f"exit code {code}: {sweep.said()}"]
        found += [*sweep.left, *_touched(sweep.study, shot, standard)]
        found += zygote.ask(_unfinished, sweep.results, sweep.acknowledged, standard)
        found += _untold(sweep, standard)
        broken += [f"after kill {kills}: {problem}" for problem in found]
    return Verdict(tuple(broken), ", ".join(ends))


def _touched(study: Study, shot: Sequence[str], standard: Standard) -> Iterator[str]:
    """What became of jobs whose worker was not killed, or more often than it was."""
    deaths = Counter(shot)
    for job in standard.kept:
        tries = len([*study.job(job).glob("attempt-*")])
        if tries > 1 + deaths[job]:
            yield f"{job}: {tries} attempts, and its worker was killed {deaths[job]} times"
    yield from (
        f"{path}: there was no error" for path in study.path.glob("jobs/*/*/attempt-*/error.txt")
    )


def _untold(sweep: "_Sweep", standard: Standard) -> Iterator[str]:
    """Jobs that the command did not name as finished."""
    yield from (
        f"{job}: was not named as finished"
        for job in standard.kept
        if job not in dict(sweep.acknowledged)
    )


def _disturbed(
    results: Path, acknowledged: list[tuple[str, Hashes]], standard: Standard
) -> list[str]:
    """The invariant after a kill: of the store, and that the same command would run just what has
    no result.
    """
    broken = violations(results, acknowledged, standard.expected)
    study = Study(results / session.STUDY)
    wanted = {job for job in standard.kept if not study.has_result(job)}
    if set(launch.plan(standard.request, study).wanted) != wanted:
        broken.append("planned again, it would not run just the jobs that have no result")
    return broken


def _unfinished(
    results: Path, acknowledged: list[tuple[str, Hashes]], standard: Standard
) -> list[str]:
    """The invariant once the command has come to its end: all is there, in the same bytes, and
    reported.
    """
    broken = _disturbed(results, acknowledged, standard)
    study = Study(results / session.STUDY)
    missing = [job for job in standard.kept if not study.has_result(job)]
    if broken or missing:
        return [*broken, *(f"{job}: has no result" for job in missing)]
    if table(study) != standard.expected.table:
        broken.append("the table of results is not that of an undisturbed run")
    for job, kept in standard.kept.items():
        found = _kept(study, job)
        broken += [f"{job}: {name} has other bytes" for name in _KEPT if found[name] != kept[name]]
    findings = read([study])
    broken += [
        f"reported as {kind}: {row}" for kind, rows in findings.problems.items() for row in rows
    ]
    if len(findings.members) != sum(len(members) for _, members in standard.request.shapes):
        broken.append(f"the report has {len(findings.members)} members")
    return broken


def _kept(study: Study, job: str) -> dict[str, bytes]:
    _, found = study.verified(job, _KEPT)
    return found


@final
@dataclass
class _Sweep:
    """One study, and the commands that run it one after the other."""

    folder: Path
    more: tuple[str, ...] = ()
    """What else is asked."""
    acknowledged: list[tuple[str, Hashes]] = field(default_factory=list)
    """Jobs that a command named as finished, and the hashes of their files when that was seen."""
    left: list[str] = field(default_factory=list)
    """What is wrong with how the last command went."""
    heard: int = 0
    """How many characters of what the present command said have been looked at."""

    @property
    def results(self) -> Path:
        return self.folder / "results"

    @property
    def study(self) -> Study:
        """Named as the scripted session's, whose invariant looks at it."""
        return Study(self.results / session.STUDY)

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        """The command, which leaves no process behind: afterwards `left` says if it would have."""
        self.heard, self.left = 0, []
        words = [
            "sweep",
            *_ASKED,
            *self.more,
            "--study",
            session.STUDY,
            "--results",
            str(self.results),
        ]
        with (
            (self.folder / "said").open("wb") as said,
            (self.folder / "report").open("wb") as report,
        ):
            command = subprocess.Popen(
                [sys.executable, "-m", "resformer", *words],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=report,
                stderr=said,
                start_new_session=True,
                preexec_fn=_as_by_hand,  # noqa: PLW1509  a lane has one thread
            )
        try:
            yield command
        finally:
            if command.returncode is None:
                _end(command)
            elif not _all_gone(command.pid, _LEAVING_SECONDS):
                self.left.append("processes are left behind")
                _end(command)
            self.listen()

    def said(self) -> str:
        """What the command said, in one line."""
        return " | ".join((self.folder / "said").read_text(errors="replace").splitlines())

    def listen(self) -> None:
        """Take note of what was acknowledged since."""
        said = (self.folder / "said").read_text(errors="replace")
        until = said.rfind("\n") + 1
        lines, self.heard = said[self.heard : until].splitlines(), until
        for line in lines:
            if match := _TOLD.fullmatch(line):
                job = self.job(match["label"])
                self.acknowledged.append((job, _hashes(self.study.job(job))))

    def job(self, label: str) -> str:
        """The job of that name."""
        (found,) = (
            job for job, planned in self.study.planned().items() if job_label(planned) == label
        )
        return str(found)

    def ended(self, command: subprocess.Popen[bytes]) -> int:
        """The exit code of a command that is let run."""
        self._wait(command, _LONGEST_SECONDS)
        if command.returncode is None:
            self.left.append(f"did not end in {_LONGEST_SECONDS:.0f} s")
            return -1
        return command.returncode

    def lived(self, command: subprocess.Popen[bytes], moment: str, draw: random.Random) -> bool:
        """Let it run until it is to be killed; False if it ended before."""
        if moment == "at start":
            return self._wait(command, draw.uniform(0, _START_SECONDS))
        before = len(self._claims())
        deadline = time.monotonic() + _LONGEST_SECONDS
        while len(self._claims()) == before and time.monotonic() < deadline:
            if not self._wait(command, _LOOK_SECONDS):
                return False
        return self._wait(command, draw.uniform(0, _TRAINING_SECONDS))

    def shoot(self, command: subprocess.Popen[bytes], draw: random.Random) -> str | None:
        """Kill a worker a random time after one holds a job; returns its job, or None if the
        command ended.
        """
        while not self._held():
            if not self._wait(command, _LOOK_SECONDS):
                return None
        self._wait(command, draw.uniform(0, _BETWEEN_SECONDS))
        while self._wait(command, _LOOK_SECONDS):
            held = self._held()
            if not held:
                continue
            worker = held[draw.choice(sorted(held))]
            # Stopped first, so that what it holds when it is killed is known.
            with suppress(ProcessLookupError):
                os.kill(worker, signal.SIGSTOP)
                if _is_stopped(worker) and (
                    jobs := [job for job, pid in self._held().items() if pid == worker]
                ):
                    os.kill(worker, signal.SIGKILL)
                    return jobs[0]
                os.kill(worker, signal.SIGCONT)
        return None

    def _held(self) -> dict[str, int]:
        """By job the process that holds it and lives."""
        found = {}
        for folder in self.study.path.glob("jobs/*/*"):
            who = claims.held(folder)
            if who is not None and who.holder is not None and not who.holder.gone():
                found[folder.name] = who.holder.pid
        return found

    def _claims(self) -> list[Path]:
        return [*self.study.path.glob("jobs/*/*/claim-*")]

    def _wait(self, command: subprocess.Popen[bytes], seconds: float) -> bool:
        """Listen for so long; whether the command still runs then."""
        deadline = time.monotonic() + seconds
        while command.poll() is None and time.monotonic() < deadline:
            self.listen()
            time.sleep(min(_LOOK_SECONDS, max(0.0, deadline - time.monotonic())))
        return command.poll() is None


def _hashes(job: Path) -> Hashes:
    """What is acknowledged; of a result that cannot be read nothing, which no later look will agree
    with.
    """
    try:
        return hashes(job)
    except (OSError, ValueError, KeyError):
        return {}


def _adopting() -> None:
    """Make this process the parent of those whose own one dies, so that it can wait for each of
    them.
    """
    _C.prctl(_SET_SUBREAPER, 1)


def _as_by_hand() -> None:
    """The signals of a command that a user started; it dies with whoever started it here."""
    _C.prctl(_SET_DEATH_SIGNAL, signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _end(command: subprocess.Popen[bytes]) -> None:
    """Kill all that a command started, and see every one of them dead."""
    with suppress(ProcessLookupError):
        os.killpg(command.pid, signal.SIGKILL)
    command.wait()
    if not _all_gone(command.pid, _LONGEST_SECONDS):
        raise RuntimeError("a process that was killed did not die")


def _all_gone(group: int, seconds: float) -> bool:
    """Whether the last process of a group, whose leader is dead and buried, has ended by then."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            pid, _ = os.waitpid(-group, os.WNOHANG)
        except ChildProcessError:
            return True
        if not pid:
            time.sleep(_LOOK_SECONDS)
    return False


def _is_stopped(process: int) -> bool:
    """Whether a process that was told to stop has; it may be dead instead."""
    deadline = time.monotonic() + _LEAVING_SECONDS
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return False
        if state in "TZX":
            return state == "T"
        time.sleep(0.001)
    return False
