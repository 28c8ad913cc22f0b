"""kill -9 at random moments of real training: of the whole sweep, as a power cut does, and of one
worker of it. All that is random is drawn from seeds.
"""

import os
import random
import re
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Literal, final

import psutil

from lib.faults import forked, session
from lib.faults.campaign import Campaign, Outcome, Verdict, tried, workshop
from lib.faults.command import GRID, LONGEST_SECONDS, LOOK_SECONDS, Command
from lib.faults.invariant import (
    Expected,
    Hashes,
    acknowledged,
    errors,
    expected,
    violations,
)
from lib.faults.processes import adopt
from resformer import config
from resformer.store.shapes import job_label
from resformer.store.study import Study
from resformer.sweep import launch

_WORDS = (*GRID, "train.steps=250", "train.keep_weights=true")
"""Six seconds for two workers."""
_COMPARED = ("runs.parquet", "curves.parquet", "weights.safetensors")
_KILLS, _WORKERS_KILLED = 100, 50
_KILLS_OF_ONE_TRIAL = 5
_AT_START = 0.15
"""Share of the kills in the first seconds of the command, most of which it spends on imports."""
_START_SECONDS, _TRAINING_SECONDS, _BETWEEN_SECONDS = 3.0, 3.0, 1.2
"""The longest times from the start, from the first claim, and between workers, to a kill."""
_LEAVING_SECONDS = 5.0
_FINISHED = re.compile(
    r"\[\d+/\d+\] (?P<label>[^:]+): (finished|\d+ (?:solved|unsolved|diverged)\b).*"
)

Moment = Literal["at start", "training"]


@final
@dataclass(frozen=True)
class Standard:
    """Results of an undisturbed command."""

    expected: Expected
    files: dict[str, dict[str, bytes]]
    """By job the files of its result that have no wall times in them."""


@final
@dataclass(frozen=True)
class Series:
    """So many kills, at moments drawn by this seed."""

    seed: int
    kills: int

    def __str__(self) -> str:
        return f"{self.kills} kills of seed {self.seed}"


def _campaign(
    judge: Callable[[Standard, Series, Path], Verdict],
    kills: int,
    most: int | None,
    scratch: Path,
) -> Outcome:
    session.ready()
    kills = kills if most is None else min(kills, most)
    standard = _undisturbed()
    whole, rest = divmod(kills, _KILLS_OF_ONE_TRIAL)
    series = [Series(seed, _KILLS_OF_ONE_TRIAL) for seed in range(whole)]
    series += [Series(whole, rest)] if rest else []
    return tried(series, partial(judge, standard), scratch, points=kills, prepare=adopt)


@cache
def _undisturbed() -> Standard:
    """Run the command once with nobody killing it; RuntimeError unless it ends well."""
    adopt()
    with workshop() as folder:
        return _standard(_Sweep(folder / "undisturbed"))


def _standard(sweep: "_Sweep") -> Standard:
    with sweep.running():
        sweep.ends()
    study, request = sweep.command.study, config.request(session.STUDY, list(_WORDS))
    jobs = [*study.planned()]
    if sweep.broken or study.results.finished(jobs) != set(jobs):
        raise RuntimeError(f"an undisturbed sweep: {sweep.broken}: {sweep.command.line()}")
    standard = Standard(
        expected=expected(sweep.command.results, request),
        files={job: dict(study.results.read(job, _COMPARED).contents) for job in jobs},
    )
    broken = [
        *sweep.unnamed(standard),
        *_violations(sweep.command.results, sweep.acknowledged, standard, finished=True),
    ]
    if broken:
        raise RuntimeError(f"an undisturbed sweep: {'; '.join(broken)}")
    return standard


def _killed(standard: Standard, series: Series, folder: Path) -> Verdict:
    """Kill, look, run again and kill again, until all is finished; then look closely, and begin
    another.
    """
    draw = random.Random(series.seed)
    failures: list[str] = []
    ends: list[str] = []
    kills = 0
    while kills < series.kills:
        sweep = _Sweep(folder / str(len(ends)))
        ended = False
        while not ended:
            moment: Moment | None = None
            if kills < series.kills:
                moment = "at start" if draw.random() < _AT_START else "training"
            with sweep.running():
                ended = moment is None or not sweep.reaches(moment, draw)
                if ended:
                    sweep.ends()
            if not ended:
                kills += 1
                ends.append(f"killed {moment}")
                broken = sweep.broken + sweep.checked(standard, finished=False)
                failures += [f"{series}, kill {kills}, {moment}: {text}" for text in broken]
        ends.append("finished")
        broken = sweep.broken + sweep.checked(standard, finished=True)
        failures += [f"{series}, after kill {kills}: {text}" for text in broken]
    return Verdict(tuple(failures), tuple(ends))


def _bereaved(standard: Standard, series: Series, folder: Path) -> Verdict:
    """Kill one worker after the other; then look at whose job was touched, and begin another."""
    draw = random.Random(series.seed)
    failures: list[str] = []
    ends: list[str] = []
    kills = 0
    while kills < series.kills:
        sweep = _Sweep(folder / str(len(ends)), (f"engine.retries={series.kills}",))
        victims: list[str] = []
        with sweep.running():
            while kills + len(victims) < series.kills and (job := sweep.shoot(draw)) is not None:
                victims.append(job)
            sweep.ends()
        kills += len(victims)
        ends += [*["worker killed"] * len(victims), "finished"]
        broken = [
            *sweep.broken,
            *_touched(sweep.command.study, victims, standard),
            *sweep.checked(standard, finished=True),
            *sweep.unnamed(standard),
        ]
        failures += [f"{series}, after kill {kills}: {text}" for text in broken]
    return Verdict(tuple(failures), tuple(ends))


SWEEPS = Campaign(
    name="kills",
    fault="kill -9 of the whole sweep",
    short=2,
    full=None,
    run=partial(_campaign, _killed, _KILLS),
)
WORKERS = Campaign(
    name="workers",
    fault="kill -9 of one worker",
    short=2,
    full=None,
    run=partial(_campaign, _bereaved, _WORKERS_KILLED),
)


def _touched(study: Study, victims: Sequence[str], standard: Standard) -> Iterator[str]:
    """Name jobs that began again though their worker was not killed, and errors."""
    deaths = Counter(victims)
    for job in standard.files:
        attempts = len([*study.job(job).glob("attempt-*")])
        if attempts > 1 + deaths[job]:
            yield f"{job}: {attempts} attempts, and its worker was killed {deaths[job]} times"
    yield from errors(study)


def _violations(
    results: Path, acknowledged: list[tuple[str, Hashes]], standard: Standard, *, finished: bool
) -> list[str]:
    """Check the invariant, that the same command would run just what has no result, and, of a
    finished one, that all is there in the same bytes.
    """
    broken = violations(results, acknowledged, standard.expected, finished=finished)
    study = Study(results / session.STUDY)
    missing = {job for job in standard.files if not study.results.has(job)}
    if set(launch.plan(standard.expected.request, study).unfinished) != missing:
        broken.append("planned again, it would not run just the jobs that have no result")
    if finished and not broken:
        for job, files in standard.files.items():
            data = study.results.read(job, _COMPARED).contents
            broken += [
                f"{job}: {name} has other bytes" for name in _COMPARED if data[name] != files[name]
            ]
    return broken


@final
class _Sweep:
    """One study, and the commands that run it one after the other."""

    def __init__(self, folder: Path, words: Sequence[str] = ()) -> None:
        folder.mkdir()
        self.command = Command(folder=folder, words=[*_WORDS, *words], log=folder / "log")
        self.acknowledged: list[tuple[str, Hashes]] = []
        """Jobs named as finished, and the hashes of their files when that was seen."""
        self.broken: list[str] = []
        """Faults of the last command's run."""
        self._read = 0
        """Characters of the log that have been looked at."""

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run the command, which leaves no process behind; `broken` says if it would have."""
        self.broken = []
        self.command.start()
        try:
            yield
        finally:
            if self.command.process.returncode is None:
                self.command.kill()
            elif not self.command.gone(_LEAVING_SECONDS):
                self.broken.append("processes are left behind")
                self.command.kill()
            self._listen()

    def ends(self) -> None:
        """Let the command run to its end."""
        self._waits(LONGEST_SECONDS)
        self.broken += self.command.failure()

    def checked(self, standard: Standard, *, finished: bool) -> list[str]:
        """Check the study in a process of its own."""
        question = partial(_violations, finished=finished)
        return forked.ask(question, self.command.results, self.acknowledged, standard)

    def unnamed(self, standard: Standard) -> list[str]:
        """List jobs that the command did not name as finished."""
        missing = standard.files.keys() - dict(self.acknowledged).keys()
        return [f"{job}: was not named as finished" for job in missing]

    def reaches(self, moment: Moment, draw: random.Random) -> bool:
        """Let the command run until it is to be killed; False if it ended before."""
        if moment == "at start":
            return self._waits(draw.uniform(0, _START_SECONDS))
        before = self._claims()
        deadline = time.monotonic() + LONGEST_SECONDS
        while self._claims() == before and time.monotonic() < deadline:
            if not self._waits(LOOK_SECONDS):
                return False
        return self._waits(draw.uniform(0, _TRAINING_SECONDS))

    def shoot(self, draw: random.Random) -> str | None:
        """Kill a worker a random time after one holds a job; returns its job, or None if the
        command ended.
        """
        if not self.command.trains(self._listen):
            return None
        self._waits(draw.uniform(0, _BETWEEN_SECONDS))
        while self._waits(LOOK_SECONDS):
            held = self.command.holders()
            if not held:
                continue
            worker = held[draw.choice(sorted(held))]
            # Stopped first, so that its job when it is killed is known.
            with suppress(ProcessLookupError):
                os.kill(worker, signal.SIGSTOP)
                stopped = _is_stopped(worker)
                jobs = [job for job, pid in self.command.holders().items() if pid == worker]
                if stopped and jobs:
                    os.kill(worker, signal.SIGKILL)
                    return jobs[0]
                os.kill(worker, signal.SIGCONT)
        return None

    def _claims(self) -> int:
        return len([*self.command.study.path.glob("jobs/*/*/claim-*")])

    def _waits(self, seconds: float) -> bool:
        """Listen for so long at most; True if the command still runs then."""
        return self.command.runs(seconds, self._listen)

    def _listen(self) -> None:
        """Take note of what was acknowledged since."""
        text = self.command.text()
        until = text.rfind("\n") + 1
        lines, self._read = text[self._read : until].splitlines(), until
        for line in lines:
            if match := _FINISHED.fullmatch(line):
                study = self.command.study
                planned = study.planned().items()
                (job,) = (name for name, job in planned if job_label(job) == match["label"])
                self.acknowledged.append(acknowledged(study, job))


def _is_stopped(process: int) -> bool:
    """Wait until a process that was told to stop has; False if it is dead instead."""
    deadline = time.monotonic() + _LEAVING_SECONDS
    while time.monotonic() < deadline:
        try:
            status = psutil.Process(process).status()
        except psutil.NoSuchProcess:
            return False
        if status in (psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
            return bool(status == psutil.STATUS_STOPPED)
        time.sleep(0.001)
    return False
