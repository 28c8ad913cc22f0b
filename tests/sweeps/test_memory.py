"""Memory of the machine at planning: what cannot fit is refused, and nothing is written."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support.commands import Resformer, check_refused, tree
from support.sweeps import TINY

from resformer.workers import resources

LARGE = [
    *("model.depth=64", "model.width=4096", "model.heads=4", "train.steps=20"),
    *("train.warmup_steps=5", "train.compile=false"),
]
WIDE_BATCH = ["train.batch=65536", "train.compile=false"]
MEMBERS = "member.seed=range(0,4)"


@pytest.mark.parametrize("command", [["sweep"], ["sweep", "--dry-run"], ["train"]])
def test_a_member_that_is_larger_than_the_machine_is_refused(
    resformer: Resformer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    """Its 12.9 billion weights, each with gradient and moments of 4 bytes."""
    monkeypatch.setattr(resources, "memory", lambda: 24 * 10**9)
    result = resformer(*command, *LARGE)
    check_refused(result, "take at least 206.2 GB, this machine has 24.0 GB; a smaller model")
    assert "model.depth=64, model.width=4096, train.batch=32: 1 member in a job " in result.stderr
    assert tree(tmp_path) == {}


def test_the_grid_of_a_model_that_is_too_large_is_shown(resformer: Resformer) -> None:
    result = resformer("show", *LARGE)
    assert result.exit_code == 0
    assert "206" in result.stdout


def test_a_job_of_too_many_members_is_refused(
    resformer: Resformer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tiny member has 1,169 parameters and reads 320 tokens a step, of which one member at a time
    keeps 30,720 bytes of activations in torch: two take 63,896 bytes, three 80,484.
    """
    monkeypatch.setattr(resources, "memory", lambda: 65_000)
    words = [*TINY, MEMBERS, "engine.stack=4", "train.compile=false"]
    result = resformer("sweep", "--dry-run", *words)
    check_refused(result, "engine.stack=2 would fit")


def test_more_workers_than_fit_are_noted(
    resformer: Resformer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resources, "memory", lambda: 100_000)
    words = [*TINY, MEMBERS, "engine.stack=1", "engine.workers=4", "train.compile=false"]
    result = resformer("sweep", "--dry-run", *words)
    assert result.exit_code == 0
    (line,) = result.stderr.splitlines()
    assert line.startswith("engine.workers=4: ")
    assert line.endswith("engine.workers=2 would fit")


def test_the_memory_of_a_worker_is_a_limit_too(resformer: Resformer) -> None:
    result = resformer("sweep", "--dry-run", *LARGE[1:], "model.depth=4", "engine.memory_gib=0.5")
    check_refused(result, "engine.memory_gib leaves a worker 0.5 GB; a smaller model would fit")


def test_a_batch_whose_activations_are_larger_than_the_machine_is_refused(
    resformer: Resformer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 2²⁰ tokens 3 · 4 inputs of 32 float32 each in torch, and the tokens; computed again, the 4
    of the blocks.
    """
    monkeypatch.setattr(resources, "memory", lambda: 1500 * 10**6)
    for command in (["train"], ["sweep"]):
        result = resformer(*command, *WIDE_BATCH)
        check_refused(result, "train.batch=65536: 1 member in a job take at least 1.6 GB")
        assert result.stderr.endswith("train.recompute=true would fit\n")
    monkeypatch.setattr(resources, "memory", lambda: 500 * 10**6)
    result = resformer("sweep", *WIDE_BATCH, "train.recompute=true")
    check_refused(result, "1 member in a job take at least 0.5 GB")
    assert result.stderr.endswith("a smaller batch would fit\n")
    assert tree(tmp_path) == {}


def test_kernels_keep_less_of_a_batch_than_torch(
    resformer: Resformer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 2¹⁷ tokens nothing in whole steps, and by sub-layers 2 · 4 inputs of 32 float32 each."""
    monkeypatch.setattr(resources, "memory", lambda: 30 * 10**6)
    words = ["sweep", "--dry-run", "train.batch=8192", "train.compile=true"]
    assert resformer(*words).exit_code == 0
    result = resformer(*words, "model/residual=highway")
    check_refused(result, "train.batch=8192: 1 member in a job take at least 0.1 GB")


def test_a_probe_that_is_larger_than_the_machine_is_refused(
    resformer: Resformer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resources, "memory", lambda: 24 * 10**9)
    refused = resformer("probe", *LARGE)
    check_refused(refused, "a probe of 1 member takes at least 20")
    assert refused.stderr.endswith("this machine has 24.0 GB; a smaller model would fit\n")
    monkeypatch.setattr(resources, "memory", lambda: 10**9)
    wide = ["train.batch=65536", "train.eval_sequences=65536"]
    assert "a smaller batch would fit" in resformer("probe", "--study", "wide", *wide).stderr
    assert tree(tmp_path) == {}


BATCH = ("train.batch=300", "task.length=32", "model.depth=8")


@pytest.mark.sweep
@pytest.mark.parametrize(
    "words",
    [
        ("train.batch=2", "model.width=256", "model.depth=8"),
        (*BATCH, "model/residual=highway"),
        (*BATCH, "train.compile=false"),
    ],
    ids=["whole steps", "sub-layers", "torch"],
)
def test_no_training_takes_less_than_the_bound(words: tuple[str, ...]) -> None:
    """What a step adds to the memory of a process, by kernels and by torch."""
    code = """
import json, re, sys
from pathlib import Path
from resformer import config
from resformer.sweep.memory import least_bytes
from resformer.training.loop import Training

def most():
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024

(shape, members), = config.single(sys.argv[1:]).shapes
(job,) = config.single(sys.argv[1:]).jobs()
before = most()
training = Training(shape, members, chunk_size=1)
training.population.advance()
print(json.dumps([most() - before, least_bytes(job.to_json())]))
"""
    brief = ("train.steps=40", "train.warmup_steps=5")
    done = subprocess.run(
        [sys.executable, "-c", code, *words, *brief], capture_output=True, text=True, check=False
    )
    added, bound = json.loads(done.stdout)
    assert added > bound > 35e6, "large against what a process takes besides, some MB"
