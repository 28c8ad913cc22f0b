"""Combinations of settings in which every pair of two settings' values is found."""

import itertools
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

Row = dict[str, Any]
Item = tuple[str, Any]


def covering(
    values: Mapping[str, Sequence[Any]],
    allowed: Callable[[Row], bool] = lambda row: True,
    apart: Collection[frozenset[str]] = (),
) -> list[Row]:
    """Rows that are allowed, few of them, with every pair of values that an allowed row has, but
    those of two settings that are `apart`.

    Each row takes a pair that is left, and for each other setting the value with which most of
    those that are left come in, of several the one that fewest rows have; a pair that no allowed
    row is found for is dropped.
    """
    names = list(values)
    left = {
        frozenset([(one, first), (other, second)])
        for one, other in itertools.combinations(names, 2)
        if frozenset([one, other]) not in apart
        for first in values[one]
        for second in values[other]
    }
    rows: list[Row] = []
    uses: Counter[Item] = Counter()
    for pair in sorted(left, key=lambda pair: sorted(map(repr, pair))):
        if pair not in left:
            continue
        row = _completed(dict(pair), values, left, uses, allowed)
        left.discard(pair)
        if row is not None:
            rows.append({name: row[name] for name in names})
            left -= {frozenset(two) for two in itertools.combinations(row.items(), 2)}
            uses.update(row.items())
    return rows


def _completed(
    row: Row,
    values: Mapping[str, Sequence[Any]],
    left: set[frozenset[Item]],
    uses: Counter[Item],
    allowed: Callable[[Row], bool],
) -> Row | None:
    """The row with a value of every setting; None if none is allowed. Searched depth first."""
    open_names = [name for name in values if name not in row]
    if not open_names:
        return row if allowed(row) else None
    name = open_names[0]

    def rank(value: Any) -> tuple[int, int]:
        news = sum(frozenset([(name, value), item]) in left for item in row.items())
        return -news, uses[name, value]

    for value in sorted(values[name], key=rank):
        more = {**row, name: value}
        if allowed(more) and (whole := _completed(more, values, left, uses, allowed)) is not None:
            return whole
    return None
