"""The cells of a report by column: what a depth limit is made of."""

from collections.abc import Iterable
from typing import Any, final

Json = dict[str, Any]

_STATISTICS = "seeds"
"""In a cell, what tells it apart stands before this."""
_VALUES = {
    "depth_limit",
    "low",
    "high",
    "depth_floor",
    "ratio",
    "bound",
    "p",
    "p_adjusted",
    "favours",
}
_VALUES |= {
    f"{arm}{what}"
    for arm in ("scheme", "baseline")
    for what in ("", "_solved", "_members", "_seeds")
}


def key_of(row: Json) -> Json:
    """What tells a row from the others of its kind: study, task, depth, residual, norm and any
    further axes.
    """
    names = list(row)
    names = (
        names[: names.index(_STATISTICS)]
        if _STATISTICS in names
        else [name for name in names if name not in _VALUES]
    )
    return {name: row[name] for name in names}


@final
class Columns:
    """The cells of a report, to be found by everything that tells them apart but depth."""

    def __init__(self, cells: Iterable[Json]) -> None:
        self._columns: dict[frozenset[tuple[str, Any]], dict[int, Json]] = {}
        values: dict[str, set[str]] = {}
        for cell in cells:
            key = key_of(cell)
            self._columns.setdefault(_without_depth(key), {})[cell["depth"]] = cell
            for name, value in key.items():
                values.setdefault(name, set()).add(str(value))
        self.varying = [name for name, found in values.items() if len(found) > 1]
        """The axes that have several values."""

    def of(self, row: Json) -> dict[int, Json]:
        """The cells of a limit's column by depth, ascending."""
        found = self._columns[_without_depth(key_of(row))]
        return {depth: found[depth] for depth in sorted(found)}


def _without_depth(key: Json) -> frozenset[tuple[str, Any]]:
    return frozenset((name, value) for name, value in key.items() if name != "depth")
