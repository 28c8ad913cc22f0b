"""What was asked:
every combination of its settings as a shape to train, and the members of each.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import torch
from hydra.core.override_parser.types import Override

from resformer.config import study_file
from resformer.config.overrides import Axis, axis_of, check_size, combinations, line, parse, said
from resformer.config.sections import build, checked, variant
from resformer.config.tree import settings, unknown
from resformer.engines.base import Engine
from resformer.errors import Incompatible, UserError
from resformer.keys import COMPILE, DEVICES, OWN, Value, flatten, typed
from resformer.model.serial import digest, shape_to_json
from resformer.model.settings import ModelSettings
from resformer.model.shape import RESULTS_ONLY, Member, Recording, Shape, TrainSettings
from resformer.numerics.backends.kernels import build as library
from resformer.plan.jobs import Json
from resformer.plugins import studies
from resformer.residuals.base import Residual
from resformer.store.folder import check_name
from resformer.sweep.request import Request
from resformer.tasks.base import Task
from resformer.text import shortened


def request(study: str | None, overrides: Sequence[str]) -> Request:
    """Resolve what was asked; UserError says in one line what is wrong with it.

    Without a study and without overrides, but for how jobs run (engine, device), it is the quick
    study. Without a study, the name is made of the swept keys and a hash of the fixed settings, so
    that the same command finds its study again.
    """
    return _resolved(*_grids(study, overrides))


def single(overrides: Sequence[str]) -> Request:
    """The one job that `train` runs, as the study `train`; UserError if it is more than one."""
    own = parse(overrides)
    for key, override in own.items():
        if override.is_sweep_override() and not key.startswith("member."):
            raise UserError(f"{said(override)}: train runs one job; resformer sweep runs several")
    found = _resolved([own], "train")
    count = len(found.jobs())
    if count > 1:
        members = sum(len(members) for _, members in found.shapes)
        raise UserError(
            f"train runs one job, this makes {count}: set engine.stack={members}, or use sweep"
        )
    return found


def _resolved(grids: Sequence[Mapping[str, Override]], name: str | None) -> Request:
    shapes: dict[Shape, dict[Member, None]] = {}
    recordings: dict[Shape, Recording] = {}
    excluded: list[Json] = []
    notes: set[str] = set()
    ways: set[tuple[Engine, float]] = set()
    swept: dict[str, None] = {}
    every = [[axis_of(override) for override in grid.values()] for grid in grids]
    check_size(every)
    for axes in every:
        swept |= dict.fromkeys(axis.key for axis in axes if axis.swept)
        members = [build(Member, "member", member) for member in _members(axes)]
        for point in combinations([axis for axis in axes if not axis.key.startswith("member.")]):
            try:
                shape, recording, engine, checkpoint_seconds = _resolve(point, notes)
            except Incompatible as reason:
                wanted = {
                    key: value
                    for key, value in point.items()
                    if any(a.key == key and a.swept for a in axes)
                }
                excluded.append({"settings": wanted, "reason": str(reason)})
                continue
            shapes.setdefault(shape, {}).update(dict.fromkeys(members))
            recordings[shape] = recording.union(recordings.get(shape, RESULTS_ONLY))
            ways.add((engine, checkpoint_seconds))
    if not shapes:
        others = (
            f" (and {len(excluded) - 1} more combinations make no sense)"
            if len(excluded) > 1
            else ""
        )
        raise UserError(f"{excluded[0]['reason']}{others}")
    if len(ways) > 1:
        raise UserError(
            "engine, train.checkpoint_seconds: one sweep runs in one way; give each of these one "
            "value"
        )
    engine, checkpoint_seconds = ways.pop()
    return Request(
        study=name or _made_up_name(list(swept), shapes, recordings),
        overrides=[[line(override) for override in grid.values()] for grid in grids],
        swept=list(swept),
        shapes=[(shape, list(members)) for shape, members in shapes.items()],
        excluded=excluded,
        engine=engine,
        checkpoint_seconds=checkpoint_seconds,
        notes=sorted(notes),
        recordings=recordings,
    )


def _grids(
    study: str | None, overrides: Sequence[str]
) -> tuple[list[dict[str, Override]], str | None]:
    """The grids to run, each its overrides by key, and the study's name if it has one already."""
    if study is not None:
        check_name(study)
    own = parse(overrides)
    if study is None and all(key == "device" or key.startswith("engine") for key in own):
        study = "quick"
    saved = studies().get(study) if study is not None else None
    if saved is None:
        if study is not None and not own:
            there = shortened(", ".join(studies()))
            raise UserError(
                f"--study {study}: no such study file; there are {there}; or add KEY=VALUE"
            )
        return [own], study
    grids = [parse(grid) for grid in study_file.grids(saved)]
    return [
        {**{key: found for key, found in grid.items() if key not in own}, **own} for grid in grids
    ], study


def _members(axes: Sequence[Axis]) -> Iterator[Json]:
    defaults = {f"member.{key}": value for key, value in settings({})["member"].items()}
    chosen = [axis for axis in axes if axis.key.startswith("member.")]
    for axis in chosen:
        if axis.key not in defaults:
            raise unknown(axis.key, axis.values[0])
    for point in combinations(chosen):
        yield {key.removeprefix("member."): value for key, value in {**defaults, **point}.items()}


def _resolve(point: Mapping[str, Value], notes: set[str]) -> tuple[Shape, Recording, Engine, float]:
    """One combination of settings as what it means; Incompatible if it makes no sense. Adds what is
    worth a note.
    """
    tree = settings(point)
    model_settings = dict(tree["model"])
    task = variant("resformer.tasks", "task", tree["task"], Task)
    residual = variant(
        "resformer.residuals", "model.residual", model_settings.pop("residual"), Residual
    )
    engine = variant("resformer.engines", "engine", tree["engine"], Engine)
    model = build(ModelSettings, "model", model_settings)
    model = dataclasses.replace(
        model,
        hidden=4 * model.width if model.hidden is None else model.hidden,
        attention=task.attention if model.attention == OWN else model.attention,
        norm=residual.own_norm if model.norm == OWN else model.norm,
    )
    device = _device(tree["device"], engine.elsewhere)
    compile_it = _compile(tree["train"], device, notes)
    train_settings = {**tree["train"], "compile": compile_it}
    checkpoint_seconds = checked(
        Request,
        "checkpoint_seconds",
        "train.checkpoint_seconds",
        train_settings.pop("checkpoint_seconds"),
    )
    recording = Recording(
        keep_weights=checked(
            Recording, "keep_weights", "train.keep_weights", train_settings.pop("keep_weights")
        ),
        probe_every=checked(Recording, "probe_every", "probe.every", tree["probe"]["every"]),
    )
    train = build(TrainSettings, "train", train_settings)
    return Shape(task, model, residual, train, device), recording, engine, checkpoint_seconds


def _device(device: Value, elsewhere: bool) -> str:
    """What computes: with `auto` a GPU if this machine has one; asked for, it is there or
    `elsewhere`.
    """
    if device not in DEVICES:
        raise UserError(f"device={typed(device)}: must be one of {', '.join(DEVICES)}")
    there = torch.cuda.is_available() or (device == "cuda" and elsewhere)
    if device == "cuda" and not there:
        raise UserError(
            "device=cuda: there is no GPU that torch can use here; cpu or auto would work"
        )
    return "cuda" if there and device != "cpu" else "cpu"


def _compile(train: Json, device: str, notes: set[str]) -> bool:
    """Whether the kernels compute this shape: what is asked for, or with `auto` what can be had."""
    wanted = train["compile"]
    if wanted != "auto" and not isinstance(wanted, bool):
        raise UserError(f"train.compile={typed(wanted)}: must be one of {', '.join(COMPILE)}")
    fitting = (device, train["precision"]) == ("cpu", "fp32")
    if not wanted or not fitting:
        return wanted is True  # which the shape refuses
    if reason := library.missing():
        if wanted is True:
            raise UserError(f"train.compile=true: {reason}; auto or false would work")
        notes.add(f"train.compile=false: {reason}; training is slower without the kernels")
        return False
    return True


def _made_up_name(
    swept: Sequence[str],
    shapes: Mapping[Shape, Mapping[Member, None]],
    recordings: Mapping[Shape, Recording],
) -> str:
    """The swept keys and 6 hex digits of what is the same in all members."""
    everyone = dict.fromkeys(member for members in shapes.values() for member in members)
    parts = (
        [flatten(shape_to_json(shape, recordings[shape])) for shape in shapes],
        [flatten({"member": vars(member)}) for member in everyone],
    )
    fixed = {
        key: value
        for points in parts
        for key, value in points[0].items()
        if key not in swept and all(point.get(key) == value for point in points)
    }
    words = [key.rpartition(".")[2] for key in swept] or ["single"]
    return f"{'-'.join(words)[:60]}-{digest(fixed, 6)}"
