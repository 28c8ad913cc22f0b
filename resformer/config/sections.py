"""Settings of a section of the tree as their dataclass, whose types and ranges they must have."""

from collections.abc import Mapping
from functools import cache
from types import NoneType
from typing import Any, TypeVar, get_args, get_type_hints

from resformer import plugins
from resformer.errors import UserError
from resformer.keys import Json, in_message

T = TypeVar("T")

_CONVERTED: Mapping[Any, tuple[type[object], ...]] = {
    int: (str,),
    float: (int, str),
    str: (bool, int, float),
}
"""Types of values that are converted to a field's type, as 8 to 8.0."""
_WORDS = {int: "a whole number", float: "a number", bool: "true or false"}


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


def checked(kind: type[Any], field: str, name: str, value: Any) -> Any:
    """The value of a field, called `name` in messages; UserError if its type does not fit."""
    if value == "???":
        raise UserError(f"{name}: has no value; give it one")
    expected = _hints(kind)[field]  # type: ignore[arg-type]  # classes are hashable
    types = get_args(expected) or (expected,)
    if type(value) in types:
        return value
    try:
        if type(value) in _CONVERTED.get(types[0], ()):
            return types[0](value)
    except (ValueError, OverflowError):  # no number, or one that no float reaches
        pass
    null = " or null" if NoneType in types else ""
    raise UserError(f"{name}={in_message(value)}: must be {_WORDS.get(types[0], 'text')}{null}")


@cache
def _hints(kind: type[Any]) -> dict[str, Any]:
    """The types of a dataclass's fields: a grid asks for them thousands of times."""
    return get_type_hints(kind)
