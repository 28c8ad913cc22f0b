"""A training killed at any step, or while it writes a checkpoint, and resumed by another process.

It must go on from its last checkpoint, and its files must be those of a training that nobody
killed.
"""

import itertools
import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, final, get_args

from lib.faults import forked, session
from lib.faults.campaign import Campaign, Outcome, Verdict, sampled, tried, verdict
from resformer.model.shape import Member
from resformer.plan.jobs import Job
from resformer.store import files
from resformer.store.study import Study
from resformer.training.population import Population
from resformer.workers.assignment import Assignment
from resformer.workers.events import Event
from resformer.workers.signals import Stop
from resformer.workers.worker import work

SCHEMES = ("plain", "add", "rezero", "deepnorm", "layerscale")
_STEPS = 12
_SETTINGS = (
    f"train.steps={_STEPS}",
    "train.eval_every=2",
    # Some members reach this within these steps; one that does not learn does not.
    "train.target_accuracy=0.14",
    "model.depth=2",
)
_MEMBERS = (
    Member(seed=1, lr=1e30),
    Member(seed=0, lr=0.0),
    Member(seed=3, lr=3e-2),
    Member(seed=2, lr=1e-2),
    Member(seed=7, lr=1e-1),
)
_TAME = _MEMBERS[1:]
_COMPARED = ("runs.parquet", "curves.parquet", "weights.safetensors")
_RETRIES = 100

Files = Mapping[str, bytes]

Stack = Literal["whole", "compacted", "compacted late"]
"""Members all stay to the end, or leave the stack when they are done, or only when it pays, as on a
GPU.
"""
Writing = Literal["half its arrays written", "its facts not written", "its checkpoint written"]
Place = Literal["before its checkpoint"] | Writing
_FIRST: Place = "before its checkpoint"
_WRITING: tuple[Writing, ...] = get_args(Writing)


@final
@dataclass(frozen=True)
class Kind:
    """Scheme, stack and arithmetic of a training."""

    scheme: str
    stack: Stack
    compiled: bool

    def __str__(self) -> str:
        return f"{self.scheme}, {'compiled' if self.compiled else 'eager'}, stack {self.stack}"

    def job(self) -> Job:
        """Build the one job of the study."""
        shape = session.shape(
            *_SETTINGS,
            f"model/residual={self.scheme}",
            f"train.compile={str(self.compiled).lower()}",
            f"train.stop_when_solved={str(self.stack != 'whole').lower()}",
        )
        members = _TAME if self.stack == "whole" else _MEMBERS
        return Job(shape=shape, members=members, recording=session.RECORDING)


@final
@dataclass(frozen=True)
class Killed:
    """A training whose processes are killed at a step each, at the same place of it."""

    kind: Kind
    steps: tuple[int, ...]
    place: Place

    def __str__(self) -> str:
        return f"{self.kind}, killed at step {', '.join(map(str, self.steps))}, {self.place}"

    def left(self, number: int) -> int | None:
        """Step of the last checkpoint that the n-th process left; None if there was none."""
        last = self.steps[number] - (self.place != "its checkpoint written")
        return last if last >= 0 else None


def _resume(most: int | None, scratch: Path) -> Outcome:
    """Kill each kind of training before every step and in one other place there; and repeatedly."""
    session.ready()
    kinds = [
        Kind(scheme, stack, compiled)
        for compiled in session.arithmetics()
        for stack in get_args(Stack)
        for scheme in SCHEMES
    ]
    trials = [
        Killed(kind, (step,), place)
        for number, kind in enumerate(kinds)
        for step in range(_STEPS)
        for place in (_FIRST, _WRITING[(step + number) % len(_WRITING)])
    ]
    trials += [Killed(kind, tuple(range(1, _STEPS, 2)), _FIRST) for kind in kinds]
    chosen = sampled(trials, most)
    undisturbed = {kind: _undisturbed(kind, scratch) for kind in {killed.kind for killed in chosen}}
    deaths = sum(len(killed.steps) for killed in chosen)
    note = f"{len(undisturbed)} kinds of training, {deaths} processes killed"
    return tried(chosen, partial(_tried, undisturbed), scratch, notes=[note])


RESUME = Campaign(
    name="resume", fault="killed at a step, then resumed", short=24, full=330, run=_resume
)


def _undisturbed(kind: Kind, scratch: Path) -> Files:
    """Files of a training that nobody kills; RuntimeError if its members do not end as meant."""
    study, job = Study(scratch / f"whole-{kind}" / "resumed"), kind.job()
    _launch(study, job)
    events = forked.ask(_live, study, kind, None, None)
    if events[-1:] != ["finished"]:
        raise RuntimeError(f"{kind}: an undisturbed training: {'; '.join(events)}")
    ends = set(study.results.table(job.id, "runs")["last_step"])
    if len(ends) < 3 if kind.stack != "whole" else ends != {_STEPS}:
        raise RuntimeError(f"{kind}: its members end at the steps {sorted(ends)}")
    return _files(study, job)


def _tried(undisturbed: Mapping[Kind, Files], killed: Killed, folder: Path) -> Verdict:
    """Kill as often as it is to be, let it end, compare."""
    study, job = Study(folder / "resumed"), killed.kind.job()
    _launch(study, job)
    broken, resumed = [], None
    for number, step in enumerate(killed.steps):
        events = forked.ask(_live, study, killed.kind, step, killed.place)
        if events != forked.DIED:
            broken.append(f"was not killed at step {step}: {'; '.join(events)}")
        if study.results.has(job.id):
            broken.append(f"has a result, killed at step {step}")
        resumed = killed.left(number)
    events = forked.ask(_live, study, killed.kind, None, None)
    going_on = [] if resumed is None else [f"resumed from step {resumed}"]
    expected = ["started", *going_on, "finished"]
    if events != expected:
        broken.append(f"said {'; '.join(events)}, not {'; '.join(expected)}")
    if events[-1:] == ["finished"]:
        files, whole = _files(study, job), undisturbed[killed.kind]
        broken += [f"{name} is another" for name in _COMPARED if files[name] != whole[name]]
        broken += [f"{path.name} is left" for path in study.job(job.id).rglob("*checkpoint-*")]
    return verdict(killed, broken, "started again" if resumed is None else "resumed")


def _launch(study: Study, job: Job) -> None:
    study.path.parent.mkdir(parents=True, exist_ok=True)
    study.launch({"excluded": [], "engine": {"retries": _RETRIES}}, [job.to_json()])


def _files(study: Study, job: Job) -> Files:
    return dict(study.results.read(job.id, _COMPARED).contents)


def _live(study: Study, kind: Kind, step: int | None, place: Place | None) -> list[str]:
    """Run the job and die there; returns the events of the job, but for its progress."""
    if kind.stack == "compacted late":
        Population.worth_keeping = lambda self, rows: 2 * rows // 3  # type: ignore[method-assign]
    events: list[str] = []
    # The worker asks whether to stop once for the job, then before each step.
    steps = itertools.count(-1)

    def tell(event: Event) -> None:
        nonlocal steps
        if event.kind == "resumed":
            steps = itertools.count(int(event.detail.rpartition(" ")[2]))
        if event.kind != "progress":
            events.append(f"{event.kind} {event.detail}".strip())

    def requested() -> bool:
        if next(steps) == step and place == _FIRST:
            _die()
        return False

    if step is not None:
        files.write = _dying(files.write, step, place)  # type: ignore[assignment]
    assignment = Assignment(
        study=study.path,
        launch=1,
        jobs=(kind.job().id,),
        retries=_RETRIES,
        lease_seconds=1.0,
        checkpoint_seconds=0.0,
        keep_checkpoint=False,
    )
    work(assignment, worker=0, workers=1, emit=tell, stop=Stop(requested))
    return events


def _dying(
    write: Callable[[Path, bytes], None], step: int, place: Place | None
) -> Callable[[Path, bytes], None]:
    """Make a `write` that dies over the checkpoint of this step."""
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
