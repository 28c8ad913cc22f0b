"""The scripted session: plan a tiny study, run what is missing of it in this process, read its
report.

It has one thread and makes the same system calls in the same order every time, so that the n-th
call is always the same one. Running it again is what a user does after a fault.
"""

import time
from collections.abc import Callable
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
from resformer.results import jobs
from resformer.results.members import read
from resformer.store.study import Study, find
from resformer.sweep import launch
from resformer.sweep.request import Request
from resformer.tasks.copy import Copy
from resformer.workers.events import Event
from resformer.workers.worker import work

STUDY = "scripted"
_RATES = (1e-3, 1e-2)
_SEEDS = range(3)
_LEASE_SECONDS = 1.0
_CHECKPOINT_SECONDS = 0.0
"""One before every step."""
_PATIENCE_SECONDS = 20.0


class Stuck(Exception):
    """The session waited, for a job that nobody else can hold."""


@final
@dataclass(frozen=True)
class Summary:
    """What a session that came to its end says."""

    failed: tuple[str, ...]
    """Why jobs failed, in one line each."""


def shape() -> Shape:
    """What is trained; a few milliseconds per job."""
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
    return Shape(Copy(length=5, symbols=8), model, Add(), settings, "cpu")


def request() -> Request:
    """What the session asks for: three jobs of two members each."""
    engine = Local(workers=1, stack=2, retries=1, lease_seconds=_LEASE_SECONDS, memory_gib=None)
    wanted = [Member(seed=seed, lr=lr) for seed in _SEEDS for lr in _RATES]
    return Request(
        STUDY,
        [["train.compile=false"]],
        [],
        [(shape(), wanted)],
        [],
        engine,
        _CHECKPOINT_SECONDS,
        notes=[],
        recordings={shape(): Recording(keep_weights=True)},
    )


def run(results: Path, tell: Callable[[Event], None]) -> Summary:
    """Plan, run what is missing, report. Raises what a command would have to say or show."""
    failed: list[str] = []
    deadline = time.monotonic() + _PATIENCE_SECONDS

    def listen(event: Event) -> None:
        if event.kind == "failed":
            failed.append(event.detail)
        tell(event)

    def stop(seconds: float) -> bool:
        if time.monotonic() > deadline:
            raise Stuck(f"nothing to do for {_PATIENCE_SECONDS:.0f} s")
        time.sleep(seconds)
        return False

    study = find(results, STUDY)
    found = launch.plan(request(), study)
    if found.wanted:
        work(found.start(["sweep"]), 0, 1, listen, stop)
    summarise(read([Study(results / STUDY)]))
    return Summary(tuple(failed))


def ready() -> None:
    """Make this process one in which sessions can be forked: a worker's settings, and no thread but
    this one.
    """
    configure_worker()
    jobs.ThreadPoolExecutor = _Inline  # type: ignore[attr-defined, assignment]
    provenance._hash = cache(
        provenance._hash
    )  # half of a session's time, and the code stays what it is


@final
class _Inline:
    """A pool of no threads, so that a session's calls come in one order."""

    def __init__(self, workers: int) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        pass

    def map(self, call: Callable[[Any], Any], given: list[Any]) -> list[Any]:
        return [call(one) for one in given]

    def submit(self, call: Callable[..., Any], *given: Any) -> "Future[Any]":
        done: Future[Any] = Future()
        done.set_result(call(*given))
        return done
