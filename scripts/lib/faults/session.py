"""The scripted session: plan a tiny study, run what is missing of it in this process, report it.

It has one thread and makes the same system calls in the same order every time, so that the n-th
call is always the same one. Running it again is what a user does after a fault.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Self, final

from resformer.engines.local import Local
from resformer.model.settings import ModelSettings
from resformer.model.shape import Member, Recording, Shape, TrainSettings
from resformer.numerics.process import configure_worker
from resformer.plan import provenance
from resformer.reporting.analysis.summary import summarise
from resformer.residuals.add import Add
from resformer.results import runs
from resformer.results.members import read
from resformer.store.study import Study, find
from resformer.sweep import launch
from resformer.sweep.request import Request
from resformer.tasks.copy import Copy
from resformer.workers.events import Event
from resformer.workers.signals import Stop
from resformer.workers.worker import work

STUDY = "scripted"
RECORDING = Recording(keep_weights=True)
_RATES = (1e-3, 1e-2)
_CHECKPOINT_SECONDS = 0.0
"""A checkpoint before every step."""
_PATIENCE_SECONDS = 20.0

Heard = Callable[[Event], None]


@final
@dataclass(frozen=True, kw_only=True)
class Scope:
    """Seeds that the session trains, a job of two members each, and the lease of a claim."""

    seeds: Sequence[int] = range(3)
    lease_seconds: float = 1.0


scope = Scope()
"""Scope of every session of this process and its forks."""


class Stuck(Exception):
    """The session waited for a job that nobody else can hold."""


@final
@dataclass(frozen=True)
class Summary:
    """Result of a session that came to its end: why jobs failed, one line each."""

    failed: tuple[str, ...]


def shape() -> Shape:
    """Build the shape of all members; a few milliseconds per job."""
    model = ModelSettings(
        depth=1,
        width=8,
        heads=2,
        hidden=16,
        activation="relu",
        attention="causal",
        norm="post",
        skip="both",
    )
    settings = TrainSettings(
        steps=6,
        batch=8,
        warmup_steps=2,
        beta1=0.9,
        beta2=0.98,
        eps=1e-8,
        weight_decay=0.0,
        clip=1.0,
        eval_every=2,
        eval_sequences=16,
        target_accuracy=0.99,
        patience=5,
        stop_when_solved=True,
        compile=False,
        precision="fp32",
    )
    return Shape(
        task=Copy(length=5, symbols=8),
        model=model,
        residual=Add(),
        train=settings,
        device="cpu",
    )


def request() -> Request:
    """Build the session's request: a job of two members per seed."""
    engine = Local(
        workers=1, stack=2, retries=1, lease_seconds=scope.lease_seconds, memory_gib=None
    )
    members = [Member(seed=seed, lr=lr) for seed in scope.seeds for lr in _RATES]
    return Request(
        study=STUDY,
        overrides=[["train.compile=false"]],
        shapes=[(shape(), members)],
        engine=engine,
        checkpoint_seconds=_CHECKPOINT_SECONDS,
        recordings={shape(): RECORDING},
    )


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
    runs.ThreadPoolExecutor = _Inline  # type: ignore[attr-defined, assignment]
    # Half of a session's time, and the code stays as it is.
    provenance._hash = cache(provenance._hash)


@final
class _Inline:
    """A pool of no threads, so that a session's calls come in one order."""

    def __init__(self, workers: int) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        pass

    def map(self, call: Callable[[Any], Any], items: list[Any]) -> list[Any]:
        return [call(item) for item in items]

    def submit(self, call: Callable[..., Any], *arguments: Any) -> "Future[Any]":
        done: Future[Any] = Future()
        done.set_result(call(*arguments))
        return done
