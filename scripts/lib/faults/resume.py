"""A training killed at any step, or while it writes how far it has come, and taken up again by
another process.

It must go on from where its last checkpoint stood, and its files must be those of a training that
nobody killed.
"""

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal, final

from lib.faults import session, zygote
from lib.faults.lanes import judged
from lib.faults.outcome import Outcome, Verdict, outcome, sampled
from resformer.model.shape import Member, Shape
from resformer.numerics.backends.kernels import build
from resformer.plan.jobs import Job
from resformer.residuals.add import Add
from resformer.residuals.base import Residual
from resformer.residuals.deepnorm import DeepNorm
from resformer.residuals.layerscale import LayerScale
from resformer.residuals.plain import Plain
from resformer.residuals.rezero import ReZero
from resformer.store import files
from resformer.store.study import Study
from resformer.training.population import Population
from resformer.workers.assignment import Assignment
from resformer.workers.events import Event
from resformer.workers.worker import work

SCHEMES: tuple[Residual, ...] = (
    Plain(),
    Add(),
    ReZero(0.0),
    DeepNorm(),
    LayerScale(0.1, 1e-5, 1e-6),
)
_STEPS, _EVERY = 12, 2
_EASY = 0.14
"""A target accuracy that some members reach within these steps, and one that does not learn does
not.
"""
_MEMBERS = (Member(1, 1e30), Member(0, 0.0), Member(3, 3e-2), Member(2, 1e-2), Member(7, 1e-1))
_TAME = _MEMBERS[1:]
_COMPARED = ("runs.parquet", "curves.parquet", "weights.safetensors")
_RETRIES = 100

Stack = Literal["whole", "compacted", "compacted late"]
"""Whether all members stay to the end, or leave the stack when they are done, or only when it pays,
as on a GPU.
"""
Place = Literal[
    "before its checkpoint",
    "half its arrays written",
    "its facts not written",
    "its checkpoint written",
]
_FIRST: Place = "before its checkpoint"
_WRITING: tuple[Place, ...] = (
    "half its arrays written",
    "its facts not written",
    "its checkpoint written",
)


@final
@dataclass(frozen=True)
class Kind:
    """What is trained."""

    scheme: int
    stack: Stack
    compiled: bool

    def __str__(self) -> str:
        name = type(SCHEMES[self.scheme]).__name__.lower()
        return f"{name}, {'compiled' if self.compiled else 'eager'}, stack {self.stack}"

    def job(self) -> Job:
        """The one job of the study."""
        shape, residual = session.shape(), SCHEMES[self.scheme]
        train = replace(
            shape.train,
            steps=_STEPS,
            eval_every=_EVERY,
            compile=self.compiled,
            target_accuracy=_EASY,
            stop_when_solved=self.stack != "whole",
        )
        model = replace(shape.model, depth=2, norm=residual.own_norm)
        members = _TAME if self.stack == "whole" else _MEMBERS
        return Job(Shape(shape.task, model, residual, train, "cpu"), members)


@final
@dataclass(frozen=True)
class Killed:
    """A training that is killed before a step, or as it writes the checkpoint there; several times:
    once a process.
    """

    kind: Kind
    steps: tuple[int, ...]
    place: Place

    def __str__(self) -> str:
        return f"{self.kind}, killed at step {', '.join(map(str, self.steps))}, {self.place}"

    def left(self, number: int) -> int | None:
        """The step of the last checkpoint once so many processes were killed; None if there was
        none.
        """
        last = (
            self.steps[number] if self.place == "its checkpoint written" else self.steps[number] - 1
        )
        return last if last >= 0 else None


def run(most: int | None, scratch: Path) -> Outcome:
    """Kill before every step, and in one of the other places there, for every kind; and one after
    the other.
    """
    began = time.perf_counter()
    session.ready()
    arithmetics = (False, True) if build.missing() is None else (False,)
    stacks: tuple[Stack, ...] = ("whole", "compacted", "compacted late")
    kinds = [
        Kind(scheme, stack, compiled)
        for compiled in arithmetics
        for stack in stacks
        for scheme in range(len(SCHEMES))
    ]
    trials = [
        Killed(kind, (step,), place)
        for number, kind in enumerate(kinds)
        for step in range(_STEPS)
        for place in (_FIRST, _WRITING[(step + number) % len(_WRITING)])
    ]
    trials += [Killed(kind, tuple(range(1, _STEPS, 2)), _FIRST) for kind in kinds]
    chosen = sampled(trials, most)
    whole = {kind: _undisturbed(kind, scratch) for kind in {trial.kind: None for trial in chosen}}
    verdicts = judged(chosen, partial(_tried, whole), scratch)
    ends = Counter(verdict.ends for verdict in verdicts)
    notes = [
        f"{len(whole)} kinds of training, {sum(len(trial.steps) for trial in chosen)} processes "
        "killed"
    ]
    notes += [f"{count} {end}" for end, count in ends.most_common()]
    return outcome("killed at a step, then resumed", chosen, verdicts, notes, began)


def _undisturbed(kind: Kind, scratch: Path) -> Mapping[str, bytes]:
    """What a training leaves that nobody kills; RuntimeError if it is not one that this campaign is
    about.
    """
    study, folder = Study(scratch / "whole" / "resumed"), scratch / "whole"
    _launch(study, kind.job())
    said = zygote.ask(_live, study, kind, None, None)
    if said[-1:] != ["finished"]:
        raise RuntimeError(f"{kind}: an undisturbed training: {'; '.join(said)}")
    job = kind.job()
    ends = set(study.read(job.id, "runs")["last_step"])
    if len(ends) < 3 if kind.stack != "whole" else ends != {_STEPS}:
        raise RuntimeError(f"{kind}: its members end at the steps {sorted(ends)}")
    found = _files(study, job)
    folder.rename(scratch / f"whole-{kind}")
    return found


def _tried(whole: Mapping[Kind, Mapping[str, bytes]], trial: Killed, folder: Path) -> Verdict:
    """Kill as often as it is to be, let it end, compare."""
    study, job = Study(folder / "resumed"), trial.kind.job()
    _launch(study, job)
    broken, resumed = [], None
    for number, step in enumerate(trial.steps):
        said = zygote.ask(_live, study, trial.kind, step, trial.place)
        broken += (
            []
            if said == ["the check died"]
            else [f"was not killed at step {step}: {'; '.join(said)}"]
        )
        broken += [f"has a result, killed at step {step}"] if study.has_result(job.id) else []
        resumed = trial.left(number)
    said = zygote.ask(_live, study, trial.kind, None, None)
    wanted = ["started", *([] if resumed is None else [f"resumed from step {resumed}"]), "finished"]
    broken += [] if said == wanted else [f"said {'; '.join(said)}, not {'; '.join(wanted)}"]
    if said[-1:] == ["finished"]:
        there = _files(study, job)
        broken += [
            f"{name} is another" for name in _COMPARED if there[name] != whole[trial.kind][name]
        ]
        broken += [f"{path.name} is left" for path in study.job(job.id).rglob("*checkpoint-*")]
    return Verdict(tuple(broken), "started again" if resumed is None else "resumed")


def _launch(study: Study, job: Job) -> None:
    study.path.parent.mkdir(parents=True, exist_ok=True)
    study.launch({"excluded": [], "engine": {"retries": _RETRIES}}, [job.to_json()])


def _files(study: Study, job: Job) -> Mapping[str, bytes]:
    return study.verified(job.id, _COMPARED)[1]


def _live(study: Study, kind: Kind, step: int | None, place: Place | None) -> list[str]:
    """The life of a process that runs the job, and dies there: what happened to the job, but for
    its progress.
    """
    if kind.stack == "compacted late":
        Population.worth_keeping = lambda self, rows: 2 * rows // 3  # type: ignore[method-assign]
    said: list[str] = []
    beats = _Beats()

    def tell(event: Event) -> None:
        if event.kind == "resumed":
            beats.begin_at(int(event.detail.rpartition(" ")[2]))
        if event.kind != "progress":
            said.append(f"{event.kind} {event.detail}".strip())

    def stop(seconds: float) -> bool:
        if seconds:
            time.sleep(seconds)
        if beats.next() == step and place == _FIRST:
            _die()
        return False

    if step is not None:
        files.write = _dying(files.write, step, place)
    assignment = Assignment(study.path, 1, (kind.job().id,), _RETRIES, 1.0, 0.0)
    work(assignment, 0, 1, tell, stop)
    return said


@final
class _Beats:
    """Counts the steps by how often the worker asks whether to stop: once for the job, then before
    every step.
    """

    def __init__(self) -> None:
        self._at = -2

    def begin_at(self, step: int) -> None:
        """The next one is asked before this step."""
        self._at = step - 1

    def next(self) -> int:
        """The step before which this is asked; under 0 for the job."""
        self._at += 1
        return self._at


def _dying(
    write: Callable[[Path, bytes], None], step: int, place: Place | None
) -> Callable[[Path, bytes], None]:
    """Writes, and dies over the checkpoint of this step."""
    arrays, facts = f"checkpoint-{step}.safetensors", f"checkpoint-{step}.json"

    def dying(path: Path, data: bytes) -> None:
        if path.name == arrays and place == "half its arrays written":
            path.with_name(f".{path.name}.torn.tmp").write_bytes(data[: len(data) // 2])
            _die()
        write(path, data)
        if path.name == (arrays if place == "its facts not written" else facts) and place != _FIRST:
            _die()

    return dying


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
