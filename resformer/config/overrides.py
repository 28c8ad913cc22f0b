"""Overrides, KEY=VALUE in Hydra's grammar, as axes: a key and its values."""

import itertools
import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import final

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType, QuotedString, RangeSweep
from hydra.errors import HydraException

from resformer import plugins
from resformer.config import hints
from resformer.errors import UserError, require
from resformer.keys import Value, in_message
from resformer.plugins import GROUPS, PACKAGES, PRESETS, canonical
from resformer.text import shortened

_SHORTHAND = {True: "add", False: "plain"}
_MOST_POINTS, _MOST_MEMBERS = 100_000, 1_000_000
_MOST_CHARACTERS = 5_000
"""Limit on the overrides of one grid: to read twice as many would take a second."""


@final
@dataclass(frozen=True)
class Axis:
    """One key and the values it takes; one value if it is not swept."""

    key: str
    values: tuple[Value, ...]
    swept: bool


def parse(overrides: Sequence[str], studies: Collection[str] = ()) -> dict[str, Override]:
    """The overrides by canonical key; UserError for what is no plain KEY=VALUE, and for a key given
    twice. Names of studies are for hints.
    """
    characters = sum(map(len, overrides))
    if characters > _MOST_CHARACTERS:
        longest = shortened(max(overrides, key=len))
        raise UserError(
            f"{longest}: all overrides together may have {_MOST_CHARACTERS:,} characters, not "
            f"{characters:,}"
        )
    by_key: dict[str, Override] = {}
    parser = OverridesParser.create()
    for number, text in enumerate(overrides):
        try:
            override = parser.parse_override(text)
        except (HydraException, ValueError, RecursionError) as error:
            before = overrides[number - 1] if number else None
            hint = hints.word(text, before, overrides[number + 1 :], studies)
            raise UserError(
                f"{shortened(repr(text))}: cannot be read as KEY=VALUE; {hint}"
            ) from error
        if override.type is not OverrideType.CHANGE or override.package is not None:
            raise UserError(
                f"{shortened(text)}: settings are replaced, not added, deleted or moved: KEY=VALUE"
            )
        key = canonical(override.key_or_group)
        if key in by_key:
            twice = f"{shortened(key)} is given twice, also as {shown(by_key[key])}"
            raise UserError(f"{shortened(text)}: {twice}; {_once(text, line(by_key[key]))}")
        by_key[key] = override
    return by_key


def _once(text: str, before: str) -> str:
    """The hint for a key that is given twice, as by a shell that writes {1,2} out."""
    (key, _, value), (same, _, first) = text.partition("="), before.partition("=")
    if key != same or value == first:
        return "give it once"
    return f"give it once; several values are {shortened(hints.listed(key, [first, value]))}"


def line(override: Override) -> str:
    """The override as the user typed it."""
    return override.input_line or ""


def shown(override: Override) -> str:
    """The override in a message, shortened."""
    return shortened(line(override))


def axis_of(override: Override) -> Axis:
    """The values of an override, with the shorthand of the residual schemes written out."""
    key, text = canonical(override.key_or_group), shown(override)
    values: tuple[Value, ...] = tuple(_plain(value, key, text) for value in _elements(override))
    if 0.0 in values and (number := hints.vanishing(line(override).partition("=")[2])):
        raise UserError(f"{text}: {number} is too small for a number; 0 or 1e-30 would work")
    if override.key_or_group == "model.residual":
        if not all(isinstance(value, bool) for value in values):
            raise UserError(f"{text}: must be true or false; {hints.scheme(values)}")
        values = tuple(_SHORTHAND[bool(value)] for value in values)
    if key in GROUPS:
        names = plugins.names(PACKAGES[key])
        for value in values:
            if value not in names:
                raise UserError(f"{GROUPS[key]}={in_message(value)}: {hints.variant(key, value)}")
    if key in PRESETS:
        names = plugins.presets(key)
        for value in values:
            require(value in names, key, in_message(value), f"must be one of {', '.join(names)}")
    # 1 == True == 1.0: without the type, a value of the wrong one would vanish behind a right one.
    distinct = dict.fromkeys((type(value), value) for value in values)
    return Axis(key, tuple(value for _, value in distinct), override.is_sweep_override())


def _elements(override: Override) -> list[object]:
    text = shown(override)
    if not override.is_sweep_override():
        return [override.value()]
    if not override.is_discrete_sweep():
        raise UserError(
            f"{text}: is not finite; write the values out, a,b,c, or range(from,to,step)"
        )
    try:
        # Hydra lists the whole of a shuffled range before it gives its first value.
        sweep = override.value()
        elements = sweep.range() if isinstance(sweep, RangeSweep) else override.sweep_iterator()
        values: list[object] = list(itertools.islice(elements, _MOST_POINTS + 1))
    except (HydraException, ValueError, ArithmeticError):
        values = []
    if not values:
        raise UserError(f"{text}: gives no values; write them out, a,b,c, or range(from,to,step)")
    if len(values) > _MOST_POINTS:
        raise UserError(f"{text}: more than {_MOST_POINTS:,} values; split the sweep")
    return values


def _plain(value: object, key: str, text: str) -> Value:
    """The value as a plain one, or UserError."""
    if isinstance(value, QuotedString):
        value = value.text
    if isinstance(value, list):
        raise UserError(f"{text}: must be one value, not a list; {hints.elements(key, value)}")
    if not isinstance(value, int | float | bool | str | None):
        raise UserError(f"{text}: must be one value, not a mapping")
    if isinstance(value, str) and ("${" in value or "\0" in value):
        raise UserError(f"{text!r}: must be a plain value; nothing is interpolated")
    return value


def check_size(grids: Iterable[Sequence[Axis]]) -> None:
    """Refuse what would take minutes to plan, before it is begun."""
    shapes = members = 0
    for axes in grids:
        own = math.prod(len(axis.values) for axis in axes if axis.key.startswith("member."))
        others = math.prod(len(axis.values) for axis in axes if not axis.key.startswith("member."))
        shapes, members = shapes + others, members + own * others
    for count, what, most in (
        (shapes, "combinations", _MOST_POINTS),
        (members, "members", _MOST_MEMBERS),
    ):
        if count > most:
            raise UserError(
                f"the grid has {count:,} {what}; at most {most:,} can be planned at once"
            )


def combinations(axes: Sequence[Axis]) -> Iterator[dict[str, Value]]:
    """Every combination of the axes' values."""
    for values in itertools.product(*(axis.values for axis in axes)):
        yield dict(zip((axis.key for axis in axes), values, strict=True))
