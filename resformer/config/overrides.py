"""Overrides, KEY=VALUE in Hydra's grammar, as axes: a key and its values. Axes in a `zip(…)` move
together.
"""

import itertools
import math
import re
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
_ZIP = re.compile(r"\s*zip\((?P<settings>.*)\)\s*", re.DOTALL)
_BETWEEN = re.compile(r"\s+(?=[\w./]+=)")
"""Space before a further KEY=VALUE of a zip."""
_EXAMPLE = "zip(model.depth=4,16 model.width=64,32)"


@final
@dataclass(frozen=True)
class Setting:
    """KEY=VALUE, by itself or in a zip."""

    override: Override
    zipped: str = ""
    """The zip as typed; "" for one by itself."""

    @property
    def line(self) -> str:
        """The override as typed, with all of its zip."""
        return self.zipped or line(self.override)


@final
@dataclass(frozen=True)
class Axis:
    """One key and the values it takes; one value if it is not swept."""

    key: str
    values: tuple[Value, ...]
    swept: bool
    zipped: str = ""
    """The zip whose axes all take their next values together; "" for an axis by itself."""


def parse(overrides: Sequence[str], studies: Collection[str] = ()) -> dict[str, Setting]:
    """The settings by canonical key; UserError for what is no plain KEY=VALUE or a zip of some, and
    for a key given twice. Names of studies are for hints.
    """
    characters = sum(map(len, overrides))
    if characters > _MOST_CHARACTERS:
        longest = shortened(max(overrides, key=len))
        raise UserError(
            f"{longest}: all overrides together may have {_MOST_CHARACTERS:,} characters, not "
            f"{characters:,}"
        )
    by_key: dict[str, Setting] = {}
    parser = OverridesParser.create()
    for number, (text, zipped) in enumerate(words := [*_words(overrides)]):
        try:
            override = parser.parse_override(text)
        except (HydraException, ValueError, RecursionError) as error:
            before = words[number - 1][0] if number else None
            hint = hints.word(text, before, [word for word, _ in words[number + 1 :]], studies)
            if zipped:
                hint = f"a zip has settings with spaces between, as in {_EXAMPLE}"
            raise UserError(
                f"{shortened(repr(text))}: cannot be read as KEY=VALUE; {hint}"
            ) from error
        if override.type is not OverrideType.CHANGE or override.package is not None:
            raise UserError(
                f"{shortened(text)}: settings are replaced, not added, deleted or moved: KEY=VALUE"
            )
        key = canonical(override.key_or_group)
        if key in by_key:
            twice = f"{shortened(key)} is given twice, also as {shortened(by_key[key].line)}"
            once = "give it once" if zipped else _once(text, by_key[key].line)
            raise UserError(f"{shortened(text)}: {twice}; {once}")
        by_key[key] = Setting(override, zipped)
    return by_key


def _words(overrides: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Every KEY=VALUE, with the zip that it is in; UserError for a zip of nothing."""
    for text in overrides:
        if text.lstrip().startswith("zip(") and ")" not in text:
            raise UserError(
                f"{shortened(text)}: its zip does not close; quote all of it: '{_EXAMPLE}'"
            )
        zipped = _ZIP.fullmatch(text)
        if zipped is None:
            yield text, ""
            continue
        words = [""]
        for part in _BETWEEN.split(zipped["settings"].strip()):
            if words[-1].count("(") > words[-1].count(")"):  # as of range(0,8, step=2)
                words[-1] += f" {part}"
            else:
                words.append(part)
        if words == ["", ""]:
            raise UserError(f"{text.strip()}: has no settings; {_EXAMPLE} has two")
        yield from ((word, text.strip()) for word in words[1:])


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


def axes_of(settings: Iterable[Setting]) -> list[Axis]:
    """The axis of every setting; UserError unless those of a zip take equally many values, and are
    none of members.
    """
    axes = [axis_of(setting) for setting in settings]
    for zipped, group in _groups(axes).items():
        if not group[0].zipped:
            continue
        if of_members := [axis.key for axis in group if axis.key.startswith("member.")]:
            raise UserError(
                f"{shortened(zipped)}: every combination has the same members, so that they can be "
                f"compared; give {', '.join(of_members)} outside the zip"
            )
        if len({len(axis.values) for axis in group}) > 1:
            counts = ", ".join(f"{axis.key} has {len(axis.values):,}" for axis in group)
            raise UserError(f"{shortened(zipped)}: must have as many values of each: {counts}")
    return axes


def axis_of(setting: Setting) -> Axis:
    """The values of a setting, with the shorthand of the residual schemes written out."""
    override = setting.override
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
    swept = override.is_sweep_override()
    if setting.zipped:
        return Axis(key, values, swept, setting.zipped)
    # 1 == True == 1.0: without the type, a value of the wrong one would vanish behind a right one.
    distinct = dict.fromkeys((type(value), value) for value in values)
    return Axis(key, tuple(value for _, value in distinct), swept)


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
        own = _count(axis for axis in axes if axis.key.startswith("member."))
        others = _count(axis for axis in axes if not axis.key.startswith("member."))
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
    """Every combination of the axes' values, those of a zip together."""
    groups = _groups(axes).values()
    keys = [axis.key for group in groups for axis in group]
    points = [[*zip(*(axis.values for axis in group), strict=True)] for group in groups]
    for values in itertools.product(*points):
        yield dict(zip(keys, itertools.chain.from_iterable(values), strict=True))


def _count(axes: Iterable[Axis]) -> int:
    """Number of combinations of the axes' values."""
    return math.prod(len(group[0].values) for group in _groups(axes).values())


def _groups(axes: Iterable[Axis]) -> dict[str, list[Axis]]:
    """Axes that move together, by their zip, and each of the others by its key."""
    groups: dict[str, list[Axis]] = {}
    for axis in axes:
        groups.setdefault(axis.zipped or axis.key, []).append(axis)
    return groups
