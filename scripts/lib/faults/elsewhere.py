"""Kills and preemptions on clusters: of workers, nodes, and whoever waits for them, while real
sweeps run there.

The clusters are two nodes of Ray and two of Slurm on this machine, and two machines (processes of
their own, mounts of their own) that share a folder on a network file system. What runs is the
command as a user types it. After a blow to whoever waits, the same command is run again; after any
other nobody does anything.
"""

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import final

import psutil

from lib.clusters import glusterfs, loopback
from lib.faults.invariant import table
from lib.faults.outcome import Outcome
from resformer.results.members import read
from resformer.store import claims
from resformer.store.checks import Damaged
from resformer.store.study import Study

_NAME = "some"
_ASKED = (
    *("--study", _NAME, "task=copy,reverse", "task.length=5", "task.symbols=8"),
    *(
        "model.depth=1",
        "model.width=8",
        "model.heads=2",
        "model.residual=true,false",
        "model.norm=post,pre,sandwich",
    ),
    *(
        "member.seed=0",
        "member.lr=1e-3,1e-2,1e30",
        "train.steps=800",
        "train.eval_every=40",
        "train.eval_sequences=16",
    ),
    *("train.stop_when_solved=false", "train.compile=false", "train.checkpoint_seconds=0.2"),
    *("engine.workers=2", "engine.stack=3", "engine.retries=100"),
)
"""Twelve jobs, of which one member each diverges."""
_BLOWS, _PREEMPTIONS, _OF_ONE_STUDY, _MOST_STUDIES_A_BLOW = 20, 10, 5, 5
_LONGEST_SECONDS, _BETWEEN_SECONDS, _LOOK_SECONDS = 300.0, 1.5, 0.05

_ALONE = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
"""As on another machine: nobody outside sees its processes, and it ends as a whole."""


@final
@dataclass(frozen=True)
class Ground:
    """Where sweeps run: in which folder, and on what."""

    folder: Path
    words: Sequence[str]
    """Of the command, to choose an engine."""
    before: Sequence[str] = ()
    """What stands before the command."""


Place = Callable[[Path], AbstractContextManager[Sequence[Ground]]]
"""Given a folder for what it writes, the grounds of a place: what runs on the first is struck, on
the others not.
"""


@final
@dataclass
class Sweep:
    """A study, and the commands that run it on a ground, one after the other."""

    ground: Ground
    folder: Path
    said: Path
    """What they said."""
    draw: random.Random
    command: subprocess.Popen[bytes] = field(init=False)

    @property
    def study(self) -> Study:
        """In its folder."""
        return Study(self.folder / "results" / _NAME)

    def begin(self) -> None:
        """Type the command."""
        with self.said.open("ab") as said:
            self.command = subprocess.Popen(
                [
                    *self.ground.before,
                    sys.executable,
                    "-m",
                    "resformer",
                    "sweep",
                    *_ASKED,
                    *self.ground.words,
                ],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )

    def holders(self) -> dict[str, int]:
        """By job the process on this ground that holds it and lives."""
        found, namespace = {}, self._namespace()
        for job in self.study.path.glob("jobs/*/*"):
            holder = held.holder if (held := claims.held(job)) else None
            if holder is not None and holder.namespace == namespace and not holder.gone():
                found[job.name] = holder.pid
        return found

    def _namespace(self) -> str:
        """In which its processes have their numbers; "" as long as there is none."""
        if not self.ground.before:
            return claims.holder().namespace
        try:
            (inside, *_) = psutil.Process(self.command.pid).children()
            return str(Path(f"/proc/{inside.pid}/ns/pid").readlink())
        except (OSError, ValueError, psutil.Error):
            return ""

    def trains(self) -> bool:
        """Wait until somebody holds a job, and then a random time; False if the command ends
        before.
        """
        while not self.holders():
            if not self.runs(_LOOK_SECONDS):
                return False
        return self.runs(self.draw.uniform(0, _BETWEEN_SECONDS)) and bool(self.holders())

    def runs(self, seconds: float) -> bool:
        """Whether the command still does after so long."""
        deadline = time.monotonic() + seconds
        while self.command.poll() is None and time.monotonic() < deadline:
            time.sleep(_LOOK_SECONDS)
        return self.command.poll() is None

    def end(self) -> None:
        """Leave nothing running."""
        if self.command.poll() is None:
            os.killpg(self.command.pid, signal.SIGKILL)
        self.command.wait()


def _worker(sweep: Sweep) -> bool:
    try:
        os.kill(sweep.draw.choice(sorted(sweep.holders().values())), signal.SIGKILL)
    except (IndexError, ProcessLookupError):
        return False
    return True


def _node(sweep: Sweep) -> bool:
    loopback.lose_second_node()
    loopback.second_node()
    return True


def _driver(sweep: Sweep) -> bool:
    sweep.end()
    sweep.begin()
    return True


def _preemption(sweep: Sweep) -> bool:
    """Of both nodes; it is one once a pilot has left its job, and none if they finish all that they
    hold.
    """
    study = sweep.study
    open_jobs = [job for job in sweep.holders() if not study.has_result(job)]
    loopback.preempt(seconds=1)
    while open_jobs and sweep.runs(_LOOK_SECONDS):
        let_go = [job for job in open_jobs if claims.held(study.job(job)) is None]
        open_jobs = [
            job for job in open_jobs if not study.has_result(job)
        ]  # a job that is committed has one by then
        if set(let_go) & set(open_jobs):
            return True
    return False


def workers_of_ray(most: int | None, scratch: Path) -> Outcome:
    """Kill workers that hold a job."""
    return _campaign(
        "kill -9 of a worker of Ray", _on(loopback.ray), _worker, _BLOWS, most, scratch
    )


def nodes_of_ray(most: int | None, scratch: Path) -> Outcome:
    """Kill the raylet of the second node, and start it again."""
    return _campaign("kill -9 of a raylet", _on(loopback.ray), _node, _BLOWS, most, scratch)


def drivers_of_ray(most: int | None, scratch: Path) -> Outcome:
    """Kill the command, and type it again."""
    return _campaign("kill -9 of a sweep on Ray", _on(loopback.ray), _driver, _BLOWS, most, scratch)


def pilots_of_slurm(most: int | None, scratch: Path) -> Outcome:
    """Kill pilots that hold a job."""
    return _campaign(
        "kill -9 of a pilot on Slurm", _on(loopback.slurm), _worker, _BLOWS, most, scratch
    )


def drivers_of_slurm(most: int | None, scratch: Path) -> Outcome:
    """Kill the command, and type it again."""
    return _campaign(
        "kill -9 of a sweep on Slurm", _on(loopback.slurm), _driver, _BLOWS, most, scratch
    )


def preemptions(most: int | None, scratch: Path) -> Outcome:
    """Have a job of a higher partition take the nodes."""
    return _campaign(
        "preemption by Slurm", _on(loopback.slurm), _preemption, _PREEMPTIONS, most, scratch
    )


def machines(most: int | None, scratch: Path) -> Outcome:
    """Kill one of two machines that work on one study over a network file system, and start it
    again.
    """
    return _campaign(
        "kill -9 of a machine, over a network", _over_a_network, _driver, _BLOWS, most, scratch
    )


def _on(cluster: Callable[[], AbstractContextManager[list[str]]]) -> Place:
    @contextmanager
    def place(scratch: Path) -> Iterator[Sequence[Ground]]:
        with cluster() as words:
            yield [Ground(scratch, words)]

    return place


@contextmanager
def _over_a_network(scratch: Path) -> Iterator[Sequence[Ground]]:
    with glusterfs.mounted_twice() as mounts:
        yield [Ground(mount, ["engine.lease_seconds=5"], _ALONE) for mount in mounts]


def _campaign(
    fault: str,
    place: Place,
    blow: Callable[[Sweep], bool],
    wanted: int,
    most: int | None,
    scratch: Path,
) -> Outcome:
    began = time.perf_counter()
    expected = _undisturbed(scratch)
    wanted, blows, studies, failures, resumed = min(wanted, most or wanted), 0, 0, list[str](), 0
    with place(scratch) as grounds:
        while blows < wanted and not failures:
            with ExitStack() as running:
                sweeps = [
                    running.enter_context(_sweep(ground, str(studies), scratch))
                    for ground in grounds
                ]
                first, struck = sweeps[0], 0
                while struck < min(_OF_ONE_STUDY, wanted - blows) and first.trains():
                    struck += blow(first)
                for sweep in sweeps:
                    sweep.runs(_LONGEST_SECONDS)
                    failures += [
                        f"study {studies}, {struck} blows: {problem}"
                        for problem in _broken(sweep, expected)
                    ]
                    resumed += sweep.said.read_text(errors="replace").count("goes on from step")
            blows, studies = blows + struck, studies + 1
            if studies > _MOST_STUDIES_A_BLOW * (1 + blows):
                failures.append(f"{studies} studies ended, {blows} blows fell")
    notes = (
        f"{studies} studies of 12 jobs, with engine.retries=100 since each blow is an attempt",
        f"{resumed} times a job went on from a checkpoint",
    )
    return Outcome(fault, blows, failures, time.perf_counter() - began, notes)


@contextmanager
def _sweep(ground: Ground, name: str, scratch: Path) -> Iterator[Sweep]:
    folder = ground.folder / name
    folder.mkdir(exist_ok=True)  # another ground may show the same folder
    with tempfile.NamedTemporaryFile(dir=scratch, prefix="said-") as said:
        sweep = Sweep(ground, folder, Path(said.name), random.Random(name))
        sweep.begin()
        try:
            yield sweep
        finally:
            sweep.end()


def _undisturbed(scratch: Path) -> str:
    """The table of results of a local sweep that nobody strikes."""
    with _sweep(Ground(scratch, ["engine=local"]), "undisturbed", scratch) as sweep:
        sweep.runs(_LONGEST_SECONDS)
        if sweep.command.returncode:
            raise RuntimeError(f"an undisturbed sweep: {sweep.said.read_text(errors='replace')}")
        return table(sweep.study)


def _broken(sweep: Sweep, expected: str) -> Iterator[str]:
    """What does not hold of a study whose last command ought to have ended."""
    study, code = sweep.study, sweep.command.poll()
    if code != 0:
        said = " | ".join(sweep.said.read_text(errors="replace").splitlines()[-3:])
        yield f"{'did not end' if code is None else f'exit code {code}'}: {said}"
    for job in study.planned():
        try:
            study.verified(job)
        except Damaged as damage:
            yield str(damage)
    yield from (
        f"{path}: there was no error" for path in study.path.glob("jobs/*/*/attempt-*/error.txt")
    )
    if code == 0 and table(study) != expected:
        yield "the table of results is not that of an undisturbed run"
    yield from (
        f"reported as {kind}: {row}"
        for kind, rows in read([study]).problems.items()
        for row in rows
    )
