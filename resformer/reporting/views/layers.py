"""The layers of a report's cells, as a terminal shows them and as rows of text."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from resformer.reporting.text.words import named
from resformer.reporting.views.probes import ENDS, HEADINGS, cell, columned, short
from resformer.stats.health import Health

Json = dict[str, Any]

_MOST_ROWS = 20
_NO_ROOM = ("relative_residual", "branch_share", "ffn_first")
"""In 80 columns; the first is mostly the verdict's number."""
_NUMBERS = {name: heading for name, heading in HEADINGS.items() if name not in _NO_ROOM}
LEGEND = f"{ENDS}. Medians over seeds"


def picture(rows: Sequence[Json], axes: Sequence[str]) -> list[RenderableType]:
    """The cells of which fewer than half solved beside the others; `axes` tell them apart."""
    if not rows:
        return []
    parts: list[RenderableType] = [Text("")]
    for title, some in _beside(rows):
        table = columned(title, ("depth", "verdict", *_NUMBERS.values()))
        for row in some[:_MOST_ROWS]:
            one = Health(row["health"], row["measure"], _number(row["value"]))
            numbers = (short(_number(row[number])) for number in _NUMBERS)
            table.add_row(Text(_name(row, axes)), Text(str(row["depth"])), cell(one), *numbers)
        parts.append(table)
        if len(some) > _MOST_ROWS:
            parts.append(Text(f"{len(some) - _MOST_ROWS} more cells: --format json has all"))
    return [*parts, Text(LEGEND, style="dim")]


def listings(rows: Sequence[Json], axes: Sequence[str]) -> list[tuple[str, list[list[str]]]]:
    """The same of all cells and with all numbers, as text: titles, and rows of which the first is
    the head.
    """
    head = ["", "depth", "verdict", "decided by", *HEADINGS.values()]
    return [
        (
            title,
            [
                head,
                *(
                    [*_words(row, axes), *(short(_number(row[number])) for number in HEADINGS)]
                    for row in some
                ),
            ],
        )
        for title, some in _beside(rows)
    ]


def _words(row: Json, axes: Sequence[str]) -> list[str]:
    return [
        _name(row, axes),
        str(row["depth"]),
        row["health"],
        f"{row['measure']} {short(_number(row['value']))}",
    ]


def _name(row: Json, axes: Sequence[str]) -> str:
    """A cell's, but for its depth."""
    return " ".join(named(axis, row[axis]) for axis in axes if axis != "depth") or str(
        row["residual"]
    )


def _beside(rows: Sequence[Json]) -> Iterator[tuple[str, list[Json]]]:
    """The cells of which fewer than half solved, then the others, if there are any: a title, the
    deepest first.
    """
    for title, wanted in (("not solved", False), ("solved", True)):
        some = [row for row in rows if (2 * row["solved"] >= row["seeds"]) == wanted]
        if some:
            yield (
                f"inside, at the last look: {title}",
                sorted(some, key=lambda row: -int(row["depth"])),
            )


def _number(found: float | None) -> float:
    return math.nan if found is None else found
