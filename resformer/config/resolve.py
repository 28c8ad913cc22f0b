"""Resolution: every combination of a request's settings as a shape, with its members."""

import dataclasses
import difflib
import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, final

from resformer import plugins
from resformer.config import idle as idle_settings
from resformer.config import study_file, workable
from resformer.config.machine import Machine
from resformer.config.overrides import Axis, Setting, axes_of, check_size, combinations, parse
from resformer.config.sections import build, build_variant, checked
from resformer.config.tree import check_key, member_defaults, preset_of, settings
from resformer.engines.base import Engine
from resformer.errors import Incompatible, UserError, require_between
from resformer.keys import COMPILE, DEVICES, OWN, Json, Value, flatten, in_message
from resformer.model.own_module import NO_PROBE
from resformer.model.program import has_program
from resformer.model.serial import digest, shape_to_json
from resformer.model.settings import MOST_WIDTH, ModelSettings
from resformer.model.shape import (
    RESULTS_ONLY,
    Member,
    Recording,
    Shape,
    TrainSettings,
    model_for,
)
from resformer.model.sizing import Size, Sized, nearest
from resformer.optimizers.base import Optimizer
from resformer.residuals.base import Residual
from resformer.store.folder import TRAINED, check_name
from resformer.sweep.module_trial import try_module
from resformer.sweep.rate_grid import AUTO, start
from resformer.sweep.request import Request
from resformer.sweep.trial import try_scheme, try_task
from resformer.tasks.base import Task
from resformer.text import shortened

_ABOUT = 0.1
"""Largest share by which numbers of parameters may differ without a note."""
_SIZES = {"model.width", "model.parameters"}
"""Keys that stand for each other: either replaces a study's other one."""
_LITTLE_KEPT = "train.recompute: has no effect where kernels take whole steps, which keep little"


def request(study: str | None, overrides: Sequence[str], machine: Machine | None = None) -> Request:
    """Resolve a request on a machine, by default this one; UserError in one line if it is wrong.

    Without a study and without overrides, except for how jobs run (engine, device), it is the quick
    study. Without a study, the name is made of the swept keys and a hash of the fixed settings, so
    that the same command finds its study again.
    """
    return _resolved(*_grids(study, overrides), machine or Machine.here())


def of_grids(study: str, grids: Sequence[Sequence[str]], file: Path) -> Request:
    """Resolve the grids of a file, each a list of overrides, as a study of this name; UserError,
    with the file, if they are wrong.
    """
    check_name(study)
    return _resolved([_parsed(grid, file) for grid in grids], study, Machine.here())


def single(overrides: Sequence[str]) -> Request:
    """Resolve the one job of `train`, in the study `train`; UserError if there are more."""
    own = parse(overrides)
    for axis in axes_of(own.values()):
        text = shortened(own[axis.key].line)
        if axis.swept and not axis.key.startswith("member."):
            raise UserError(f"{text}: train runs one job; resformer sweep runs several")
        if _is_auto(axis):
            raise UserError(
                f"{text}: train does not search; give it a rate, or use resformer sweep"
            )
    resolved = _resolved([own], TRAINED, Machine.here())
    if resolved.engine.elsewhere:
        name = plugins.name_of(resolved.engine)
        raise UserError(
            f"engine={name}: train runs one job in this process; resformer sweep --engine {name} "
            "has others run it"
        )
    count = len(resolved.jobs())
    if count > 1:
        members = sum(len(members) for _, members in resolved.shapes)
        raise UserError(
            f"train runs one job, this makes {count}: set engine.stack={members}, or use sweep"
        )
    return resolved


@final
@dataclass(frozen=True, kw_only=True)
class _Point:
    """A combination of settings, resolved."""

    shape: Shape
    recording: Recording
    engine: Engine
    checkpoint_seconds: float
    keep_checkpoint: bool
    recompute: bool
    parameters: int | None
    """Number of parameters that the width was solved for."""
    notes: tuple[str, ...]
    """Notes for the user on how it was resolved."""
    idle: frozenset[str]
    """Keys of settings that have no effect on it."""


def _resolved(
    grids: Sequence[Mapping[str, Setting]], name: str | None, machine: Machine
) -> Request:
    shapes: dict[Shape, dict[Member, None]] = {}
    recordings: dict[Shape, Recording] = {}
    auto_rates: set[Shape] = set()
    excluded: list[Json] = []
    notes: set[str] = set()
    idle, used = set[str](), set[str]()
    ways: set[tuple[Engine, float, bool, bool]] = set()
    parameters: set[int | None] = set()
    swept: dict[str, None] = {}
    given_by_grid = [axes_of(grid.values()) for grid in grids]
    for axis in itertools.chain.from_iterable(given_by_grid):
        check_key(axis.key, axis.values)
    first_rates = _first_rates([*itertools.chain.from_iterable(given_by_grid)])
    axes_by_grid = [[_with_rates(axis, first_rates) for axis in axes] for axes in given_by_grid]
    check_size(axes_by_grid)
    for given, axes in zip(given_by_grid, axes_by_grid, strict=True):
        searching = any(map(_is_auto, given))
        swept_here = dict.fromkeys(axis.key for axis in axes if axis.swept)
        swept |= swept_here
        typed = {axis.key for axis in axes}
        for values in combinations([axis for axis in axes if not axis.key.startswith("member.")]):
            try:
                point = _resolve(values, machine)
            except Incompatible as reason:
                varied = {key: value for key, value in values.items() if key in swept_here}
                excluded.append({"settings": varied, "reason": _with_preset(str(reason), values)})
                continue
            members = _members(axes, values)
            idle |= typed & point.idle
            used |= typed - point.idle
            shapes.setdefault(point.shape, {}).update(dict.fromkeys(members))
            recording = recordings.get(point.shape, RESULTS_ONLY)
            recordings[point.shape] = recording.union(point.recording)
            auto_rates |= {point.shape} if searching else set()
            ways.add(
                (point.engine, point.checkpoint_seconds, point.keep_checkpoint, point.recompute)
            )
            parameters.add(point.parameters)
            notes |= {*point.notes, *workable.check_rates(members, point.shape.optimizer)}
            notes |= {_search_note(first_rates)} if searching else set()
    if not shapes:
        alike = len({row["reason"] for row in excluded}) == 1
        others = f" (and {len(excluded) - 1} more combinations make no sense)"
        more = "" if alike else others
        raise UserError(f"{excluded[0]['reason']}{more}")
    if len(ways) > 1:
        raise UserError(
            "engine, train.checkpoint_seconds, train.keep_checkpoint, train.recompute: one sweep "
            "runs in one way; give each of these one value"
        )
    if len(parameters) > 1:
        raise UserError(
            "model.parameters: a report tells models apart by their width; give it one value, "
            "another one in another study"
        )
    engine, checkpoint_seconds, keep_checkpoint, recompute = ways.pop()
    return Request(
        study=name or _made_up_name([*swept], shapes, recordings, parameters.pop()),
        overrides=[[*dict.fromkeys(each.line for each in grid.values())] for grid in grids],
        swept=list(swept),
        shapes=[(shape, list(members)) for shape, members in shapes.items()],
        excluded=excluded,
        engine=engine,
        checkpoint_seconds=checkpoint_seconds,
        keep_checkpoint=keep_checkpoint,
        recompute=recompute,
        notes=sorted({*notes, *idle_settings.note(idle - used)}),
        recordings=recordings,
        auto_rates=frozenset(auto_rates),
    )


def _with_preset(reason: str, values: Mapping[str, Value]) -> str:
    """Reason why a combination makes no sense; where it is a setting that was not given, but a
    preset's, with the preset. What the scheme calls for goes with each.
    """
    setting, _, why = reason.partition(": ")
    key = setting.partition("=")[0]
    preset = preset_of(key, values)
    if not preset:
        return reason
    hint = f"; {key}={OWN} would work" if key == "model.norm" else ""
    return f"{setting}, of {preset}: {why}{hint}"


def _is_auto(axis: Axis) -> bool:
    """True of `member.lr=auto`; UserError if it is one of several values."""
    if axis.key != "member.lr" or AUTO not in axis.values:
        return False
    if len(axis.values) > 1:
        values = ",".join(map(in_message, axis.values))
        raise UserError(f"member.lr={values}: auto stands alone, or give all rates")
    return True


def _first_rates(axes: Sequence[Axis]) -> Sequence[float]:
    """Rates that `auto` starts with, by the usual ones of the optimisers; none without it."""
    if not any(map(_is_auto, axes)):
        return ()
    names = [name for axis in axes if axis.key == "optimizer" for name in axis.values]
    points: list[dict[str, Value]] = [{"optimizer": name} for name in names] or [{}]
    return start([build(Member, "member", member_defaults(point)).lr for point in points])


def _with_rates(axis: Axis, rates: Sequence[float]) -> Axis:
    """The axis with the rates that `auto` starts with."""
    return Axis(axis.key, tuple(rates), swept=True) if _is_auto(axis) else axis


def _search_note(rates: Sequence[float]) -> str:
    """A note on the rates that `auto` starts with, and on those that may follow."""
    return (
        f"member.lr=auto: starts with {', '.join(f'{rate:g}' for rate in rates)}; more rates may "
        "follow in further rounds, where the best of a cell that solves is the smallest or the "
        "largest"
    )


def _grids(
    study: str | None, overrides: Sequence[str]
) -> tuple[list[dict[str, Setting]], str | None]:
    """The settings of each grid by key, and the study's name if it has one already."""
    if study is not None and "/" in study and (name := Path(study).stem) in plugins.studies():
        raise UserError(f"--study {study}: is a path, not a name; did you mean --study {name}?")
    if study is not None:
        check_name(study)
    if study == TRAINED:
        raise UserError(f"--study {study}: holds what resformer train trains; use another name")
    own = parse(overrides, plugins.studies())
    if study is None and all(key == "device" or key.startswith("engine") for key in own):
        study = "quick"
    saved = plugins.studies().get(study) if study is not None else None
    if saved is None:
        if study is not None and study.removesuffix(".yaml") in plugins.studies():
            name = study.removesuffix(".yaml")
            raise UserError(f"--study {study}: no such study file; did you mean --study {name}?")
        if study is not None and not own:
            names = shortened(", ".join(plugins.studies()))
            similar = difflib.get_close_matches(study, plugins.studies(), n=1)
            hint = f"did you mean {similar[0]}? Or" if similar else f"there are {names}; or"
            raise UserError(f"--study {study}: no such study file; {hint} add KEY=VALUE")
        return [own], study
    grids = [_parsed(grid, saved) for grid in study_file.grids(saved)]
    return [{**_not_replaced(grid, own), **own} for grid in grids], study


def _not_replaced(grid: Mapping[str, Setting], own: Collection[str]) -> dict[str, Setting]:
    """The settings of a study's grid but for those given anew, of a zip all or none: UserError for
    a part of it.
    """
    own = {*own, *(_SIZES if _SIZES & {*own} else ())}
    kept = {key: setting for key, setting in grid.items() if key not in own}
    for zipped in dict.fromkeys(setting.zipped for setting in kept.values() if setting.zipped):
        keys = [key for key, setting in grid.items() if setting.zipped == zipped]
        if replaced := [key for key in keys if key in own]:
            others = ", ".join(key for key in keys if key not in own)
            raise UserError(
                f"{', '.join(replaced)}: the study has it in {shortened(zipped)}, which is "
                f"replaced as a whole; give {others}, too"
            )
    return kept


def _parsed(grid: Sequence[str], file: Path) -> dict[str, Setting]:
    """The settings of a study file's grid by key; UserError, with the file, for a key or a form
    that there is not.
    """
    try:
        parsed = parse(grid)
        for axis in axes_of(parsed.values()):
            check_key(axis.key, axis.values)
    except UserError as error:
        raise UserError(f"{file}: {error}") from error
    return parsed


def _members(axes: Sequence[Axis], values: Mapping[str, Value]) -> Sequence[Member]:
    """Members of a combination: what is not given is as the variants have it, such as the learning
    rate of an optimiser.
    """
    chosen = tuple(axis for axis in axes if axis.key.startswith("member."))
    return _built_members(chosen, tuple(member_defaults(values).items()))


@cache
def _built_members(
    axes: tuple[Axis, ...], defaults: tuple[tuple[str, Value], ...]
) -> Sequence[Member]:
    """Members of these axes. Thousands of combinations have the same."""
    return [
        build(
            Member,
            "member",
            {
                **dict(defaults),
                **{key.removeprefix("member."): value for key, value in point.items()},
            },
        )
        for point in combinations(axes)
    ]


def _resolve(values: Mapping[str, Value], machine: Machine) -> _Point:
    """Resolve a combination of settings; Incompatible if it makes no sense."""
    tree = settings(values)
    model_settings, train_settings = dict(tree["model"]), dict(tree["train"])
    task = build_variant("task", tree["task"], Task).resolved()
    residual = build_variant("model.residual", model_settings.pop("residual"), Residual)
    try_task(task)
    engine = build_variant("engine", tree["engine"], Engine)
    device = _device(tree["device"], machine.has_gpu, engine.elsewhere)
    size = build(Size, "model", {"parameters": model_settings.pop("parameters")})
    size_note = ""
    if size.parameters is not None:
        if "model.width" in values:
            width = in_message(values["model.width"])
            raise UserError(
                f"model.parameters={size.parameters}: is what the width is solved for; leave out "
                f"model.width={width}"
            )
        sized = _sized(size.parameters, tuple(model_settings.items()), residual, task)
        model_settings["width"] = sized.width
        size_note = _size_note(size.parameters, sized, model_settings["depth"])
    train_settings["compile"], note = _compile(tree["train"], device, machine)
    checkpoint_seconds = checked(
        Request,
        "checkpoint_seconds",
        "train.checkpoint_seconds",
        train_settings.pop("checkpoint_seconds"),
    )
    keep_checkpoint = checked(
        Request,
        "keep_checkpoint",
        "train.keep_checkpoint",
        train_settings.pop("keep_checkpoint"),
    )
    recompute = checked(Request, "recompute", "train.recompute", train_settings.pop("recompute"))
    keep_weights = checked(
        Recording, "keep_weights", "train.keep_weights", train_settings.pop("keep_weights")
    )
    probe_every = checked(Recording, "probe_every", "probe.every", tree["probe"]["every"])
    train = build(TrainSettings, "train", train_settings)
    optimizer = build_variant("optimizer", tree["optimizer"], Optimizer)
    model = _model(model_settings, residual, task)
    idle = idle_settings.idle(model, train, optimizer)
    model = dataclasses.replace(model, **_of_section(idle, "model"))
    train = dataclasses.replace(train, **_of_section(idle, "train"))
    try_scheme(residual, model)
    shape = Shape(
        task=task,
        model=model,
        residual=residual,
        optimizer=optimizer,
        train=train,
        device=device,
    )
    if (own := shape.transformer().own) is not None:
        try_module(own)
        if probe_every is not None:
            raise Incompatible(
                f"probe.every={probe_every}: {NO_PROBE}; with model.module={own.path} null would "
                "work"
            )
    notes = workable.check(shape, warmup_given="train.warmup_steps" in values)
    if recompute and has_program(shape.transformer(), device):
        notes.append(_LITTLE_KEPT)
    return _Point(
        shape=shape,
        recording=Recording(keep_weights=keep_weights, probe_every=probe_every),
        engine=engine,
        checkpoint_seconds=checkpoint_seconds,
        keep_checkpoint=keep_checkpoint,
        recompute=recompute,
        parameters=size.parameters,
        notes=(*filter(None, (note, size_note)), *notes),
        idle=frozenset(idle),
    )


def _model(model_settings: Json, residual: Residual[Any], task: Task) -> ModelSettings:
    """The settings of the model, `own` and the FFN's width resolved."""
    model = build(ModelSettings, "model", model_settings)
    norm = residual.own_norm if model.module is None else "none"
    return dataclasses.replace(
        model,
        hidden=4 * model.width if model.hidden is None else model.hidden,
        attention=task.attention if model.attention == OWN else model.attention,
        norm=norm if model.norm == OWN else model.norm,
    )


@cache
def _sized(
    parameters: int,
    model_settings: tuple[tuple[str, Value], ...],
    residual: Residual[Any],
    task: Task,
) -> Sized:
    """The width with which a model has about so many parameters: a multiple of its heads, with
    rotary positions an even one.
    """
    settings = dict(model_settings)
    heads = checked(ModelSettings, "heads", "model.heads", settings["heads"])
    require_between("model.heads", heads, low=1, high=MOST_WIDTH, unit=", the width")
    step = 2 * heads if settings["position"] == "rope" else heads

    def model(width: int) -> ModelSettings:
        return _model({**settings, "width": width}, residual, task)

    def num_parameters(width: int) -> int:
        return model_for(task, model(width), residual).num_parameters

    widths = range(max(step, 2), MOST_WIDTH + 1, step)
    try_scheme(residual, model(widths[0]))
    return nearest(parameters, num_parameters, widths, where=f"model.depth={settings['depth']}")


def _size_note(parameters: int, sized: Sized, depth: Value) -> str:
    """A note on a model whose number of parameters is not even about the one asked for; or ""."""
    if abs(sized.parameters - parameters) <= _ABOUT * parameters:
        return ""
    return (
        f"model.parameters={parameters}: model.depth={depth} has {sized.parameters:,}, of "
        f"model.width={sized.width}, the nearest that its heads divide"
    )


def _of_section(settings: Mapping[str, Value], section: str) -> dict[str, Any]:
    """The settings of a section, by their last words."""
    keys = [key for key in settings if key.startswith(f"{section}.")]
    return {key.partition(".")[2]: settings[key] for key in keys}


def _device(device: Value, has_gpu: bool, elsewhere: bool) -> str:
    """Resolve `auto` to a GPU if this machine has one; `cuda` needs one here or workers on other
    machines.
    """
    if device not in DEVICES:
        raise UserError(f"device={in_message(device)}: must be one of {', '.join(DEVICES)}")
    available = has_gpu or (device == "cuda" and elsewhere)
    if device == "cuda" and not available:
        raise UserError(
            "device=cuda: there is no GPU that torch can use here; cpu or auto would work"
        )
    return "cuda" if available and device != "cpu" else "cpu"


def _compile(train: Json, device: str, machine: Machine) -> tuple[bool, str]:
    """Resolve `auto` to whether compiled kernels are available; also returns a note, or ""."""
    choice = train["compile"]
    if choice != "auto" and not isinstance(choice, bool):
        raise UserError(f"train.compile={in_message(choice)}: must be one of {', '.join(COMPILE)}")
    fitting = device == "cuda" or train["precision"] == "fp32"
    if not choice or not fitting:
        return choice is True, ""  # which the shape refuses
    if reason := machine.missing_kernels(device, str(train["precision"])):
        if choice is True:
            raise UserError(f"train.compile=true: {reason}; auto or false would work")
        slower = "; training is slower without the kernels" if device == "cpu" else ""
        return False, f"train.compile=false: {reason}{slower}"
    return True, machine.kernels_note() if device == "cpu" else ""


def _made_up_name(
    swept: Sequence[str],
    shapes: Mapping[Shape, Mapping[Member, None]],
    recordings: Mapping[Shape, Recording],
    parameters: int | None,
) -> str:
    """The swept keys and 6 hex digits of a hash of the settings that all members share, and of the
    number of parameters that widths were solved for.
    """
    distinct = dict.fromkeys(member for members in shapes.values() for member in members)
    parts = (
        [flatten(shape_to_json(shape, recordings[shape])) for shape in shapes],
        [flatten({"member": vars(member)}) for member in distinct],
    )
    fixed = {
        key: value
        for points in parts
        for key, value in points[0].items()
        if key not in swept and all(point.get(key) == value for point in points)
    }
    if parameters is not None:
        fixed["model.parameters"] = parameters
    words = [key.rpartition(".")[2] for key in swept] or ["single"]
    return f"{'-'.join(words)[:60]}-{digest(fixed, 6)}"
