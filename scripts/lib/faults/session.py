"""The scripted session: plan a tiny study, run what is missing of it in this process, report it.

It has one thread and makes the same system calls in the same order every time, so that the n-th
call is always the same one. Running it again is what a user does after a fault.
"""

import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import final

from resformer import config
from resformer.model.shape import Recording, Shape
from resformer.numerics.backends.kernels import build
from resformer.numerics.process import configure_worker
from resformer.plan import provenance
from resformer.reporting.analysis.summary import summarise
from resformer.results import runs
from resformer.results.members import read
from resformer.store.study import Study, find
from resformer.sweep import launch
from resformer.sweep.request import Request
from resformer.workers.events import Event
from resformer.workers.signals import Stop
from resformer.workers.worker import work

STUDY = "scripted"
RECORDING = Recording(keep_weights=True)
_SETTINGS = (
    "task=copy",
    "task.length=5",
    "task.symbols=8",
    "model.depth=1",
    "model.width=8",
    "model.heads=2",
    "model.hidden=16",
    "member.seed=0,1,2",
    "member.lr=1e-3,1e-2",
    "train.steps=6",
    "train.batch=8",
    "train.warmup_steps=2",
    "train.eval_every=2",
    "train.eval_sequences=16",
    "train.compile=false",
    "train.keep_weights=true",
    "train.checkpoint_seconds=0",  # a checkpoint before every step
    "engine.workers=1",
    "engine.stack=2",  # a job per seed
    "engine.lease_seconds=1",
    "device=cpu",
)
_PATIENCE_SECONDS = 20.0

Heard = Callable[[Event], None]


scope: tuple[str, ...] = ()
"""Other settings of every session of this process and its forks."""


class Stuck(Exception):
    """The session waited for a job that nobody else can hold."""


@final
@dataclass(frozen=True)
class Summary:
    """Result of a session that came to its end: why jobs failed, one line each."""

    failed: tuple[str, ...]


@cache
def requested(*overrides: str) -> Request:
    """A request for the session's study with other settings."""
    settings = dict(override.split("=", 1) for override in (*_SETTINGS, *overrides))
    return config.request(STUDY, [f"{key}={value}" for key, value in settings.items()])


def request() -> Request:
    """The session's request."""
    return requested(*scope)


def shape(*overrides: str) -> Shape:
    """Shape of all members of a request."""
    ((shape, _),) = requested(*overrides).shapes
    return shape


def arithmetics() -> tuple[bool, ...]:
    """Values of `train.compile` that this machine can train with."""
    return (False, True) if build.missing() is None else (False,)


def run(results: Path, heard: Heard = lambda event: None) -> Summary:
    """Plan, run what is missing, report. Raises whatever a command would have to say or show."""
    failed: list[str] = []
    deadline = time.monotonic() + _PATIENCE_SECONDS

    def tell(event: Event) -> None:
        if event.kind == "failed":
            failed.append(event.detail)
        heard(event)

    def requested() -> bool:
        if time.monotonic() > deadline:
            raise Stuck(f"nothing to do for {_PATIENCE_SECONDS:.0f} s")
        return False

    study = find(results, STUDY)
    plan = launch.plan(request(), study)
    if plan.unfinished:
        assignment = plan.start(["sweep"])
        work(assignment, worker=0, workers=1, emit=tell, stop=Stop(requested))
    summarise(read([Study(results / STUDY)]))
    return Summary(tuple(failed))


def ready() -> None:
    """Prepare this process for sessions to be forked from it: a worker's settings, one thread."""
    configure_worker()
    inline = nullcontext(SimpleNamespace(map=map))  # so that a session's calls come in one order
    runs.ThreadPoolExecutor = lambda _: inline  # type: ignore[attr-defined, assignment]
    # Half of a session's time, and the code stays as it is.
    provenance._hash = cache(provenance._hash)
