"""Settings of a section of the tree as their dataclass, whose types and ranges they must have."""

import dataclasses
from collections.abc import Mapping
from functools import cache
from types import NoneType
from typing import Any, TypeVar, get_args, get_type_hints

from resformer import plugins
from resformer.config import hints
from resformer.errors import UserError
from resformer.keys import CHOICES, Json, in_message

T = TypeVar("T")

_CONVERTED: Mapping[Any, tuple[type[object], ...]] = {
    int: (str, float),
    float: (int, str),
    str: (bool, int, float),
}
"""Types of values that are converted to a field's type, as 8 to 8.0, and 1e3 to 1000."""
_WORDS = {int: "a whole number", float: "a number", bool: "true or false"}


def build_variant(section: str, settings: Json, base: type[T]) -> T:
    """The variant of a section such as `task`. Raises UserError if its class cannot be loaded or a
    setting has the wrong type or range.
    """
    own = {key: value for key, value in settings.items() if key != "name"}
    package, name = plugins.PACKAGES[section], settings["name"]
    kind = plugins.load(package, name, base)
    _check_own(kind, section, name, own)
    with plugins.blaming(package, name):
        variant = build(kind, section, own)
        hash(variant)  # shapes are keys
    return variant


def build(kind: type[T], section: str, settings: Mapping[str, Any]) -> T:
    """The dataclass of these settings, which checks their ranges; their types are checked here."""
    return kind(
        **{key: checked(kind, key, f"{section}.{key}", value) for key, value in settings.items()}
    )


def _check_own(kind: type[T], section: str, name: str, settings: Mapping[Any, Any]) -> None:
    """Raise UserError unless a variant's YAML has just the fields of its class, each one value."""
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    where, cls = f"{plugins.GROUPS[section]}={name}: its {name}.yaml", kind.__name__
    for key in settings:
        if not isinstance(key, str):
            says = "YAML takes yes, no, on, off and numbers for values"
            raise UserError(f"{where} has the key {in_message(key)}, no text; {says}: quote it")
    if extra := ", ".join(key for key in settings if key not in fields):
        raise UserError(f"{where} says {extra}, which {cls} does not have")
    no_default = [key for key, field in fields.items() if field.default is dataclasses.MISSING]
    if lacking := ", ".join(key for key in no_default if key not in settings):
        raise UserError(f"{where} lacks {lacking}, which {cls} has")
    for key, value in settings.items():
        if not isinstance(value, int | float | str | None):
            says, kinds = in_message(str(value)), "numbers, texts, true, false or null"
            raise UserError(f"{where} says {key}: {says}; settings are {kinds}")


def checked(kind: type[Any], field: str, name: str, value: Any) -> Any:
    """The value of a field, called `name` in messages; UserError if its type does not fit."""
    if value == "???":
        raise UserError(f"{name}: has no value; give it one")
    expected = _hints(kind)[field]  # type: ignore[arg-type]  # classes are hashable
    types = get_args(expected) or (expected,)
    nothing = NoneType in types and value in ("None", "none", "NULL")
    if type(value) in types and not nothing:
        return value
    fraction = types[0] is int and isinstance(value, float) and not value.is_integer()
    try:
        if type(value) in _CONVERTED.get(types[0], ()) and not fraction:
            return types[0](value)
    except (ValueError, OverflowError):  # no number, or one that no float reaches
        pass
    null = " or null" if NoneType in types else ""
    hint = f"; did you mean {name}=null?" if nothing else hints.span(name, value)
    words = f"one of {', '.join(CHOICES[name])}" if types[0] is str and name in CHOICES else "text"
    must = f"must be {_WORDS.get(types[0], words)}{null}"
    raise UserError(f"{name}={in_message(value)}: {must}{hint}")


@cache
def _hints(kind: type[Any]) -> dict[str, Any]:
    """The types of a dataclass's fields: a grid asks for them thousands of times."""
    return get_type_hints(kind)
