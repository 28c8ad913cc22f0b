"""Workers as tasks of a Ray cluster."""

import json
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

from resformer.engines.base import Engine, cores
from resformer.errors import Stuck, UserError, require
from resformer.store.study import Study
from resformer.text import shortened
from resformer.workers.assignment import Assignment
from resformer.workers.event_log import Listener, teller
from resformer.workers.events import Event
from resformer.workers.pilot import fly, orders

_POLL_SECONDS, _GRACE_SECONDS, _ANSWERS_SECONDS = 0.3, 10.0, 10.0
_HOST_AND_PORT = re.compile(r"([^/\s]+):(\d{1,5})")
_NAMESPACE = "resformer"


@final
@dataclass(frozen=True)
class Ray(Engine):
    """Pilot tasks on a Ray cluster (Moritz et al. 2018, arXiv 1712.05889), one per slot.

    They find the study in its folder, which every node has to see under the same path, and are told
    so by strings alone. Ray starts a task of a lost node again elsewhere; the lease on its job runs
    out, or its process is seen to be gone.
    """

    elsewhere: ClassVar[bool] = True
    address: str
    """`auto`: the cluster that runs here; `local`: one of its own, on this machine; or host:port.
    """
    cpus: float
    """Cores that a worker takes; it computes on one."""
    gpus: float
    """GPUs that a worker takes; several can share one."""

    def __post_init__(self) -> None:
        super().__post_init__()
        known = (
            self.address in ("auto", "local") or _HOST_AND_PORT.fullmatch(self.address) is not None
        )
        require(known, "engine.address", self.address, "must be auto, local, or host:port")
        require(0.01 <= self.cpus <= 1024, "engine.cpus", self.cpus, "must be from 0.01 to 1024")
        require(
            0 <= self.gpus <= 1,
            "engine.gpus",
            self.gpus,
            "must be from 0 to 1: a worker computes on one",
        )

    def count(self, jobs: Sequence[str], device: str) -> int:
        """As many as there are slots on the nodes of the cluster, unless fewer are asked for; never
        more than jobs.
        """
        if device == "cuda" and not self.gpus:
            raise UserError(
                "engine.gpus=0: with device=cuda, say what part of a GPU a worker gets; 1 would "
                "work"
            )
        nodes = [node["Resources"] for node in self._joined().nodes() if node["Alive"]]
        slots = sum(self._slots(node.get("CPU", 0.0), node.get("GPU", 0.0)) for node in nodes)
        if not slots:
            there = ", ".join(
                f"{node.get('CPU', 0):g} cores and {node.get('GPU', 0):g} GPUs" for node in nodes
            )
            raise UserError(
                f"engine.cpus={self.cpus:g}, engine.gpus={self.gpus:g}: no node of the cluster at "
                f"{self.address} has "
                f"as many; they have {shortened(there)}"
            )
        return min(self.workers or slots, slots, len(jobs))

    def _slots(self, cpus: float, gpus: float) -> int:
        """How many workers a node takes that has these."""
        enough = [cpus / self.cpus, *([gpus / self.gpus] if self.gpus else [])]
        return int(min(enough) + 1e-9)  # 0.3 / 0.1 is less than 3

    def sharers(self) -> int:
        """Of a GPU, by the part of it that each takes."""
        return max(1, int(1 / self.gpus)) if self.gpus else 1

    def run(
        self,
        assignment: Assignment,
        workers: int,
        tell: Callable[[Event], None],
        stop: Callable[[], bool],
    ) -> None:
        """Run the jobs by so many pilots; on the way out none is left behind."""
        ray, listener = self._joined(), Listener(Study(assignment.study), assignment.launch)
        try:
            _fly_all(
                orders(assignment, workers),
                (self.cpus, self.gpus),
                lambda: listener.hear(tell),
                stop,
            )
        finally:
            listener.hear_the_rest(tell)
            ray.shutdown()

    def left_to(self, study: Path) -> str:
        """The cluster, unless it ends with this process too."""
        if self.address == "local":
            raise UserError(
                "--detach: the cluster of engine.address=local ends with its sweep; host:port "
                "would work"
            )
        return f"Ray at {self.address}"

    def leave(self, assignment: Assignment, workers: int) -> str:
        """Have the cluster run the jobs without this process; returns a command that ends it."""
        ray = self._joined()
        name = f"{assignment.study.absolute()}, launch {assignment.launch}"
        tower = ray.remote(_Tower).options(
            name=name, namespace=_NAMESPACE, lifetime="detached", num_cpus=0, max_restarts=-1
        )
        _got(tower.remote(name, orders(assignment, workers), (self.cpus, self.gpus)).ready.remote())
        ray.shutdown()
        ending = (
            f"import ray; ray.init({self.address!r}); ray.kill(ray.get_actor({name!r}, "
            f"{_NAMESPACE!r}))"
        )
        return shlex.join([sys.executable, "-c", ending])

    def _joined(self) -> Any:
        """Ray, connected."""
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
                if found := _HOST_AND_PORT.fullmatch(
                    self.address
                ):  # Ray itself would wait for minutes
                    socket.create_connection((found[1], int(found[2])), _ANSWERS_SECONDS).close()
                terminate = signal.getsignal(signal.SIGTERM)
                ray.init(
                    self.address,
                    namespace=_NAMESPACE,
                    log_to_driver=False,
                    logging_level="ERROR",
                    **own,
                )
                signal.signal(
                    signal.SIGTERM, terminate
                )  # Ray has put its own there, which ends the process at once
            except (OSError, RuntimeError, ValueError) as error:
                reason = " ".join(str(error).split())[:200]
                raise UserError(
                    f"engine.address={self.address}: no Ray cluster answers there: {reason}"
                ) from error
        return ray


class _Tower:
    """What looks after the pilots once whoever launched them has gone: it lives in the cluster.

    It flies them from its start on, so that Ray, which starts it again elsewhere if its node is
    lost, needs nobody to tell it so.
    """

    def __init__(self, name: str, orders: list[str], takes: tuple[float, float]) -> None:
        self._name, self._orders, self._takes = name, orders, takes
        threading.Thread(target=self._watch, daemon=True).start()

    def ready(self) -> None:
        """Once it is there."""

    def _watch(self) -> None:
        """Until all have landed; then it goes as well."""
        import ray

        try:
            _fly_all(self._orders, self._takes, lambda: None, lambda: False)
        except Stuck as error:
            said = json.loads(self._orders[0])
            teller(Study(Path(said["study"])), said["launch"])(
                Event("stuck", 0, "", detail=str(error))
            )
        finally:
            ray.kill(ray.get_actor(self._name, _NAMESPACE))


def _fly_all(
    orders: Sequence[str],
    takes: tuple[float, float],
    hear: Callable[[], None],
    stop: Callable[[], bool],
) -> None:
    """Have pilots fly until all have landed, or `stop` says so; Stuck if one cannot go on."""
    import ray

    cpus, gpus = takes
    pilot = ray.remote(fly).options(
        num_cpus=cpus, num_gpus=gpus, max_retries=-1, scheduling_strategy="SPREAD"
    )
    flying = {pilot.remote(words): words for words in orders}
    try:
        while flying and not stop():
            landed, _ = ray.wait(list(flying), num_returns=len(flying), timeout=_POLL_SECONDS)
            hear()
            for flight in landed:
                words, said = flying.pop(flight), _got(flight)
                if said.startswith("SIG"):  # its node wants it gone
                    flying[pilot.remote(words)] = words
                elif said:
                    raise Stuck(said)
    finally:
        _called_down(list(flying))
        hear()


def _got(answer: Any) -> Any:
    """What a node answers; Stuck if it cannot import resformer."""
    import ray

    try:
        return ray.get(answer)
    except RuntimeError as error:  # also of what went wrong there: that keeps its traceback
        if "failed to import" not in str(error):
            raise
        reason = str(error).strip().splitlines()[-1]
        raise Stuck(f"a node of the cluster cannot import resformer: {reason}") from error


def _called_down(flying: list[Any]) -> None:
    """Have pilots put their jobs away and land; by force who takes longer."""
    import ray

    for force, patience in ((False, _GRACE_SECONDS), (True, _GRACE_SECONDS)):
        for flight in flying:
            ray.cancel(flight, force=force)
        deadline = time.monotonic() + patience
        while flying and time.monotonic() < deadline:
            _, flying = ray.wait(flying, num_returns=len(flying), timeout=_POLL_SECONDS)
