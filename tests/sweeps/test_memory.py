"""Memory of the machine at planning: what cannot fit is refused, and nothing is written."""

from pathlib import Path

import pytest
from support.commands import Resformer, check_refused, tree
from support.sweeps import TINY

from resformer.workers import resources

LARGE = [
    *("model.depth=64", "model.width=4096", "model.heads=4", "train.steps=20"),
    *("train.warmup_steps=5", "train.compile=false"),
]
MEMBERS = "member.seed=range(0,4)"


@pytest.mark.parametrize("command", [["sweep"], ["sweep", "--dry-run"], ["train"]])
def test_a_member_that_is_larger_than_the_machine_is_refused(
    resformer: Resformer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    """Its 12.9 billion weights, each with gradient and moments of 4 bytes."""
    monkeypatch.setattr(resources, "memory", lambda: 24 * 10**9)
    result = resformer(*command, *LARGE)
    check_refused(result, "1 member take 206.2 GB, this machine has 24.0 GB; a smaller model")
    assert "model.depth=64, model.width=4096: " in result.stderr
    assert tree(tmp_path) == {}


def test_the_grid_of_a_model_that_is_too_large_is_shown(resformer: Resformer) -> None:
    result = resformer("show", *LARGE)
    assert result.exit_code == 0
    assert "206" in result.stdout


def test_a_job_of_too_many_members_is_refused(
    resformer: Resformer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tiny member has 1,169 parameters, 18,704 bytes."""
    monkeypatch.setattr(resources, "memory", lambda: 50_000)
    result = resformer("sweep", "--dry-run", *TINY, MEMBERS, "engine.stack=4")
    check_refused(result, "engine.stack=2 would fit")


def test_more_workers_than_fit_are_noted(
    resformer: Resformer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resources, "memory", lambda: 50_000)
    words = [*TINY, MEMBERS, "engine.stack=1", "engine.workers=4"]
    result = resformer("sweep", "--dry-run", *words)
    assert result.exit_code == 0
    (line,) = result.stderr.splitlines()
    assert line.startswith("engine.workers=4: ")
    assert line.endswith("engine.workers=2 would fit")


def test_the_memory_of_a_worker_is_a_limit_too(resformer: Resformer) -> None:
    result = resformer("sweep", "--dry-run", *LARGE[1:], "model.depth=4", "engine.memory_gib=0.5")
    check_refused(result, "engine.memory_gib leaves a worker 0.5 GB; a smaller model would fit")
