"""A worker whose memory does not suffice: fewer members at once, with the same bits, or a failed
job.
"""

import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from support.sweeps import TINY
from support.worker import Worker, results
from typer.testing import Result

from resformer.plan.jobs import Job
from resformer.store.study import Study
from resformer.training.population import Population

pytestmark = pytest.mark.sweep


def test_out_of_memory_halves_the_members_at_once_and_changes_no_bit(
    study: Study, job: Job, undisturbed: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    worker, advance = Worker(study, job, checkpoint_seconds=0.0), Population.advance

    def short(population: Population) -> None:
        if population.chunk_size > 1 and population.steps == 12:
            raise torch.OutOfMemoryError("CUDA out of memory")
        advance(population)

    monkeypatch.setattr(Population, "advance", short)
    halvings = math.ceil(math.log2(len(job.members)))
    assert halvings >= 1
    assert worker.run() == ["started", *["halved", "resumed"] * halvings, "finished"]
    details = [event.detail for event in worker.events if event.kind in ("halved", "resumed")]
    assert details[-2:] == ["out of memory; members at once: 1", "from step 12"]
    assert study.results.timing(job.id)["at_once"] == 1
    assert results(study, job.id) == undisturbed


def test_other_errors_than_out_of_memory_halve_nothing(
    study: Study, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(population: Population) -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(Population, "advance", broken)
    assert Worker(study, job).run() == ["started", "failed"]


LARGE = [
    *("model.depth=2", "model.width=64", "model.heads=4", "task.length=32", "task.symbols=8"),
    *("train.batch=512", "train.steps=2", "train.warmup_steps=1", "train.eval_every=1"),
    *("train.eval_sequences=16", "train.compile=false", "member.seed=range(0,4)"),
    *("engine.workers=1", "engine.stack=4"),
    *("engine.retries=0", "--study", "large"),
]


def test_a_worker_keeps_within_the_memory_it_may_use(tmp_path: Path) -> None:
    """For real: four members at once do not fit into 1.4 GiB (they need 1.5), and two or one do,
    whatever malloc keeps of the first try.
    """
    by_memory = {}
    for memory in ("null", "1.4"):
        words = ["sweep", *LARGE, f"engine.memory_gib={memory}", "--results", memory]
        output = subprocess.run(
            [sys.executable, "-m", "resformer", *words],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        ).stderr
        assert ("out of memory; members at once: " in output) == (memory != "null")
        study = Study(tmp_path / memory / "large")
        (job,) = study.planned()
        by_memory[memory] = results(study, job)
    assert by_memory["null"] == by_memory["1.4"]


def test_a_job_that_needs_more_memory_than_a_worker_may_use_fails(
    resformer: Callable[..., Result],
) -> None:
    words = [
        *TINY,
        "train.batch=65536",
        "train.compile=false",
        "engine.workers=1",
        "engine.retries=0",
    ]
    result = resformer("sweep", *words, "engine.memory_gib=0.5", "--study", "large")
    assert result.exit_code == 1
    assert "failed: " in result.stderr
    assert "memory" in result.stderr
    assert "Traceback" not in result.stderr
