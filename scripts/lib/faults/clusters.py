"""Kills and preemptions on clusters: of workers, nodes, and whoever waits for them.

The clusters are two nodes of Ray and two of Slurm on this machine, and two machines (processes of
their own, mounts of their own) that share a folder on a network file system. What runs is the
command as a user types it. After a blow to whoever waits, the same command is run again; after any
other nobody does anything.
"""

import os
import random
import signal
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import final

from lib.clusters import glusterfs, loopback
from lib.faults.campaign import Campaign, Outcome
from lib.faults.command import GRID, LOOK_SECONDS, Command
from lib.faults.invariant import Expected, errors, expected, violations
from lib.faults.session import STUDY
from resformer import config
from resformer.store import claims

_WORDS = (*GRID, "train.steps=800", "engine.retries=100")
_BLOWS, _PREEMPTIONS, _OF_ONE_STUDY, _MOST_STUDIES_A_BLOW = 20, 10, 5, 5
_LONGEST_SECONDS, _BETWEEN_SECONDS = 300.0, 1.5
_ALONE = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
"""Processes as on another machine: nobody outside sees them, and they end as a whole."""


@final
@dataclass(frozen=True)
class Ground:
    """Folder of a sweep, the words that choose its engine, and those before the command."""

    folder: Path
    words: Sequence[str]
    before: Sequence[str] = ()


Place = Callable[[Path], AbstractContextManager[Sequence[Ground]]]
"""Makes the grounds of a cluster, given a folder: blows fall on the first one only."""


@final
@dataclass
class Sweep:
    """A study on a ground; all that is random is drawn from `draw`."""

    command: Command
    draw: random.Random

    def trains(self) -> bool:
        """Wait until somebody holds a job, then a random time; False if the command ends before."""
        if not self.command.trains():
            return False
        still = self.command.runs(self.draw.uniform(0, _BETWEEN_SECONDS))
        return still and bool(self.command.holders())

    def end(self) -> None:
        """Leave nothing running."""
        if self.command.process.poll() is None:
            self.command.kill()

    def broken(self, expected: Expected) -> list[str]:
        """List what does not hold of a study whose last command ought to have ended."""
        results, failure = self.command.results, self.command.failure()
        broken = [*failure, *errors(self.command.study)]
        return broken + violations(results, [], expected, finished=not failure)


# --- blows: each returns True if it fell


def _worker(sweep: Sweep) -> bool:
    try:
        os.kill(sweep.draw.choice(sorted(sweep.command.holders().values())), signal.SIGKILL)
    except (IndexError, ProcessLookupError):
        return False
    return True


def _node(sweep: Sweep) -> bool:
    loopback.lose_second_node()
    loopback.second_node()
    return True


def _driver(sweep: Sweep) -> bool:
    sweep.end()
    sweep.command.start()
    return True


def _preemption(sweep: Sweep) -> bool:
    """Preempt both nodes; it fell once a pilot has left its job, not if all jobs end."""
    study = sweep.command.study
    jobs = [job for job in sweep.command.holders() if not study.results.has(job)]
    loopback.preempt(seconds=1)
    while jobs and sweep.command.runs(LOOK_SECONDS):
        let_go = [job for job in jobs if claims.held(study.job(job)) is None]
        # A job that was let go because it is committed has a result by then.
        jobs = [job for job in jobs if not study.results.has(job)]
        if set(let_go) & set(jobs):
            return True
    return False


# --- places


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


# --- the campaigns


def _campaign(
    place: Place, blow: Callable[[Sweep], bool], blows: int, most: int | None, scratch: Path
) -> Outcome:
    """Strike one study after the other until so many blows fell, or something is broken."""
    standard = _undisturbed(scratch)
    goal = min(blows, most or blows)
    fallen = studies = resumed = 0
    failures: list[str] = []
    with place(scratch) as grounds:
        while fallen < goal and not failures:
            with ExitStack() as running:
                sweeps = [
                    running.enter_context(_sweep(ground, str(studies), scratch))
                    for ground in grounds
                ]
                struck = 0
                while struck < min(_OF_ONE_STUDY, goal - fallen) and sweeps[0].trains():
                    struck += blow(sweeps[0])
                for sweep in sweeps:
                    sweep.command.runs(_LONGEST_SECONDS)
                    failures += [
                        f"study {studies}, {struck} blows: {problem}"
                        for problem in sweep.broken(standard)
                    ]
                    resumed += sweep.command.text().count("goes on from step")
            fallen, studies = fallen + struck, studies + 1
            if studies > _MOST_STUDIES_A_BLOW * (1 + fallen):
                failures.append(f"{studies} studies ended, {fallen} blows fell")
    notes = (
        f"{studies} studies of 12 jobs, with engine.retries=100 since each blow is an attempt",
        f"{resumed} times a job went on from a checkpoint",
    )
    return Outcome(points=fallen, failures=failures, notes=notes)


@contextmanager
def _sweep(ground: Ground, name: str, scratch: Path) -> Iterator[Sweep]:
    folder = ground.folder / name
    folder.mkdir(exist_ok=True)  # another ground may show the same folder
    with tempfile.NamedTemporaryFile(dir=scratch, prefix="log-") as log:
        command = Command(
            folder=folder,
            words=[*_WORDS, *ground.words],
            log=Path(log.name),
            before=ground.before,
        )
        sweep = Sweep(command, random.Random(name))
        command.start()
        try:
            yield sweep
        finally:
            sweep.end()


def _undisturbed(scratch: Path) -> Expected:
    """Results of a local sweep that nobody strikes."""
    with _sweep(Ground(scratch, ["engine=local"]), "undisturbed", scratch) as sweep:
        sweep.command.runs(_LONGEST_SECONDS)
        if failure := sweep.command.failure():
            raise RuntimeError(f"an undisturbed sweep: {failure}")
        request = config.request(STUDY, sweep.command.words)
        return expected(sweep.command.results, request)


def _of(
    name: str, fault: str, place: Place, blow: Callable[[Sweep], bool], blows: int = _BLOWS
) -> Campaign:
    run = partial(_campaign, place, blow, blows)
    return Campaign(name=name, fault=fault, short=0, full=None, run=run)


_RAY, _SLURM = _on(loopback.ray), _on(loopback.slurm)
CAMPAIGNS = (
    _of("ray-workers", "kill -9 of a worker of Ray", _RAY, _worker),
    _of("ray-nodes", "kill -9 of a raylet", _RAY, _node),
    _of("ray-sweeps", "kill -9 of a sweep on Ray", _RAY, _driver),
    _of("slurm-pilots", "kill -9 of a pilot on Slurm", _SLURM, _worker),
    _of("slurm-sweeps", "kill -9 of a sweep on Slurm", _SLURM, _driver),
    _of("preemptions", "preemption by Slurm", _SLURM, _preemption, _PREEMPTIONS),
    _of("hosts", "kill -9 of a host, over a network", _over_a_network, _driver),
)
