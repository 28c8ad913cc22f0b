"""Workers as tasks of a Ray cluster."""

import contextlib
import json
import os
import re
import shlex
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, final

from resformer.engines.base import Engine
from resformer.errors import Stuck, UserError, require, require_between
from resformer.store.study import Study
from resformer.text import shortened
from resformer.workers.assignment import Assignment
from resformer.workers.event_log import EventReader, EventWriter
from resformer.workers.events import Emit, Event
from resformer.workers.pilot import PilotExit, pilot_specs, run_pilot
from resformer.workers.resources import cores
from resformer.workers.signals import Stop

_POLL_SECONDS, _GRACE_SECONDS, _ANSWERS_SECONDS = 0.3, 10.0, 10.0
_HOST_AND_PORT = re.compile(r"([^/\s]+):(\d{1,5})")
_NAMESPACE = "resformer"


@final
@dataclass(frozen=True, kw_only=True)
class Ray(Engine):
    """Pilot tasks on a Ray cluster (Moritz et al. 2018, arXiv 1712.05889), one per slot.

    Pilots receive strings only and find the study in its folder, which every node has to see under
    the same path. Ray restarts the task of a lost node on another; the lease on its job expires, or
    its process is seen to be gone.
    """

    elsewhere: ClassVar[bool] = True
    address: str
    """`auto`: the cluster that runs here; `local`: a new one on this machine; or host:port."""
    cpus: float
    """CPU cores reserved per worker, which computes on one."""
    gpus: float
    """GPUs reserved per worker; several can share one."""

    def __post_init__(self) -> None:
        super().__post_init__()
        known = self.address in ("auto", "local") or bool(_HOST_AND_PORT.fullmatch(self.address))
        require(known, "engine.address", self.address, "must be auto, local, or host:port")
        require_between("engine.cpus", self.cpus, low=0.01, high=1024)
        require(
            0 <= self.gpus <= 1,
            "engine.gpus",
            self.gpus,
            "must be from 0 to 1: a worker computes on one",
        )

    def count(self, jobs: Sequence[str], device: str) -> int:
        """Number of slots on the nodes of the cluster, unless fewer are asked for; never more than
        jobs.
        """
        if device == "cuda" and not self.gpus:
            raise UserError(
                "engine.gpus=0: with device=cuda, say what part of a GPU a worker gets; "
                "1 would work"
            )
        nodes = [node["Resources"] for node in self._joined().nodes() if node["Alive"]]
        slots = sum(self._slots(node.get("CPU", 0.0), node.get("GPU", 0.0)) for node in nodes)
        if not slots:
            resources = ", ".join(
                f"{node.get('CPU', 0):g} cores and {node.get('GPU', 0):g} GPUs" for node in nodes
            )
            raise UserError(
                f"engine.cpus={self.cpus:g}, engine.gpus={self.gpus:g}: no node of the cluster at "
                f"{self.address} has as many; they have {shortened(resources)}"
            )
        return min(self.workers or slots, slots, len(jobs))

    def _slots(self, cpus: float, gpus: float) -> int:
        """Number of workers that fit on a node with these resources."""
        fits = [cpus / self.cpus, *([gpus / self.gpus] if self.gpus else [])]
        return int(min(fits) + 1e-9)  # 0.3 / 0.1 is less than 3

    def sharers(self) -> int:
        """Number of workers that share a GPU, by the part of it that each reserves."""
        return max(1, int(1 / self.gpus)) if self.gpus else 1

    def run(self, assignment: Assignment, *, workers: int, emit: Emit, stop: Stop) -> None:
        """Run the jobs with so many pilots; on the way out none is left behind."""
        ray, reader = self._joined(), EventReader(Study(assignment.study), assignment.launch)
        try:
            _run_pilots(
                pilot_specs(assignment, workers),
                cpus=self.cpus,
                gpus=self.gpus,
                poll=lambda: reader.poll(emit),
                stop=stop,
            )
        finally:
            reader.drain(emit)
            ray.shutdown()

    def detached_where(self, study: Path) -> str:
        """Name the cluster, unless it ends with this process too."""
        if self.address == "local":
            raise UserError(
                "--detach: the cluster of engine.address=local ends with its sweep; host:port "
                "would work"
            )
        return f"Ray at {self.address}"

    def detach(self, assignment: Assignment, workers: int) -> str:
        """Have a supervisor in the cluster run the jobs; returns a command that ends it."""
        ray = self._joined()
        name = f"{assignment.study.absolute()}, launch {assignment.launch}"
        supervisor = ray.remote(_Supervisor).options(
            name=name, namespace=_NAMESPACE, lifetime="detached", num_cpus=0, max_restarts=-1
        )
        started = supervisor.remote(
            name, pilot_specs(assignment, workers), cpus=self.cpus, gpus=self.gpus
        )
        _answer(started.ready.remote())
        ray.shutdown()
        actor = f"ray.get_actor({name!r}, {_NAMESPACE!r})"
        ending = f"import ray; ray.init({self.address!r}); ray.kill({actor})"
        return shlex.join([sys.executable, "-P", "-c", ending])

    def _joined(self) -> Any:
        """The module of Ray, connected to the cluster."""
        try:
            import ray
        except ModuleNotFoundError as missing:
            raise UserError(
                "engine=ray: Ray is not installed; pip install 'resformer[ray]'"
            ) from missing
        if not ray.is_initialized():
            local = self.address == "local"
            own: dict[str, Any] = {"num_cpus": cores(), "include_dashboard": False} if local else {}
            try:
                if match := _HOST_AND_PORT.fullmatch(self.address):
                    # Ray itself would wait for minutes.
                    socket.create_connection((match[1], int(match[2])), _ANSWERS_SECONDS).close()
                terminate = signal.getsignal(signal.SIGTERM)
                # Workers search this process' working directory first for what they import.
                with contextlib.chdir(os.sep):
                    ray.init(
                        self.address,
                        namespace=_NAMESPACE,
                        log_to_driver=False,
                        logging_level="ERROR",
                        **own,
                    )
                # Ray installs a handler of its own, which ends the process at once.
                signal.signal(signal.SIGTERM, terminate)
            except (OSError, RuntimeError, ValueError) as error:
                reason = " ".join(str(error).split())[:200]
                raise UserError(
                    f"engine.address={self.address}: no Ray cluster answers there: {reason}"
                ) from error
        return ray


class _Supervisor:
    """Detached actor that supervises the pilots after the driver exits. It submits them from
    `__init__`, so that Ray can restart it on another node.
    """

    def __init__(self, name: str, specs: list[str], cpus: float, gpus: float) -> None:
        self._name, self._specs, self._cpus, self._gpus = name, specs, cpus, gpus
        threading.Thread(target=self._supervise, daemon=True).start()

    def ready(self) -> None:
        """Return once the actor runs."""

    def _supervise(self) -> None:
        """Run the pilots until all are finished, then end the actor."""
        import ray

        try:
            _run_pilots(
                self._specs,
                cpus=self._cpus,
                gpus=self._gpus,
                poll=lambda: None,
                stop=Stop(lambda: False),
            )
        except Stuck as error:
            spec = json.loads(self._specs[0])
            writer = EventWriter(Study(Path(spec["study"])), spec["launch"])
            writer.write(Event("stuck", 0, "", detail=str(error)))
        finally:
            ray.kill(ray.get_actor(self._name, _NAMESPACE))


def _run_pilots(
    specs: Sequence[str], *, cpus: float, gpus: float, poll: Callable[[], None], stop: Stop
) -> None:
    """Run pilots until all are finished or a stop is requested; Stuck if one cannot proceed.

    `poll` is called several times a second.
    """
    import ray

    pilot = ray.remote(run_pilot).options(
        num_cpus=cpus, num_gpus=gpus, max_retries=-1, scheduling_strategy="SPREAD"
    )
    spec_by_task = {pilot.remote(spec): spec for spec in specs}
    try:
        while spec_by_task and not stop.requested():
            ended, _ = ray.wait(
                list(spec_by_task), num_returns=len(spec_by_task), timeout=_POLL_SECONDS
            )
            poll()
            for task in ended:
                spec, end = spec_by_task.pop(task), PilotExit.from_json(_answer(task))
                if end.kind == "signalled":  # its node wants it gone
                    spec_by_task[pilot.remote(spec)] = spec
                elif end.kind == "stuck":
                    raise Stuck(end.detail)
    finally:
        _cancel(list(spec_by_task))
        poll()


def _answer(reference: Any) -> Any:
    """The value of a reference; Stuck if its node cannot import resformer."""
    import ray

    try:
        return ray.get(reference)
    except RuntimeError as error:  # also errors of remote code, which keep their traceback
        if "failed to import" not in str(error):
            raise
        reason = str(error).strip().splitlines()[-1]
        raise Stuck(f"a node of the cluster cannot import resformer: {reason}") from error


def _cancel(tasks: list[Any]) -> None:
    """Let pilots checkpoint their jobs and end; by force those that take longer."""
    import ray

    for force, patience in ((False, _GRACE_SECONDS), (True, _GRACE_SECONDS)):
        for task in tasks:
            ray.cancel(task, force=force)
        deadline = time.monotonic() + patience
        while tasks and time.monotonic() < deadline:
            _, tasks = ray.wait(tasks, num_returns=len(tasks), timeout=_POLL_SECONDS)
