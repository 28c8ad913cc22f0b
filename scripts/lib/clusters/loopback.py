"""Clusters of two nodes on this machine's loopback, a core each: Ray's own, and a Slurm of
scripts/slurm-loopback.
"""

import contextlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

LOOPBACK = Path(__file__).parents[2] / "slurm-loopback"
WHERE = f"{os.environ['PATH']}:/usr/sbin:/sbin"
_RAY = ("--num-cpus=1", "--disable-usage-stats")
_PORT = 6399
_FIRST, _SECOND = 20000, 20100
"""From here on are the ports of each node's workers."""
_WAIT_FOR_TWO_NODES = """
import sys, time, ray
ray.init(sys.argv[1], log_to_driver=False)
while sum(node["Alive"] for node in ray.nodes()) != 2:
    time.sleep(0.1)
"""


class Missing(Exception):
    """A part that a cluster needs and this machine does not have."""


@contextmanager
def local() -> Iterator[list[str]]:
    """This machine; like the others, yields the words that have a sweep use it."""
    yield ["engine=local"]


@contextmanager
def ray() -> Iterator[list[str]]:
    """Two nodes of Ray; Missing if it is not installed."""
    if importlib.util.find_spec("ray") is None:
        raise Missing("ray")
    with short_folder() as folder:
        try:
            _node(
                f"--head --port={_PORT} --include-dashboard=false --node-ip-address=127.0.0.1 "
                f"--temp-dir={folder}",
                _FIRST,
            )
            second_node()
            yield ["engine=ray", f"engine.address=127.0.0.1:{_PORT}"]
        finally:
            _end(folder)


def _end(folder: Path) -> None:
    """Kill the processes of this cluster; `ray stop` would end those of every other one too."""
    processes: set[psutil.Process] = set()
    for process in psutil.process_iter(["cmdline"]):
        if any(str(folder) in word for word in process.info["cmdline"] or ()):
            with contextlib.suppress(psutil.NoSuchProcess):
                processes |= {process, *process.children(recursive=True)}
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(processes, timeout=5)


def second_node() -> None:
    """Start the second node of Ray, for the first time or again.

    Return once Ray counts two: for some seconds a lost node is listed as alive beside the new one.
    """
    address = f"127.0.0.1:{_PORT}"
    _node(f"--address={address} --dashboard-agent-listen-port=52366", _SECOND)
    command = [sys.executable, "-c", _WAIT_FOR_TWO_NODES, address]
    subprocess.run(command, check=True, capture_output=True, timeout=60)


def lose_second_node() -> None:
    """Kill its raylet, as if the machine had gone."""
    for process in psutil.process_iter(["name", "cmdline"]):
        words = process.info["cmdline"] or ()  # of a zombie there are none
        if process.info["name"] == "raylet" and f"--min_worker_port={_SECOND}" in words:
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
def slurm() -> Iterator[list[str]]:
    """Two nodes of Slurm, which its commands find meanwhile; Missing if a part is not there."""
    for command in ("munged", "slurmctld", "slurmd", "srun"):
        if shutil.which(command, path=WHERE) is None:
            raise Missing(command)
    if os.geteuid() != 0:
        raise Missing("root, for a Slurm of its own")
    with short_folder() as folder:
        try:
            up = subprocess.run(
                [LOOPBACK, "up", folder], capture_output=True, text=True, check=False
            )
            assert up.returncode == 0, up.stderr
            os.environ["SLURM_CONF"] = str(folder / "slurm.conf")
            yield ["engine=slurm", "engine.minutes=30"]
        finally:
            os.environ.pop("SLURM_CONF", None)
            subprocess.run([LOOPBACK, "down", folder], capture_output=True, check=False)


def preempt(seconds: int) -> None:
    """Have a job of a higher partition take both nodes of Slurm for so long."""
    words = (
        "--partition=high",
        "--nodes=2",
        "--ntasks=2",
        "--output=/dev/null",
        f"--wrap=sleep {seconds}",
    )
    subprocess.run(["sbatch", *words], check=True, capture_output=True)


@contextmanager
def short_folder() -> Iterator[Path]:
    """With a short name: a socket's path has at most 107 characters."""
    folder = Path(tempfile.mkdtemp(prefix="two-", dir="/tmp"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
