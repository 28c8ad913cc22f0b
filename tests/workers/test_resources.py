"""Cores and memory of a container, by the files of its cgroups."""

import os
from pathlib import Path

import pytest

from resformer.workers import resources


def system(root: Path, membership: str, files: dict[str, str]) -> Path:
    """A root folder with the cgroups of this process."""
    for name, text in {
        "proc/self/cgroup": membership,
        **{f"sys/fs/cgroup/{name}": text for name, text in files.items()},
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"{text}\n")
    return root


@pytest.fixture(autouse=True)
def many(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of 64 cores."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: range(64))


@pytest.mark.parametrize(
    ("membership", "files", "expected"),
    [
        ("0::/", {"cpu.max": "200000 100000"}, 2),
        ("0::/", {"cpu.max": "max 100000"}, 64),
        ("0::/", {"cpu.max": "50000 100000"}, 1),
        ("0::/", {"cpu.max": "150000 100000"}, 2),
        ("0::/a/b", {"a/cpu.max": "300000 100000", "a/b/cpu.max": "max 100000"}, 3),
        ("0::/only/on/the/host", {"cpu.max": "400000 100000"}, 4),
        ("1:name=x:/\n0::/", {"unified/cpu.max": "500000 100000"}, 5),
        (
            "4:cpu,cpuacct:/a",
            {
                "cpu,cpuacct/a/cpu.cfs_quota_us": "600000",
                "cpu,cpuacct/a/cpu.cfs_period_us": "100000",
            },
            6,
        ),
        ("4:cpu:/", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 64),
        ("0::/", {"cpu.max": "nonsense"}, 64),
        ("", {}, 64),
    ],
)
def test_cores_are_those_that_a_quota_leaves(
    tmp_path: Path, membership: str, files: dict[str, str], expected: int
) -> None:
    assert resources.cores(system(tmp_path, membership, files)) == expected


def test_cores_without_proc_are_those_of_the_affinity(tmp_path: Path) -> None:
    assert resources.cores(tmp_path) == 64


@pytest.mark.parametrize(
    ("membership", "files", "expected"),
    [
        ("0::/", {"memory.max": "1000000"}, 1_000_000),
        ("0::/", {"memory.max": "max"}, None),
        ("4:memory:/a", {"memory/a/memory.limit_in_bytes": "2000000"}, 2_000_000),
        ("4:memory:/", {"memory/memory.limit_in_bytes": "9223372036854771712"}, None),
    ],
)
def test_memory_is_what_the_container_may_take(
    tmp_path: Path, membership: str, files: dict[str, str], expected: int | None
) -> None:
    physical = resources.memory(tmp_path)
    assert physical is not None
    assert resources.memory(system(tmp_path, membership, files)) == (expected or physical)
