"""Make a results folder of 100,000 runs that were never trained, and time its report twice: afresh, and from its cache.

scale.txt, facts.json   median seconds of five (and their range), memory and folder size; command, versions, machine
"""

import itertools
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.facts import described, machine
from resformer import __version__
from resformer.jobs import Job, pack
from resformer.model import ModelSettings
from resformer.record import Record, curves, runs
from resformer.residuals.add import Add
from resformer.residuals.base import Residual
from resformer.residuals.plain import Plain
from resformer.shape import NO_PROBE, Member, Shape, TrainSettings
from resformer.store import claims
from resformer.store.claims import Claim, Watch
from resformer.store.study import Study
from resformer.tasks.copy import Copy

SEEDS, RATES = range(5), (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
DEPTHS, WIDTHS, BATCHES, WARMUPS = (1, 2, 4, 8, 16), (16, 32, 64, 128), (8, 16, 32, 64, 128), (0, 25, 50, 100, 200)
SCHEMES: tuple[Residual, ...] = (Plain(), Add())
NORMS = ("pre", "post", "sandwich", "pre_post")
STEPS, REPEATS = 600, 5


def main() -> None:
    """Make, time, write, print."""
    root = Path(__file__).resolve().parent.parent
    target = root / "results" / "reference" / "scale"
    commit = described(root)
    with tempfile.TemporaryDirectory() as scratch:
        results = Path(scratch)
        began = time.perf_counter()
        study = make(results)
        made = time.perf_counter() - began
        jobs = len(study.planned())
        size = sum(path.stat().st_size for path in results.rglob("*") if path.is_file())
        lines = [f"{len(list(shapes())) * len(SEEDS) * len(RATES):,} runs in {jobs:,} jobs, {size / 1e6:,.0f} MB"]
        found: dict[str, list[tuple[float, float]]] = {"first report": [], "from its cache": []}
        for _ in range(REPEATS):
            shutil.rmtree(study.path / ".cache", ignore_errors=True)
            for times in found.values():
                times.append(timed(results))
        for name, times in found.items():
            seconds, megabytes = (sorted(column) for column in zip(*times, strict=True))
            middle = f"{seconds[REPEATS // 2]:5.1f} s  ({seconds[0]:.1f} – {seconds[-1]:.1f})"
            lines.append(f"{name:16}{middle:24}{megabytes[-1]:5,.0f} MB")
        shutil.rmtree(study.path)
    text = "\n".join(lines)
    target.mkdir(parents=True, exist_ok=True)
    (target / "scale.txt").write_text(text + "\n")
    facts = {
        "command": "scripts/scale",
        "commit": commit,
        "made_in_seconds": round(made, 1),
        "versions": {"resformer": __version__},
        "machine": machine(),
    }
    (target / "facts.json").write_text(json.dumps(facts, indent=1) + "\n")
    print(text)


def shapes() -> Iterator[Shape]:
    """4,000 cells: depth, scheme, norm, width, batch and warm-up."""
    train = TrainSettings(
        **{"steps": STEPS, "beta1": 0.9, "beta2": 0.98, "eps": 1e-8, "weight_decay": 0.0, "clip": 1.0},
        **{"eval_every": 10, "eval_sequences": 128, "target_accuracy": 0.99, "patience": 5, "stop_when_solved": True},
        **{"compile": False, "precision": "fp32", "keep_weights": False, "batch": 32, "warmup_steps": 50},
    )
    for depth, scheme, norm, width, batch, warmup in itertools.product(
        DEPTHS, SCHEMES, NORMS, WIDTHS, BATCHES, WARMUPS
    ):
        model = ModelSettings(depth, width, 4, 4 * width, "relu", "causal", norm, "both")
        settings = TrainSettings(**{**vars(train), "batch": batch, "warmup_steps": warmup})
        yield Shape(Copy(8, 16), model, scheme, settings, NO_PROBE, "cpu")


def make(results: Path) -> Study:
    """The study, through the store as sweeps do it; only that nothing waits for the disk."""
    os.fsync = lambda handle: None  # type: ignore[assignment]
    generator = np.random.default_rng(0)
    study = Study(results / "synthetic")
    members = [Member(seed, lr) for seed in SEEDS for lr in RATES]
    jobs = pack([(shape, members) for shape in shapes()], None, 1)
    study.launch(
        {"excluded": [], "engine": {"retries": 0}, "asked": [], "versions": {}}, [job.to_json() for job in jobs]
    )
    for job in jobs:
        claim = claims.take(study.job(job.id), 1, 0, Watch(60.0))
        assert isinstance(claim, Claim)
        tables, timing = outcome(job, generator)
        study.commit(claim, tables, timing)
    return study


def outcome(job: Job, generator: np.random.Generator) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """What a job might have done: deeper is slower, without residual connections much."""
    plain = isinstance(job.shape.residual, Plain)
    typical = 60 * (1 + job.shape.model.depth * (2.0 if plain else 0.1))
    records = [record(typical, member, generator) for member in job.members]
    noise_2SP = generator.random((2, STEPS, len(records)))
    stretches = [
        {"members": len(records), "steps": 10, "seconds": float(generator.uniform(0.1, 0.2))} for _ in range(20)
    ]
    tables: dict[str, dict[str, Any]] = {
        "runs": runs(job.shape, job.members, records),
        "curves": curves(job.members, records, *noise_2SP),
    }
    return tables, {"seconds": 2.0, "stretches": stretches}


def record(typical: float, member: Member, generator: np.random.Generator) -> Record:
    """One member's evaluations until it solves or the budget is over."""
    away = abs(np.log10(member.lr / 3e-3))
    solves = typical * np.exp(0.3 * generator.standard_normal() + away)
    found = Record()
    last = min(STEPS, 10 * int(np.ceil(solves / 10)) + 10)
    for step in range(0, last + 1, 10):
        part = min(1.0, step / solves)
        found.evaluated(step, 2.77 * (1 - part) + 0.01, part)
    if solves < STEPS - 10:
        found.outcome, found.solved_step = "solved", last - 10
    return found


def timed(results: Path) -> tuple[float, float]:
    """Wall seconds and largest memory (MB) of `resformer report`, in a process of its own."""
    command = [sys.executable, "-m", "resformer", "report", "synthetic", "--results", str(results), "--format", "json"]
    began = time.perf_counter()
    process = os.posix_spawn(
        command[0], command, os.environ, file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    )
    _, status, usage = os.wait4(process, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    return time.perf_counter() - began, usage.ru_maxrss / 1024


if __name__ == "__main__":
    main()
