"""How sure a verdict is: what the comparisons show, hedged where they do not show it."""

from collections.abc import Sequence
from typing import Any

from resformer.reporting.columns import Columns, key_of
from resformer.reporting.words import NORMS, interval, named, probability
from resformer.stats.arms import division_count, seeds_needed, smallest_p

Json = dict[str, Any]
Arms = tuple[Sequence[Json], Sequence[Json]]
"""The cells of a scheme and of its baseline, by depth."""

LEVEL = 0.05
_MOST_SAID = 4


def evidence(comparisons: Sequence[Json], columns: Columns, tested: int, exact_to: int) -> str:
    """What the comparisons of one task say, a few one by one, many in one count; "" if there are none.

    `tested` is their number in the whole study, `exact_to` up to how many divisions of the seeds p is exact.
    """
    rows = [row for row in comparisons if row["depth"] is None]
    if not rows:
        return ""
    if len(rows) > _MOST_SAID:
        return _counted(rows, columns, tested)
    arms = [columns.arms(row) for row in rows]
    said = [
        _said(row, rows, comparisons, _sure(row, pair, tested, exact_to), pair)
        for row, pair in zip(rows, arms, strict=True)
    ]
    hopeless = _hopeless(rows, columns, tested)
    return "; ".join([*said, *([hopeless] if hopeless else [])])


def _counted(rows: Sequence[Json], columns: Columns, tested: int) -> str:
    significant = [row for row in rows if row["p_adjusted"] is not None and row["p_adjusted"] <= LEVEL]
    smallest = min((row["p_adjusted"] for row in rows if row["p_adjusted"] is not None), default=None)
    hopeless = _hopeless(rows, columns, tested)
    told = f"{len(significant)} of {len(rows)} comparisons are significant after correction"
    if smallest is not None:
        told += f", the smallest p = {probability(smallest)}"
    return f"{told}; {hopeless}" if hopeless else told


def _said(row: Json, rows: Sequence[Json], comparisons: Sequence[Json], sure: str, arms: Arms) -> str:
    """One comparison."""
    what = _solved(*arms) or _speed(row)
    against = _against(row, comparisons)
    return f"{_label(row, rows)}{what}{f', {sure}' if sure else ''}{against}"


def _label(row: Json, rows: Sequence[Json]) -> str:
    """Which comparison this is, where there are several."""
    varying = [name for name in key_of(row) if len({str(other[name]) for other in rows}) > 1]
    words = [NORMS.get(row[name], str(row[name])) if name == "norm" else named(name, row[name]) for name in varying]
    if len({(other["scheme"], other["baseline"]) for other in rows}) > 1:
        words.insert(0, f"{row['scheme']} against {row['baseline']}")
    return f"{', '.join(words)} " if words else ""


def _solved(scheme: Sequence[Json], baseline: Sequence[Json]) -> str:
    """How the counts differ at the deepest depths at which they do, as in: 5 of 5 seeds against 0 of 5 at depth 8."""
    leads = [_share(one) - _share(other) for one, other in zip(scheme, baseline, strict=True)]
    last = max((index for index, lead in enumerate(leads) if lead), default=None)
    if last is None:
        return ""
    first = last
    while first > 0 and leads[first - 1] * leads[last] > 0:
        first -= 1
    ahead = _count(scheme[first : last + 1], leads[last] < 0)
    behind = _count(baseline[first : last + 1], leads[last] > 0)
    depth, deepest = scheme[first]["depth"], scheme[last]["depth"]
    where = f"every depth from {depth}{'' if last == len(leads) - 1 else f' to {deepest}'}"
    return f"{ahead} seeds against {behind} at {where if first < last else f'depth {depth}'}"


def _share(cell: Json) -> float:
    return float(cell["solved"] / cell["seeds"])


def _count(arm: Sequence[Json], most: bool) -> str:
    """Seeds solved of seeds, at all depths, or at most or at least."""
    counts = {(cell["solved"], cell["seeds"]) for cell in arm}
    solved, seeds = (max if most else min)(counts, key=lambda count: (count[0] / count[1], count))
    hedge = "" if len(counts) == 1 else "at most " if most else "at least "
    return f"{hedge}{solved} of {seeds}"


def _speed(row: Json) -> str:
    """As many solve with as without: how many steps it takes."""
    if row["ratio"] is None:
        return "no seed solves it, and there is nothing to test"
    between = f" (95 % interval {interval(row['low'], row['high'], '.2f')})" if row["low"] is not None else ""
    if row["low"] is not None and row["low"] <= 1 <= row["high"]:
        return (
            f"as many seeds solve at every depth, in {row['ratio']:.2f} times the steps, which may be chance{between}"
        )
    return f"as many seeds solve at every depth, in {row['ratio']:.2f} times the steps{between}"


def _sure(row: Json, arms: Arms, tested: int, exact_to: int) -> str:
    if row["p"] is None:
        return ""
    exact = division_count(*map(_seeds, arms)) <= exact_to
    p = f"over all depths {'exact' if exact else 'permutation'} p = {probability(row['p_adjusted'])}".replace(
        "= <", "<"
    )
    corrected = f" corrected for {tested} comparisons" if tested > 1 else ""
    return f"{p}{corrected}{'' if row['p_adjusted'] <= LEVEL else ', not significant'}"


def _seeds(arm: Sequence[Json]) -> int:
    return len({seed for cell in arm for seed in cell["lr_by_seed"]})


def _against(row: Json, comparisons: Sequence[Json]) -> str:
    """Depths at which the ratio of steps is surely on the other side of 1 than over all: they weaken the test."""
    if row["ratio"] is None:
        return ""
    key = _comparison(row)
    depths = [
        str(other["depth"])
        for other in comparisons
        if other["depth"] is not None
        and _comparison(other) == key
        and other["low"] is not None
        and ((row["ratio"] < 1 < other["low"]) or (row["ratio"] > 1 > other["high"]))
    ]
    direction = "slower" if row["ratio"] < 1 else "faster"
    return f" (at depth {' and '.join(depths)} it is {direction})" if depths else ""


def _comparison(row: Json) -> Json:
    return {**key_of(row), "depth": None, "scheme": row["scheme"], "baseline": row["baseline"]}


def _hopeless(rows: Sequence[Json], columns: Columns, tested: int) -> str:
    """Where no result of so few seeds could be significant, how many could."""
    seeds = max((_seeds(arm) for row in rows if row["p"] is not None for arm in columns.arms(row)), default=0)
    if not seeds or tested * smallest_p(seeds, seeds) <= LEVEL:
        return ""
    after = " after correction" if tested > 1 else ""
    word = "seed" if seeds == 1 else "seeds"
    return f"{seeds} {word} cannot reach significance{after} here, {seeds_needed(tested, LEVEL)} could"
