"""The store under whatever workers can do to each other, against a model of what must be left of it
(hypothesis).

Workers are simulated: each has a process that can die, a clock they share, and what it has seen of
the others.
"""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from support.jobs import planned_job

from resformer.store import checkpoints, claims
from resformer.store.checkpoints import Checkpoint
from resformer.store.checks import Damaged
from resformer.store.claims import Claim, HeartbeatObserver, Holder, Lost
from resformer.store.study import Study

pytestmark = [pytest.mark.fuzz, pytest.mark.no_cover]

LEASE, STEPS = 60.0, 5000
JOBS = ["job1", "job2", "job3"]


@dataclass
class World:
    """The world outside the store: a clock, and processes by pid, of which some still run."""

    now: float = 1000.0
    running: set[int] = field(default_factory=set)
    acting: int = 0


@dataclass
class Worker:
    """A simulated process, and the claim it believes to hold."""

    pid: int
    observer: HeartbeatObserver
    claim: Claim | None = None


@dataclass
class Attempt:
    """The model's knowledge of one attempt at a job."""

    pid: int
    launch: int
    beat_at: float
    over: bool = False
    left: bool = False


class Store(RuleBasedStateMachine):
    """Rules are what workers, crashes and disks do; invariants are what must hold after each."""

    world = World()
    steps_taken = 0

    def __init__(self) -> None:
        super().__init__()
        Store.world = World()
        self.folder = Path(tempfile.mkdtemp())
        self.study = Study(self.folder / "results" / "modelled")
        self.workers: list[Worker] = []
        self.attempts: dict[str, list[Attempt]] = {job: [] for job in JOBS}
        self.acknowledged: dict[str, dict[str, bytes]] = {}
        """By job, the files of the result that counts."""
        self.saved: dict[str, int] = {}
        """By job, the step of the checkpoint that is furthest on."""
        self.results = dict.fromkeys(JOBS, 0)
        """Results that were ever committed."""
        self.launched, self.retries = 0, 0

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    @initialize(workers=st.integers(2, 4), retries=st.integers(0, 2))
    def begin(self, workers: int, retries: int) -> None:
        for _ in range(workers):
            self.workers.append(self._process())
        self._launch(retries, JOBS)

    def _process(self) -> Worker:
        pid = 100 + max((worker.pid for worker in self.workers), default=0)
        self.world.running.add(pid)
        return Worker(pid, HeartbeatObserver(LEASE))

    def _launch(self, retries: int, jobs: list[str]) -> None:
        number = self.study.launch(
            {"engine": {"retries": retries}}, [planned_job(job) for job in jobs]
        )
        self.launched, self.retries = self.launched + 1, retries
        assert number == self.launched

    @contextlib.contextmanager
    def _as(self, worker: Worker) -> Iterator[None]:
        self.world.acting = worker.pid
        yield

    def _latest(self, job: str) -> Attempt | None:
        return self.attempts[job][-1] if self.attempts[job] else None

    def _own(self, claim: Claim) -> Attempt:
        return self.attempts[claim.job.name][claim.attempt - 1]

    # --- what workers do

    @rule(retries=st.integers(0, 2))
    def launch_again(self, retries: int) -> None:
        """Which gives failed jobs fresh retries."""
        self._launch(retries, [])

    @rule(which=st.integers(0, 3), job=st.sampled_from(JOBS))
    def take(self, which: int, job: str) -> None:
        worker, last = self.workers[which % len(self.workers)], self._latest(job)
        failed = sum(one.launch == self.launched and not one.left for one in self.attempts[job])
        with self._as(worker):
            if worker.claim is not None or self.study.results.has(job):
                return
            got = claims.take(self.study.job(job), self.launched, self.retries, worker.observer)
        dead = last is None or last.over or last.pid not in self.world.running
        silent = last is not None and self.world.now - last.beat_at > LEASE
        if isinstance(got, Claim):
            assert dead or silent, "it was taken from somebody who lives"
            assert got.attempt == len(self.attempts[job]) + 1
            assert failed <= self.retries
            worker.claim = got
            self.attempts[job].append(Attempt(worker.pid, self.launched, self.world.now))
            checkpoint = next(checkpoints.best_first(got.job), None)
            assert (checkpoint.step if checkpoint else None) == self.saved.get(job)
        elif got == "exhausted":
            assert dead or silent
            assert failed > self.retries
        else:
            assert not dead, "nobody holds it"

    @rule(which=st.integers(0, 3))
    def train_on(self, which: int) -> None:
        worker = self.workers[which % len(self.workers)]
        if worker.claim is None:
            return
        lost = len(self.attempts[worker.claim.job.name]) > worker.claim.attempt
        with self._as(worker):
            try:
                worker.claim.beat()
                beaten = worker.claim.last_beat == self.world.now
                assert not (lost and beaten)
                self._own(worker.claim).beat_at = (
                    self.world.now if beaten else self._own(worker.claim).beat_at
                )
            except Lost:
                assert lost
                worker.claim = None

    @rule(which=st.integers(0, 3), steps=st.integers(1, 5))
    def put_away(self, which: int, steps: int) -> None:
        worker = self.workers[which % len(self.workers)]
        if worker.claim is None:
            return
        job = worker.claim.job.name
        with self._as(worker):
            step = self.saved.get(job, 0) + steps
            checkpoints.save(worker.claim, Checkpoint(step, b"x" * step, {"by": worker.pid}))
        self.saved[job] = step

    @rule(which=st.integers(0, 3), end=st.sampled_from(["commit", "commit", "fail", "leave"]))
    def end(self, which: int, end: str) -> None:
        worker = self.workers[which % len(self.workers)]
        if worker.claim is None:
            return
        claim, job = worker.claim, worker.claim.job.name
        worker.claim = None
        with self._as(worker):
            if end == "commit":
                columns = {"runs": {"seed": [worker.pid]}, "curves": {"step": [claim.attempt]}}
                first = self.study.results.commit(claim, columns, {"seconds": 1.0, "stretches": []})
                assert first == (job not in self.acknowledged)
                if first:
                    self.saved.pop(job, None)
                    self.acknowledged[job] = self.study.results.read(job).contents
                    self.results[job] += 1
            elif end == "fail":
                claim.fail(RuntimeError("on purpose"))
            else:
                claim.leave()
        self._own(claim).over, self._own(claim).left = True, end == "leave"

    # --- what happens to them

    @rule(which=st.integers(0, 3))
    def die(self, which: int) -> None:
        """At any moment between two calls; its place is taken by a new process."""
        number = which % len(self.workers)
        self.world.running.discard(self.workers[number].pid)
        self.workers[number] = self._process()

    @rule(seconds=st.sampled_from([0.5, 2.0, 30.0, 61.0, 200.0]))
    def wait(self, seconds: float) -> None:
        self.world.now += seconds

    @precondition(lambda self: self.acknowledged)
    @rule(data=st.data())
    def damage(self, data: st.DataObject) -> None:
        """A bit of a result flips; a sweep finds it, and the job is open again."""
        job = data.draw(st.sampled_from(sorted(self.acknowledged)))
        result = self.study.results.path(job)
        attempt = self.study.results.read(job).attempt
        name = data.draw(
            st.sampled_from(
                [result.name, *(f"attempt-{attempt}/{name}" for name in self.acknowledged[job])]
            )
        )
        path = result.parent / name
        bad = bytearray(path.read_bytes())
        bit = data.draw(st.integers(0, 8 * len(bad) - 9))  # but not of the line's end
        bad[bit // 8] ^= 1 << bit % 8
        path.write_bytes(bad)
        with pytest.raises(Damaged) as damage:
            self.study.results.read(job)
        for _ in range(data.draw(st.integers(1, 2))):  # two sweeps may find it
            self.study.results.quarantine(result, str(damage.value))
        del self.acknowledged[job]

    @rule(torn=st.booleans())
    def lose_the_lists(self, torn: bool) -> None:
        """They are a cache."""
        for path in self.study.path.glob("done/*"):
            if torn:
                path.write_bytes(path.read_bytes()[:-3])
            else:
                path.unlink()

    # --- what must hold

    @invariant()
    def every_acknowledged_result_is_there_and_no_other(self) -> None:
        if not self.launched:
            return
        assert self.study.results.finished(JOBS) == self.acknowledged.keys()
        for job in JOBS:
            assert self.study.results.has(job) == (job in self.acknowledged)
            if job in self.acknowledged:
                assert self.study.results.read(job).contents == self.acknowledged[job]
            there = self.study.job(job).glob("result*.json")
            assert len(list(there)) == self.results[job]

    @invariant()
    def the_study_opens(self) -> None:
        if self.launched:
            Store.steps_taken += 1
            plan = self.study.plan()
            assert (list(plan.jobs), plan.damaged) == (JOBS, [])
            assert len(self.study.launches()) == self.launched
            assert list(self.study.orphans(plan.jobs)) == []

    @invariant()
    def a_failure_is_one_that_nobody_will_mend(self) -> None:
        for job in JOBS if self.launched else []:
            reason, last = self.study.failure(job), self._latest(job)
            if reason is not None:
                assert job not in self.acknowledged
                assert last is not None
                assert last.over or last.pid not in self.world.running


def test_no_result_is_lost_whatever_workers_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def holder() -> Holder:
        return Holder("here", "boot", "namespace", Store.world.acting, str(Store.world.acting))

    monkeypatch.setattr(claims, "holder", holder)
    monkeypatch.setattr(
        claims,
        "_process",
        lambda pid: ("R" if pid in Store.world.running else "Z", str(pid)),
    )
    monkeypatch.setattr(claims.time, "monotonic", lambda: Store.world.now)
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    Store.steps_taken = 0
    health = [HealthCheck.too_slow, HealthCheck.data_too_large]
    run_state_machine_as_test(
        Store,
        settings=settings(
            max_examples=90, stateful_step_count=80, deadline=None, suppress_health_check=health
        ),
    )
    assert Store.steps_taken >= STEPS
