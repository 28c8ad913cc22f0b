"""How sure a verdict is: what the comparisons show, hedged where they do not show it."""

from collections.abc import Sequence
from typing import Literal

from resformer.reporting.schema import Comparison, Side
from resformer.reporting.text.words import NORMS, interval, named, p_is
from resformer.stats.two_sample import permutation_count, seeds_needed, smallest_p

_Arm = Literal["scheme", "baseline"]

LEVEL = 0.05
_MOST_SAID = 4


def evidence(comparisons: Sequence[Comparison], tested: int, exact_to: int) -> str:
    """What the comparisons of one task say, a few one by one, many in one count; "" if there are
    none.

    `tested` is their number in the whole study, `exact_to` up to how many divisions of the seeds p
    is exact.
    """
    rows = [row for row in comparisons if row.depth is None]
    if not rows:
        return ""
    if len(rows) > _MOST_SAID:
        said = [_counted(rows)]
    else:
        by_depth = [
            [other for other in comparisons if other.depth is not None and _same(row, other)]
            for row in rows
        ]
        said = [
            _said(row, rows, depths, tested, exact_to)
            for row, depths in zip(rows, by_depth, strict=True)
        ]
    hopeless = _hopeless(rows, tested, exact_to)
    return "; ".join([*said, *([hopeless] if hopeless else [])])


def _same(row: Comparison, other: Comparison) -> bool:
    """Whether two rows are of one comparison."""
    return (row.key, row.baseline.name) == (other.key, other.baseline.name)


def _counted(rows: Sequence[Comparison]) -> str:
    p = [row.p_adjusted for row in rows if row.p_adjusted is not None]
    smallest = f", the smallest {p_is(min(p))}" if p else ""
    return (
        f"{sum(one <= LEVEL for one in p)} of {len(rows)} comparisons are significant after "
        f"correction{smallest}"
    )


def _said(
    row: Comparison,
    rows: Sequence[Comparison],
    depths: Sequence[Comparison],
    tested: int,
    exact_to: int,
) -> str:
    """One comparison: how the counts differ, or the speed; how sure that is; and which depths
    disagree.
    """
    what, ahead = _solved(depths)
    if not what and row.ratio is not None:
        ahead = (row.scheme if row.ratio < 1 else row.baseline).name
    what = what or _speed(row)
    sure = _sure(row, tested, exact_to, ahead)
    return f"{_label(row, rows)}{what}{f', {sure}' if sure else ''}{_against(row, depths)}"


def _label(row: Comparison, rows: Sequence[Comparison]) -> str:
    """Which comparison this is, where there are several."""
    varying = [
        axis
        for axis in row.key.values()
        if axis != "residual" and len({str(other.key.value(axis)) for other in rows}) > 1
    ]
    words = [
        NORMS.get(row.key.norm, row.key.norm)
        if axis == "norm"
        else named(axis, row.key.value(axis))
        for axis in varying
    ]
    return f"{', '.join(words)}: " if words else ""


def _solved(depths: Sequence[Comparison]) -> tuple[str, str]:
    """How the counts differ at the deepest depths at which they do, and who is ahead there; "", ""
    if they do not.

    As in: 5 of 5 seeds with add against 0 of 5 with plain at every depth from 4.
    """
    leads = [_share(row, "scheme") - _share(row, "baseline") for row in depths]
    last = max((index for index, lead in enumerate(leads) if lead), default=None)
    if last is None:
        return "", ""
    first = last
    while first > 0 and leads[first - 1] * leads[last] > 0:
        first -= 1
    run = depths[first : last + 1]
    scheme, baseline = (
        _count(run, "scheme", leads[last] < 0),
        _count(run, "baseline", leads[last] > 0),
    )
    shallowest, deepest = run[0].depth, run[-1].depth
    where = f"every depth from {shallowest}{'' if last == len(leads) - 1 else f' to {deepest}'}"
    where = where if first < last else f"depth {shallowest}"
    counts = (
        f"{scheme} seeds with {run[0].scheme.name} against {baseline} with "
        f"{run[0].baseline.name} "
        f"at {where}"
    )
    return counts, _side(run[0], "scheme" if leads[last] > 0 else "baseline").name


def _side(row: Comparison, arm: _Arm) -> Side:
    return row.scheme if arm == "scheme" else row.baseline


def _share(row: Comparison, arm: _Arm) -> float:
    side = _side(row, arm)
    return side.solved / max(1, side.seeds)


def _count(rows: Sequence[Comparison], arm: _Arm, most: bool) -> str:
    """Seeds solved of seeds, at all depths, or at most or at least."""
    counts = {(_side(row, arm).solved, _side(row, arm).seeds) for row in rows}
    solved, seeds = (max if most else min)(
        counts, key=lambda count: (count[0] / max(1, count[1]), count)
    )
    hedge = "" if len(counts) == 1 else "at most " if most else "at least "
    return f"{hedge}{solved} of {seeds}"


def _speed(row: Comparison) -> str:
    """As many solve with as without: how many steps it takes."""
    if not row.scheme.solved + row.baseline.solved:
        return "no seed solves it, and there is nothing to test"
    if row.ratio is None:
        return "as many seeds solve it, but none ran in both, so that there is no ratio of steps"
    bound = {"upper": "at most ", "lower": "at least "}.get(row.bound or "", "")
    within = " spent within the budget" if row.bound == "unknown" else ""
    between = (
        f" (95 % interval {interval(row.low, row.high, '.2f')})" if row.low is not None else ""
    )
    chance = row.low is not None and row.high is not None and row.low <= 1 <= row.high
    steps = (
        f"in {bound}{row.ratio:.2f} times the "
        f"steps{within}{', which may be chance' if chance else ''}{between}"
    )
    return (
        f"as many seeds solve it with {row.scheme.name} as with {row.baseline.name} at every "
        "depth, "
        f"{steps}"
    )


def _sure(row: Comparison, tested: int, exact_to: int, ahead: str) -> str:
    """The p-value; and whom it favours, where that is not who is ahead."""
    if row.p is None or row.p_adjusted is None:
        return ""
    exact = (
        "exact"
        if permutation_count(row.scheme.seeds, row.baseline.seeds) <= exact_to
        else "permutation"
    )
    corrected = f" corrected for {tested} comparisons" if tested > 1 else ""
    opposed = ahead and row.favours not in (None, ahead)
    favoured = f"over all depths the test favours {row.favours}, " if opposed else ""
    over = "" if favoured else "over all depths "
    verdict = "" if row.p_adjusted <= LEVEL else ", not significant"
    return f"{favoured}{over}{exact} {p_is(row.p_adjusted)}{corrected}{verdict}"


def _against(row: Comparison, depths: Sequence[Comparison]) -> str:
    """Depths at which the ratio of steps is surely on the other side of 1 than over all: they
    weaken the test.
    """
    if row.ratio is None:
        return ""
    others = [
        str(other.depth)
        for other in depths
        if other.low is not None
        and other.high is not None
        and ((row.ratio < 1 < other.low) or (row.ratio > 1 > other.high))
    ]
    direction = "slower" if row.ratio < 1 else "faster"
    return f" (at depth {', '.join(others)} {row.scheme.name} is {direction})" if others else ""


def _hopeless(rows: Sequence[Comparison], tested: int, exact_to: int) -> str:
    """Where no result of so few seeds could be significant, how many could."""
    arms = [(row.scheme.seeds, row.baseline.seeds) for row in rows if row.p is not None]
    short = [pair for pair in arms if tested * smallest_p(*pair, exact_to) > LEVEL]
    if not short:
        return ""
    first, second = min(short)
    seeds = f"{first}" if first == second else f"{first} against {second}"
    word = "seed" if seeds == "1" else "seeds"
    after = " after correction" if tested > 1 else ""
    return (
        f"{seeds} {word} cannot reach significance{after} here, "
        f"{seeds_needed(tested, exact_to, LEVEL)} could"
    )
