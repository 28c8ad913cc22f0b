"""Clusters of two nodes on this machine's loopback, a core each: Ray's own, and a Slurm of scripts/slurm-loopback."""

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

_LOOPBACK = Path(__file__).parent.parent / "scripts" / "slurm-loopback"
_RAY = ("--num-cpus=1", "--disable-usage-stats")
RAY_PORT = 6399
_FIRST, _SECOND = 20000, 20100
"""From here on are the ports of each node's workers."""


@contextmanager
def local(folder: Path) -> Iterator[list[str]]:
    """This machine."""
    yield ["engine=local"]


@contextmanager
def ray(folder: Path) -> Iterator[list[str]]:
    """Two nodes of Ray; yields the words that name them to a sweep."""
    if importlib.util.find_spec("ray") is None:
        pytest.skip("ray is not installed")
    try:
        head = f"--head --port={RAY_PORT} --include-dashboard=false --node-ip-address=127.0.0.1 --temp-dir={folder}"
        _node(head, _FIRST)
        second_node()
        yield ["engine=ray", f"engine.address=127.0.0.1:{RAY_PORT}"]
    finally:
        _ray("stop", "--force")


def second_node() -> None:
    """Start it, for the first time or again."""
    _node(f"--address=127.0.0.1:{RAY_PORT} --dashboard-agent-listen-port=52366", _SECOND)


def lose_second_node() -> None:
    """Kill its raylet, as if the machine had gone."""
    for process in psutil.process_iter(["name", "cmdline"]):
        if process.info["name"] == "raylet" and f"--min_worker_port={_SECOND}" in process.info["cmdline"]:
            process.kill()
            process.wait()
            return
    raise AssertionError("there is no second raylet")


def _node(words: str, first_port: int) -> None:
    ports = (f"--min-worker-port={first_port}", f"--max-worker-port={first_port + 99}")
    _ray("start", *words.split(), *ports, *_RAY)


def _ray(*words: str) -> None:
    command = [sys.executable, "-c", "from ray.scripts.scripts import main; main()", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@contextmanager
def slurm(folder: Path) -> Iterator[list[str]]:
    """Two nodes of Slurm; yields the words that name them to a sweep, and has Slurm's commands find them."""
    for command in ("munged", "slurmctld", "slurmd", "srun"):
        if shutil.which(command, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is None:
            pytest.skip(f"{command} is not installed")
    if os.geteuid() != 0:
        pytest.skip("a Slurm of one's own needs root")
    try:
        up = subprocess.run([_LOOPBACK, "up", folder], capture_output=True, text=True, check=False)
        assert up.returncode == 0, up.stderr
        os.environ["SLURM_CONF"] = str(folder / "slurm.conf")
        yield ["engine=slurm", "engine.minutes=30"]
    finally:
        os.environ.pop("SLURM_CONF", None)
        subprocess.run([_LOOPBACK, "down", folder], capture_output=True, check=False)


def preempt(seconds: int) -> None:
    """Have a job of a higher partition take both nodes for so long."""
    words = ("--partition=high", "--nodes=2", "--ntasks=2", "--output=/dev/null", f"--wrap=sleep {seconds}")
    subprocess.run(["sbatch", *words], check=True, capture_output=True)
