"""Overrides → plan. The one module that knows Hydra.

Hydra composes the tree (defaults and config groups) and parses the overrides' grammar. Everything that it would let
through is checked here: keys that are not there, additions, deletions, types, interpolations.
"""

import dataclasses
import difflib
import itertools
import math
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, final

import torch
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType, QuotedString, RangeSweep
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from resformer import jobs, plugins
from resformer.choices import COMPILE, DEVICES, GROUPS, OWN, PACKAGES, folder, studies, variants
from resformer.engines.base import Engine, Saving
from resformer.errors import Incompatible, UserError, shortened
from resformer.jobs import Json
from resformer.kernels import library
from resformer.model import ModelSettings
from resformer.residuals.base import Residual
from resformer.shape import Member, ProbeSettings, Shape, TrainSettings
from resformer.store.results import check_name
from resformer.tasks.base import Task
from resformer.trees import flat

T = TypeVar("T")
Value = int | float | bool | str | None

_SHORTHAND = {True: "add", False: "plain"}
_MOST_POINTS, _MOST_MEMBERS = 100_000, 1_000_000
_MOST_CHARACTERS, _MOST_BYTES = 5_000, 32_768
"""Of the overrides of one grid, and of a study file: reading twice as many would take a second."""
_EXACT: dict[type[object], tuple[str, ...]] = {
    int: ("int", "int | None"),
    float: ("float", "float | None"),
    bool: ("bool",),
    str: ("str",),
    type(None): ("int | None", "float | None"),
}
_KINDS = {
    "int": "a whole number",
    "int | None": "a whole number or null",
    "float": "a number",
    "float | None": "a number or null",
    "bool": "true or false",
}


@final
@dataclass(frozen=True)
class Axis:
    """One key and the values it takes; one value if it is not swept."""

    key: str
    values: tuple[Value, ...]
    swept: bool


@final
@dataclass(frozen=True)
class Request:
    """What was asked, resolved."""

    study: str
    overrides: list[list[str]]
    """The grids, each a list of overrides, after the command line replaced the study's."""
    swept: list[str]
    shapes: list[tuple[Shape, list[Member]]]
    excluded: list[Json]
    """Combinations that make no sense, with the reason."""
    engine: Engine
    checkpoint_seconds: float
    """At least so much time passes between two checkpoints of a job; no result depends on it."""
    notes: list[str]
    """What the user should know of how it was resolved."""

    @property
    def device(self) -> str:
        """What its workers are for: a GPU, if any of it is."""
        return "cuda" if any(shape.device == "cuda" for shape, _ in self.shapes) else "cpu"

    def jobs(self) -> list[jobs.Job]:
        """All of it as jobs, the longest first."""
        return jobs.pack(self.shapes, self.engine.stack, self.engine.sharers())


def keys() -> list[str]:
    """Every key that can be set with the default variants."""
    return [*GROUPS, *(key for key in flat(_composed(())) if not key.endswith(".name"))]


def request(study: str | None, overrides: Sequence[str]) -> Request:
    """Resolve what was asked; UserError says in one line what is wrong with it.

    Without a study and without overrides, but for how jobs run (engine, device), it is the quick study. Without a
    study, the name is made of the swept keys and a hash of the fixed settings, so that the same command finds its
    study again.
    """
    return _resolved(*_grids(study, overrides))


def single(overrides: Sequence[str]) -> Request:
    """The one job that `train` runs, as the study `train`; UserError if it is more than one."""
    own = _parse(overrides)
    for key, override in own.items():
        if override.is_sweep_override() and not key.startswith("member."):
            raise UserError(f"{_said(override)}: train runs one job; resformer sweep runs several")
    found = _resolved([own], "train")
    count = len(found.jobs())
    if count > 1:
        members = sum(len(members) for _, members in found.shapes)
        raise UserError(f"train runs one job, this makes {count}: set engine.stack={members}, or use sweep")
    return found


def _resolved(grids: Sequence[Mapping[str, Override]], name: str | None) -> Request:
    shapes: dict[Shape, dict[Member, None]] = {}
    excluded: list[Json] = []
    notes: set[str] = set()
    ways: set[tuple[Engine, Saving]] = set()
    swept: dict[str, None] = {}
    every = [[_axis(override) for override in grid.values()] for grid in grids]
    _check_size(every)
    for axes in every:
        swept |= dict.fromkeys(axis.key for axis in axes if axis.swept)
        members = [_build(Member, "member", settings) for settings in _members(axes)]
        for point in _points([axis for axis in axes if not axis.key.startswith("member.")]):
            try:
                shape, engine, saving = _resolve(point, notes)
            except Incompatible as reason:
                wanted = {key: value for key, value in point.items() if any(a.key == key and a.swept for a in axes)}
                excluded.append({"settings": wanted, "reason": str(reason)})
                continue
            shapes.setdefault(shape, {}).update(dict.fromkeys(members))
            ways.add((engine, saving))
    if not shapes:
        others = f" (and {len(excluded) - 1} more combinations make no sense)" if len(excluded) > 1 else ""
        raise UserError(f"{excluded[0]['reason']}{others}")
    if len(ways) > 1:
        raise UserError("engine, train.checkpoint_seconds: one sweep runs in one way; give each of these one value")
    engine, saving = ways.pop()
    return Request(
        study=name or _made_up_name(list(swept), shapes),
        overrides=[[_text(override) for override in grid.values()] for grid in grids],
        swept=list(swept),
        shapes=[(shape, list(members)) for shape, members in shapes.items()],
        excluded=excluded,
        engine=engine,
        checkpoint_seconds=saving.checkpoint_seconds,
        notes=sorted(notes),
    )


def _grids(study: str | None, overrides: Sequence[str]) -> tuple[list[dict[str, Override]], str | None]:
    """The grids to run, each its overrides by key, and the study's name if it has one already."""
    if study is not None:
        check_name(study)
    own = _parse(overrides)
    if study is None and all(key == "device" or key.startswith("engine") for key in own):
        study = "quick"
    saved = studies().get(study) if study is not None else None
    if saved is None:
        if study is not None and not own:
            there = shortened(", ".join(studies()))
            raise UserError(f"--study {study}: no such study file; there are {there}; or add KEY=VALUE")
        return [own], study
    grids = [_parse(grid) for grid in _study_file(saved)]
    return [{**{key: found for key, found in grid.items() if key not in own}, **own} for grid in grids], study


def _study_file(path: Path) -> list[list[str]]:
    """A study file is a list of overrides, or a list of such lists."""
    try:
        documents = _documents(path)
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read as YAML: {_one_line(error)}") from error
    tree = documents[0] if len(documents) == 1 else None
    grids = [tree] if isinstance(tree, list) and all(isinstance(item, str) for item in tree) else tree
    if not isinstance(grids, list) or not grids or not all(isinstance(grid, list) for grid in grids):
        raise UserError(f"{path}: must be a list of overrides (KEY=VALUE), or a list of such lists")
    return grids


def _documents(path: Path) -> list[Any]:
    """Lists of texts, of at most two levels. Anything else that YAML knows is refused before it is built."""
    if not path.is_file():
        raise UserError(f"{path}: is no file")
    with open(path, "rb") as file:
        data = file.read(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        raise UserError(f"{path}: is larger than a study file can be, {_MOST_BYTES:,} bytes")
    found: list[Any] = []
    inside = [found]
    for event in yaml.parse(data.decode(), Loader=yaml.BaseLoader):
        if isinstance(event, yaml.NodeEvent) and event.anchor is not None:
            raise UserError(f"{path}: has anchors or aliases (& and *); write the overrides out")
        if getattr(event, "tag", None) is not None or isinstance(event, yaml.MappingStartEvent) or len(inside) > 3:
            raise UserError(f"{path}: must be a list of overrides (KEY=VALUE), or a list of such lists")
        if isinstance(event, yaml.SequenceEndEvent):
            inside.pop()
        elif isinstance(event, yaml.SequenceStartEvent):
            inside[-1].append([])
            inside.append(inside[-1][-1])
        elif isinstance(event, yaml.ScalarEvent):
            inside[-1].append(event.value)
    return found


def _parse(overrides: Sequence[str]) -> dict[str, Override]:
    """The overrides by canonical key; UserError for what is no plain KEY=VALUE, and for a key given twice."""
    characters = sum(map(len, overrides))
    if characters > _MOST_CHARACTERS:
        longest = shortened(max(overrides, key=len))
        raise UserError(
            f"{longest}: all overrides together may have {_MOST_CHARACTERS:,} characters, not {characters:,}"
        )
    found: dict[str, Override] = {}
    parser = OverridesParser.create()
    for text in overrides:
        try:
            override = parser.parse_override(text)
        except (HydraException, ValueError, RecursionError) as error:
            raise UserError(f"{shortened(repr(text))}: cannot be read as KEY=VALUE: {_one_line(error)}") from error
        if override.type is not OverrideType.CHANGE or override.package is not None:
            raise UserError(f"{shortened(text)}: settings are replaced, not added, deleted or moved: KEY=VALUE")
        key = _canonical(override.key_or_group)
        if key in found:
            twice = f"{shortened(key)} is given twice, also as {_said(found[key])}"
            raise UserError(f"{shortened(text)}: {twice}; give it once")
        found[key] = override
    return found


def _text(override: Override) -> str:
    """As the user typed it."""
    return override.input_line or ""


def _said(override: Override) -> str:
    """The same in a message."""
    return shortened(_text(override))


def _canonical(key: str) -> str:
    """`model/residual` and `model.residual` are one key."""
    return next((canonical for canonical, group in GROUPS.items() if key == group), key)


def _axis(override: Override) -> Axis:
    """The values of an override, with the shorthand of the residual schemes written out."""
    key, text = _canonical(override.key_or_group), _said(override)
    values: tuple[Value, ...] = tuple(_plain(value, text) for value in _elements(override))
    if override.key_or_group == "model.residual":
        for value in values:
            if not isinstance(value, bool):
                raise UserError(f"{text}: must be true or false; another scheme is model/residual=NAME")
        values = tuple(_SHORTHAND[bool(value)] for value in values)
    if key in GROUPS:
        there = variants(key)
        for value in values:
            if value not in there:
                raise UserError(f"{GROUPS[key]}={_typed(value)}: must be one of {', '.join(there)}")
    # 1 == True == 1.0: without the type, a value of the wrong one would vanish behind a right one.
    distinct = dict.fromkeys((type(value), value) for value in values)
    return Axis(key, tuple(value for _, value in distinct), override.is_sweep_override())


def _elements(override: Override) -> list[object]:
    text = _said(override)
    if not override.is_sweep_override():
        return [override.value()]
    if not override.is_discrete_sweep():
        raise UserError(f"{text}: is not finite; write the values out, a,b,c, or range(from,to,step)")
    try:
        # Hydra lists the whole of a shuffled range before it gives its first value.
        sweep = override.value()
        found = sweep.range() if isinstance(sweep, RangeSweep) else override.sweep_iterator()
        values: list[object] = list(itertools.islice(found, _MOST_POINTS + 1))
    except (HydraException, ValueError, ArithmeticError):
        values = []
    if not values:
        raise UserError(f"{text}: gives no values; write them out, a,b,c, or range(from,to,step)")
    if len(values) > _MOST_POINTS:
        raise UserError(f"{text}: more than {_MOST_POINTS:,} values; split the sweep")
    return values


def _plain(value: object, text: str) -> Value:
    """The value as a plain one, or UserError."""
    if isinstance(value, QuotedString):
        value = value.text
    if not isinstance(value, int | float | bool | str | None):
        raise UserError(f"{text}: must be one value, not a list or a mapping")
    if isinstance(value, str) and ("${" in value or "\0" in value):
        raise UserError(f"{text!r}: must be a plain value; nothing is interpolated")
    return value


def _check_size(grids: Iterable[Sequence[Axis]]) -> None:
    """Refuse what would take minutes to plan, before it is begun."""
    shapes = members = 0
    for axes in grids:
        own = math.prod(len(axis.values) for axis in axes if axis.key.startswith("member."))
        others = math.prod(len(axis.values) for axis in axes if not axis.key.startswith("member."))
        shapes, members = shapes + others, members + own * others
    for count, what, most in ((shapes, "combinations", _MOST_POINTS), (members, "members", _MOST_MEMBERS)):
        if count > most:
            raise UserError(f"the grid has {count:,} {what}; at most {most:,} can be planned at once")


def _members(axes: Sequence[Axis]) -> Iterator[dict[str, Any]]:
    defaults = {f"member.{key}": value for key, value in _composed(())["member"].items()}
    chosen = [axis for axis in axes if axis.key.startswith("member.")]
    for axis in chosen:
        if axis.key not in defaults:
            raise _unknown(axis.key, axis.values[0])
    for point in _points(chosen):
        yield {key.removeprefix("member."): value for key, value in {**defaults, **point}.items()}


def _points(axes: Sequence[Axis]) -> Iterator[dict[str, Value]]:
    """Every combination of the axes' values."""
    for values in itertools.product(*(axis.values for axis in axes)):
        yield dict(zip((axis.key for axis in axes), values, strict=True))


@cache
def _composed(groups: tuple[tuple[str, str], ...]) -> Json:
    """The tree of these variants, as plain values. Composing takes 50 ms, so it is done once per choice."""
    brought = [(key, name) for key, name in groups if name in plugins.outside(PACKAGES[key])]
    own = [f"{GROUPS[key]}={name}" for key, name in groups if (key, name) not in brought]
    with initialize_config_dir(version_base="1.3", config_dir=str(folder().resolve())):
        tree = OmegaConf.to_container(compose("config", overrides=own), resolve=False)
    assert isinstance(tree, dict)
    found = {str(key): value for key, value in tree.items()}
    for key, name in brought:
        _put(found, key, name)
    return found


def _put(tree: Json, key: str, name: str) -> None:
    """Put the settings of a variant from another package in their place, and what it says of other sections."""
    where, (*path, last) = f"{GROUPS[key]}={name}", key.split(".")
    try:
        loaded = OmegaConf.to_container(OmegaConf.load(plugins.settings_of(PACKAGES[key], name)), resolve=False)
    except (plugins.NotOneOfUs, OmegaConfBaseException, yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise UserError(f"{where}: {_one_line(error)}") from error
    # As in our own files: a variant's settings alone, or sections, of which one is the variant's.
    sections: Any = loaded if isinstance(loaded, dict) and last in loaded else {last: loaded}
    own = sections.pop(last)
    if not isinstance(own, dict) or own.get("name") != name:
        raise UserError(f"{where}: its {name}.yaml must say name: {name}")
    for section, values in sections.items():
        known = tree.get(section)
        if not isinstance(known, dict) or not isinstance(values, dict) or not set(values) <= set(known):
            raise UserError(f"{where}: its {name}.yaml says {section}: {_typed(str(values))}, which are no settings")
        known.update(values)
    node = tree
    for part in path:
        node = node[part]
    node[last] = own


def _resolve(point: Mapping[str, Value], notes: set[str]) -> tuple[Shape, Engine, Saving]:
    """One combination of settings as what it means; Incompatible if it makes no sense. Adds what is worth a note."""
    groups = tuple((key, str(value)) for key, value in point.items() if key in GROUPS)
    tree = _copied(_composed(groups))
    for key, value in point.items():
        if key not in GROUPS:
            _set(tree, key, value)
    model_settings = dict(tree["model"])
    task = _variant("resformer.tasks", "task", tree["task"], Task)
    residual = _variant("resformer.residuals", "model.residual", model_settings.pop("residual"), Residual)
    engine = _variant("resformer.engines", "engine", tree["engine"], Engine)
    model = _build(ModelSettings, "model", model_settings)
    model = dataclasses.replace(
        model,
        hidden=4 * model.width if model.hidden is None else model.hidden,
        attention=task.attention if model.attention == OWN else model.attention,
        norm=residual.own_norm if model.norm == OWN else model.norm,
    )
    device = _device(tree["device"], engine.elsewhere)
    compile_it = _compile(tree["train"], device, notes)
    train_settings = {**tree["train"], "compile": compile_it}
    saving = _build(Saving, "train", {"checkpoint_seconds": train_settings.pop("checkpoint_seconds")})
    train = _build(TrainSettings, "train", train_settings)
    probe = _build(ProbeSettings, "probe", tree["probe"])
    return Shape(task, model, residual, train, probe, device), engine, saving


def _copied(tree: Json) -> Json:
    return {key: _copied(value) if isinstance(value, dict) else value for key, value in tree.items()}


def _device(device: Value, elsewhere: bool) -> str:
    """What computes: with `auto` a GPU if this machine has one; asked for, it is there or `elsewhere`."""
    if device not in DEVICES:
        raise UserError(f"device={_typed(device)}: must be one of {', '.join(DEVICES)}")
    there = torch.cuda.is_available() or (device == "cuda" and elsewhere)
    if device == "cuda" and not there:
        raise UserError("device=cuda: there is no GPU that torch can use here; cpu or auto would work")
    return "cuda" if there and device != "cpu" else "cpu"


def _compile(settings: Json, device: str, notes: set[str]) -> bool:
    """Whether the kernels compute this shape: what is asked for, or with `auto` what can be had."""
    wanted = settings["compile"]
    if wanted != "auto" and not isinstance(wanted, bool):
        raise UserError(f"train.compile={_typed(wanted)}: must be one of {', '.join(COMPILE)}")
    fitting = (device, settings["precision"]) == ("cpu", "fp32")
    if not wanted or not fitting:
        return wanted is True  # which the shape refuses
    if reason := library.missing():
        if wanted is True:
            raise UserError(f"train.compile=true: {reason}; auto or false would work")
        notes.add(f"train.compile=false: {reason}; training is slower without the kernels")
        return False
    return True


def _set(tree: Json, key: str, value: Value) -> None:
    """Replace one leaf of the tree."""
    *path, last = key.split(".")
    node: Any = tree
    for part in path:
        node = node.get(part) if isinstance(node, dict) else None
    if not isinstance(node, dict) or last not in node:
        raise _unknown(key, value)
    if isinstance(node[last], dict):
        raise UserError(
            f"{key}={_typed(value)}: is a group of settings; set one of {', '.join(f'{key}.{k}' for k in node[last])}"
        )
    if last == "name":
        raise UserError(f"{key}={_typed(value)}: choose it with {GROUPS['.'.join(path)]}={_typed(value)}")
    node[last] = value


def _unknown(key: str, value: Value) -> UserError:
    """No such key: a mistake, or, under a variant, a setting that only others have."""
    close = difflib.get_close_matches(key, keys(), n=1)
    hint = f"did you mean {close[0]}?" if close else f"the sections are {', '.join(_composed(()))}"
    kind = Incompatible if any(key.startswith(f"{group}.") for group in GROUPS) else UserError
    return kind(f"{shortened(key)}={_typed(value)}: there is no such setting; {hint}")


def _variant(package: str, section: str, settings: Json, base: type[T]) -> T:
    own = {key: value for key, value in settings.items() if key != "name"}
    try:
        kind = plugins.load(package, settings["name"], base)
    except plugins.NotOneOfUs as reason:
        raise UserError(f"{section}: {reason}") from reason
    return _build(kind, section, own)


def _build(kind: type[T], section: str, settings: Mapping[str, Any]) -> T:
    """The settings as their dataclass, which checks ranges; types are checked one by one."""
    return kind(
        **{
            key: _checked(kind, f"{section}.{key}", type(value), value)  # type: ignore[arg-type]  # classes are hashable
            for key, value in settings.items()
        }
    )


@cache
def _checked(kind: type[object], name: str, type_: type[object], value: Value) -> Value:
    """The value of one field, by way of a fresh schema: 8 for 8.0 is fine, 7 for true is not.

    Merging a whole section takes milliseconds, and a grid repeats the same few values thousands of times. `type_`
    keeps apart what is equal but not the same, as 1, 1.0 and true.
    """
    if value == "???":
        raise UserError(f"{name}: has no value; give it one")
    key = name.rpartition(".")[2]
    field = next(field for field in dataclasses.fields(kind) if field.name == key)  # type: ignore[arg-type]
    wanted = str(getattr(field.type, "__name__", field.type))
    if wanted in _EXACT.get(type_, ()):
        return value  # OmegaConf would take a thousand times as long, and a grid may hold 100,000 seeds
    # OmegaConf takes 7 for true, and overflows at whole numbers that no float reaches.
    fits = isinstance(value, bool) if wanted == "bool" else True
    if wanted.startswith("float") and isinstance(value, int):
        fits = abs(value) <= sys.float_info.max
    try:
        if fits:
            # A schema of its own: OmegaConf takes the parameter of a generic base for that of a mapping.
            schema = OmegaConf.structured(dataclasses.make_dataclass("Schema", [(key, field.type)]))
            checked = OmegaConf.to_container(OmegaConf.merge(schema, {key: value}))
            assert isinstance(checked, dict)
            found: Value = checked[key]
            return found
    except OmegaConfBaseException:
        pass
    raise UserError(f"{name}={_typed(value)}: must be {_KINDS.get(wanted, 'text')}")


def _made_up_name(swept: Sequence[str], shapes: Mapping[Shape, Mapping[Member, None]]) -> str:
    """The swept keys and 6 hex digits of what is the same in all members."""
    everyone = dict.fromkeys(member for members in shapes.values() for member in members)
    parts = (
        [flat(jobs.shape_to_json(shape)) for shape in shapes],
        [flat({"member": vars(member)}) for member in everyone],
    )
    fixed = {
        key: value
        for points in parts
        for key, value in points[0].items()
        if key not in swept and all(point.get(key) == value for point in points)
    }
    words = [key.rpartition(".")[2] for key in swept] or ["single"]
    return f"{'-'.join(words)[:60]}-{jobs.digest(fixed, 6)}"


def _typed(value: Value) -> str:
    """A value as a user types it."""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else shortened(str(value))


def _one_line(error: BaseException) -> str:
    return shortened(" ".join(str(error).split("\nSee http")[0].split()), 200)
