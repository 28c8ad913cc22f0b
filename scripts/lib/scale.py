"""Time what grows with a study: a report of 100,000 runs, and 100,000 jobs, none of them trained.

scale.txt, facts.json   seconds (a quick command is timed five times: the median, and the range),
                        memory and folder sizes; command, versions, machine
"""

import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, final

import numpy as np

from lib import facts
from lib.facts import REFERENCE, commit
from resformer import __version__, config
from resformer.model.shape import Member
from resformer.plan.jobs import Job
from resformer.plan.provenance import machine
from resformer.residuals.plain import Plain
from resformer.store import claims
from resformer.store.claims import Claim, HeartbeatObserver
from resformer.store.queue import Queue
from resformer.store.study import Study
from resformer.store.tables import written
from resformer.sweep import launch
from resformer.sweep.request import Request
from resformer.training.outcome import Record, curves, runs

STEPS, REPEATS = 600, 5
GRID = (
    "task=copy",
    "model.depth=1,2,4,8,16",
    "model.residual=false,true",
    "model.norm=pre,post,sandwich,pre_post",
    "model.width=16,32,64,128",
    "train.batch=8,16,32,64,128",
    "train.warmup_steps=0,25,50,100,200",
    f"train.steps={STEPS}",
    "train.compile=false",
    "member.seed=range(0,5)",
    "member.lr=3e-4,1e-3,3e-3,1e-2,3e-2",
    "engine.retries=0",
    "device=cpu",
)
"""4,000 cells of 25 runs each."""
WORKERS, SECONDS = (1, 8, 64), 20.0
"""Numbers of workers that take jobs at once, each for so long, the last until none is left."""

Outcome = tuple[dict[str, dict[str, Any]], dict[str, Any]]
"""Tables and timing of a job."""


def main() -> None:
    """Make, time, write, print."""
    target = REFERENCE / "scale"
    circumstances: dict[str, Any] = {"command": "scripts/scale", "commit": commit()}
    with tempfile.TemporaryDirectory() as scratch:
        lines = [*many_jobs(Path(scratch) / "jobs"), "", *many_runs(Path(scratch) / "runs")]
    text = "\n".join(lines)
    target.mkdir(parents=True, exist_ok=True)
    (target / "scale.txt").write_text(text + "\n")
    circumstances |= {"versions": {"resformer": __version__}, "machine": machine()}
    facts.write(target / "facts.json", circumstances)
    print(text)


@cache
def requested(*overrides: str) -> Request:
    """A request for all runs."""
    return config.request("synthetic", [*GRID, *overrides])


def launched(path: Path, *overrides: str) -> tuple[Study, dict[str, Job]]:
    """Plan all runs; returns the study, and its jobs by id."""
    study = Study(path)
    plan = launch.plan(requested(*overrides), study)
    plan.start(["sweep"])
    return study, {job.id: job for job in plan.new}


# 100,000 jobs of one run each


def many_jobs(results: Path) -> list[str]:
    """Plan them, hand them out, look at them, gather them."""
    requested("engine.stack=1")  # resolved before the clock starts
    began = time.perf_counter()
    study, jobs = launched(results / "synthetic", "engine.stack=1")
    seconds = time.perf_counter() - began
    lines = [
        f"{len(jobs):,} jobs of one run each: planned and on disk in {seconds:.1f} s",
        "",
        "  workers   claims/s   jobs/s: claimed, begun and committed",
    ]
    committed = 0
    for workers in WORKERS:
        # In a study of its own, where nothing is finished, so that all stays held.
        claimed, _ = launched(results / f"claimed-{workers}", "engine.stack=1")
        held, claims_a_second = handed_out(claimed, jobs, workers, SECONDS / 2, commit=False)
        assert count_of(claimed, "claim-*") == held
        shutil.rmtree(claimed.path)
        limit = None if workers == WORKERS[-1] else SECONDS
        done, jobs_a_second = handed_out(study, jobs, workers, limit, commit=True)
        lines.append(f"  {workers:7}{claims_a_second:11.0f}{jobs_a_second:9.0f}")
        committed += done
    assert count_of(study, "claim-*") == count_of(study, "result.json") == committed == len(jobs)
    lines += [f"  no job was claimed or run twice: {committed:,} claims and results", ""]
    lines += looked_at(results, "as they are")
    gathered = call(results, "gather", "synthetic")
    lines += ["", row("gather", [gathered]), *looked_at(results, "gathered")]
    shutil.rmtree(results)
    return lines


def count_of(study: Study, name: str) -> int:
    """Count such files in the folders of jobs."""
    return sum(1 for _ in study.path.glob(f"jobs/*/*/{name}"))


def handed_out(
    study: Study, jobs: dict[str, Job], workers: int, seconds: float | None, *, commit: bool
) -> tuple[int, float]:
    """Have so many workers take jobs for so many seconds (None: until there is none left); returns
    how many they got, and how many a second.
    """
    # Forked, so that each has the jobs at once, and all that it has to import.
    context = multiprocessing.get_context("fork")
    written(outcome(next(iter(jobs.values())), np.random.default_rng(0))[0]["runs"])
    counts, ready = context.SimpleQueue(), context.Barrier(workers + 1)

    def work(lane: int) -> None:
        queue = Queue(
            study,
            jobs=list(jobs),
            launch=1,
            retries=0,
            observer=HeartbeatObserver(60.0),
            lane=lane,
            lanes=workers,
        )
        generator, done = np.random.default_rng(lane), 0
        ready.wait()
        began = time.perf_counter()
        while queue.left and (seconds is None or time.perf_counter() - began < seconds):
            claim = queue.take()
            if isinstance(claim, Claim):
                job = jobs[claim.job.name]
                if commit:
                    claim.begin(job.to_json())
                    assert study.results.commit(claim, *outcome(job, generator))
                queue.settle(job.id)
                done += 1
            elif claim is None:
                time.sleep(0.2)
        counts.put(done)

    processes = [context.Process(target=work, args=(lane,)) for lane in range(workers)]
    for process in processes:
        process.start()
    ready.wait()
    began = time.perf_counter()
    taken = sum(counts.get() for _ in processes)
    rate = taken / (time.perf_counter() - began)
    for process in processes:
        process.join()
        assert process.exitcode == 0
    return taken, rate


def looked_at(results: Path, how: str) -> list[str]:
    """Time all ways to look at the study, and measure it on the disk."""
    study = results / "synthetic"
    report = ("report", "synthetic", "--format", "json")
    first = [call(results, *report)]
    cached = [call(results, *report) for _ in range(REPEATS)]
    status = [call(results, "status", "synthetic") for _ in range(REPEATS)]
    began = time.perf_counter()
    assert not launch.plan(requested("engine.stack=1"), Study(study)).unfinished
    again = time.perf_counter() - began
    files = [path.stat() for path in study.rglob("*") if ".cache" not in path.parts]
    size = sum(file.st_size for file in files) / 1e6
    taken = 512 * sum(file.st_blocks for file in files) / 1e6
    return [
        f"{how}: {len(files):,} files and folders, {size:,.0f} MB, {taken:,.0f} MB of the disk",
        row("status", status),
        row("first report", first),
        row("from its cache", cached),
        f"  the same sweep again, which looks at every byte: {again:.1f} s",
    ]


# 100,000 runs in jobs as sweeps pack them


def many_runs(results: Path) -> list[str]:
    """Make them, report them."""
    os.fsync, fsync = (lambda handle: None), os.fsync  # type: ignore[assignment]
    study, jobs = launched(results / "synthetic")
    generator = np.random.default_rng(0)
    for job in jobs.values():
        claim = claims.take(study.job(job.id), 1, 0, HeartbeatObserver(60.0))
        assert isinstance(claim, Claim)
        study.results.commit(claim, *outcome(job, generator))
    os.fsync = fsync
    size = sum(path.stat().st_size for path in results.rglob("*") if path.is_file())
    count = sum(len(job.members) for job in jobs.values())
    times: dict[str, list[Call]] = {"first report": [], "from its cache": []}
    for _ in range(REPEATS):
        shutil.rmtree(study.path / ".cache", ignore_errors=True)
        for calls in times.values():
            calls.append(call(results, "report", "synthetic", "--format", "json"))
    shutil.rmtree(results)
    return [
        f"{count:,} runs in {len(jobs):,} jobs, {size / 1e6:,.0f} MB: "
        f"{size / count / 1e3:.1f} kB a run",
        *(row(name, calls) for name, calls in times.items()),
    ]


def outcome(job: Job, generator: np.random.Generator) -> Outcome:
    """Make up the outcome of a job: deeper is slower, without residual connections much."""
    plain = isinstance(job.shape.residual, Plain)
    typical = 60 * (1 + job.shape.model.depth * (2.0 if plain else 0.1))
    records = [ended(typical, member, generator) for member in job.members]
    noise_2GP = generator.random((2, STEPS, len(records)))
    stretches = [
        {"members": len(records), "steps": 10, "seconds": float(generator.uniform(0.1, 0.2))}
        for _ in range(20)
    ]
    tables: dict[str, dict[str, Any]] = {
        "runs": runs(job.shape, job.members, records),
        "curves": curves(job.members, records, noise_2GP),
    }
    return tables, {"seconds": 2.0, "stretches": stretches}


def ended(typical: float, member: Member, generator: np.random.Generator) -> Record:
    """Make up the evaluations of a member until it solves or the budget is over."""
    away = abs(np.log10(member.lr / 3e-3))
    solves = typical * np.exp(0.3 * generator.standard_normal() + away)
    record = Record()
    last = min(STEPS, 10 * int(np.ceil(solves / 10)) + 10)
    for step in range(0, last + 1, 10):
        part = min(1.0, step / solves)
        record.evaluated(step, 2.77 * (1 - part) + 0.01, part)
    if solves < STEPS - 10:
        record.outcome, record.solved_step = "solved", last - 10
    return record


CALL = """
import os, sys, time

began = time.perf_counter()
quiet = [(os.POSIX_SPAWN_OPEN, handle, os.devnull, os.O_WRONLY, 0) for handle in (1, 2)]
child = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=quiet)
_, status, usage = os.wait4(child, 0)
print(time.perf_counter() - began, usage.ru_maxrss / 1024)
sys.exit(os.waitstatus_to_exitcode(status))
"""
"""A small process that starts the command: Linux counts its parent's memory as its own."""


@final
@dataclass(frozen=True)
class Call:
    """Wall seconds, and largest memory in MB, of a command in a process of its own."""

    seconds: float
    megabytes: float


def call(results: Path, *words: str) -> Call:
    """Run `resformer WORDS...`."""
    command = [sys.executable, "-m", "resformer", *words, "--results", str(results)]
    text = subprocess.run(
        [sys.executable, "-c", CALL, *command], check=True, capture_output=True, text=True
    ).stdout
    seconds, megabytes = map(float, text.split())
    return Call(seconds, megabytes)


def row(name: str, calls: Sequence[Call]) -> str:
    """Show the median of the seconds, their range if there are several, the largest memory."""
    seconds = sorted(call.seconds for call in calls)
    text = f"{seconds[len(seconds) // 2]:5.1f} s"
    if len(seconds) > 1:
        text += f"  ({seconds[0]:.1f} – {seconds[-1]:.1f})"
    return f"  {name:16}{text:24}{max(call.megabytes for call in calls):5,.0f} MB"


if __name__ == "__main__":
    main()
