"""Settings of a section of the tree as their dataclass, whose types and ranges they must have."""

import dataclasses
import sys
from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from resformer import plugins
from resformer.errors import UserError
from resformer.keys import Json, Value, typed

T = TypeVar("T")

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


def build_variant(section: str, settings: Json, base: type[T]) -> T:
    """The variant of a section such as `task`. Raises UserError if its class cannot be loaded or a
    setting has the wrong type or range.
    """
    own = {key: value for key, value in settings.items() if key != "name"}
    try:
        kind = plugins.load(plugins.PACKAGES[section], settings["name"], base)
    except plugins.PluginError as reason:
        raise UserError(f"{section}: {reason}") from reason
    return build(kind, section, own)


def build(kind: type[T], section: str, settings: Mapping[str, Any]) -> T:
    """The dataclass of these settings, which checks their ranges; their types are checked here."""
    return kind(
        **{key: checked(kind, key, f"{section}.{key}", value) for key, value in settings.items()}
    )


def checked(kind: type[object], field: str, name: str, value: Any) -> Any:
    """The value of a field, called `name` in messages; UserError if its type does not fit."""
    return _checked(kind, field, name, type(value), value)  # type: ignore[arg-type]  # classes are hashable


@cache
def _checked(kind: type[object], key: str, name: str, type_: type[object], value: Value) -> Value:
    """The value of one field, by way of a fresh schema: 8 for 8.0 is fine, 7 for true is not.

    Merging a whole section takes milliseconds, and a grid repeats the same few values thousands of
    times. `type_` keeps apart what is equal but not the same, as 1, 1.0 and true.
    """
    if value == "???":
        raise UserError(f"{name}: has no value; give it one")
    field = next(field for field in dataclasses.fields(kind) if field.name == key)  # type: ignore[arg-type]
    expected = str(getattr(field.type, "__name__", field.type))
    if expected in _EXACT.get(type_, ()):
        # OmegaConf would take a thousand times as long, and a grid may hold 100,000 seeds.
        return value
    # OmegaConf takes 7 for true, and overflows at whole numbers that no float reaches.
    fits = isinstance(value, bool) if expected == "bool" else True
    if expected.startswith("float") and isinstance(value, int):
        fits = abs(value) <= sys.float_info.max
    try:
        if fits:
            # A schema of its own: OmegaConf takes the parameter of a generic base for that of a
            # mapping.
            schema = OmegaConf.structured(dataclasses.make_dataclass("Schema", [(key, field.type)]))
            checked = OmegaConf.to_container(OmegaConf.merge(schema, {key: value}))
            assert isinstance(checked, dict)
            result: Value = checked[key]
            return result
    except OmegaConfBaseException:
        pass
    raise UserError(f"{name}={typed(value)}: must be {_KINDS.get(expected, 'text')}")
