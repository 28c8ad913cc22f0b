"""Answer of a report in sentences: how deep, how fast where both train, and at what cost."""

from collections.abc import Iterator, Sequence
from itertools import groupby

from resformer.reporting.analysis.cost import cost
from resformer.reporting.schema import (
    Comparison,
    Count,
    DepthComparison,
    Limit,
    Per,
    RankCorrelation,
    Report,
    Separation,
)
from resformer.reporting.text import final_loss
from resformer.reporting.text.power import open_words
from resformer.reporting.text.uncompared import arm_words, at_rates, rates_differ, why_nothing
from resformer.reporting.text.verdicts import (
    budget_of_both,
    counted,
    label,
    named,
    names,
    p_words,
    scheme_name,
)
from resformer.reporting.text.words import MOST_LISTED, UNITS, listed
from resformer.stats.depth import Run


def answer(report: Report) -> list[str]:
    """Sentences that answer the question, in order of weight; several studies and tasks one by
    one.
    """
    if report.score == "final_loss":
        return [*final_loss.sentences(report), *_cost(report)]
    parts: dict[tuple[str, str], list[Comparison]] = {}
    for cell in report.cells:
        parts.setdefault((cell.key.arm.study, cell.key.arm.task), [])
    for row in report.comparisons:
        parts[row.scheme.study, row.scheme.task].append(row)
    lines = []
    for (study, task), rows in parts.items():
        limits = [
            limit for limit in report.limits if (limit.key.study, limit.key.task) == (study, task)
        ]
        heading = _heading(report, study, task) if len(parts) > 1 else ""
        lines += [f"{heading}{line}" for line in _of_task(report, rows, limits)]
        lines += [
            f"{heading}{_separated(part)}"
            for part in report.separation
            if (part.study, part.task) == (study, task)
        ]
    return [*lines, *map(_correlated, report.rank_correlations), *_cost(report)]


def _correlated(part: RankCorrelation) -> str:
    """A sentence on two tasks' rankings, with the correlation that the noise of seeds leaves to
    rankings that are alike.
    """
    value = part.correlation
    between = ""
    if value.low is not None and value.high is not None:
        between = f" ({value.low:.2f} to {value.high:.2f})"
    most = ""
    if part.ceiling is not None:
        most = f", where rankings that are alike have {part.ceiling:.2f} for the noise of seeds"
    return (
        f"{part.task} and {part.other} rank the {part.arms} columns that both have alike by "
        f"Spearman's {value.value:.2f}{between}{most}."
    )


def _separated(part: Separation) -> str:
    return (
        f"Of the {part.pairs} pairs of columns that differ only in scheme or norm, "
        f"{part.by_depth} are distinguished by how deep they train, {part.by_speed} more by their "
        f"speed, {part.by_neither} by neither (Benjamini–Hochberg over the pairs)."
    )


def _heading(report: Report, study: str, task: str) -> str:
    several = len({cell.key.arm.study for cell in report.cells}) > 1
    return f"{task} ({study}). " if several else f"{task}. "


def _of_task(report: Report, rows: Sequence[Comparison], limits: Sequence[Limit]) -> Iterator[str]:
    if not rows:
        yield f"How deep: {_reaches(report, limits)}."
        return
    solved = [row for row in rows if row.solved]
    if len(solved) > MOST_LISTED:
        yield f"How deep: {counted(rows)}."
        yield f"How fast where both train: {_counted_fast(solved, report.per)}."
    else:
        for row in solved:
            yield f"How deep{label(row, rows)}: {_deep(row, report)}."
        yield from _unsolved([row for row in rows if not row.solved], rows, report)
        for row in solved:
            yield f"How fast where both train{label(row, rows)}: {_fast(row, report)}."
    yield from open_words(rows, report)


def _unsolved(
    unsolved: Sequence[Comparison], rows: Sequence[Comparison], report: Report
) -> Iterator[str]:
    """A sentence on the comparisons of these rows in which neither arm solves any depth."""
    if not unsolved:
        return
    budget = budget_of_both(unsolved, report)
    if len(unsolved) == 1:
        (row,) = unsolved
        scheme, baseline = names(row)
        yield (
            f"How deep{label(row, rows)}: neither {scheme} nor {baseline} does any seed solve any "
            f"depth within {budget}."
        )
        return
    pairs = [f"{' / '.join(row.labels)}{label(row, rows)}" for row in unsolved]
    few = f": {'; '.join(pairs)}" if len(pairs) <= MOST_LISTED else ""
    count = f"all {len(rows)}" if len(unsolved) == len(rows) else f"{len(unsolved)} of {len(rows)}"
    yield f"How deep: in {count} comparisons no seed solves any depth within {budget}{few}."


def _reaches(report: Report, limits: Sequence[Limit]) -> str:
    """Depth limits of arms that nothing is compared with, the deepest first; with their learning
    rates if these are the reason.
    """
    keys = [limit.key for limit in limits]
    other_rates = rates_differ(report, keys)
    arms: dict[str, list[str]] = {}
    for limit in sorted(limits, key=lambda limit: -(limit.depth_limit or 0)):
        words = reach(limit.depth_floor, limit.depth_limit, report.depths[limit.key])
        name = arm_words(limit.key, keys)
        if other_rates:
            name = f"{name} {at_rates(report, limit.key)}"
        arms.setdefault(words, []).append(name)
    if len(limits) == 1:
        return next(iter(arms))
    reaches = "; ".join(
        f"{words}{',' * (', ' in words)} with {listed(names)}" for words, names in arms.items()
    )
    return f"{why_nothing(report, keys)}: {reaches}" if other_rates else reaches


def reach(floor: int | None, limit: int | None, tried: Sequence[int]) -> str:
    """The unbroken run of depths that an arm solves, of those that were tried."""
    if limit is None:
        return "no depth"
    if len(tried) == 1:
        return f"depth {limit}, the only one tried"
    more = " or more" if limit == tried[-1] else ""
    if floor == tried[0]:
        return f"to depth {limit}{more}"
    return f"depths {floor} to {limit}{more}" if floor != limit else f"depth {limit}{more}"


def _deep(row: Comparison, report: Report) -> str:
    """The comparison of depths in words, with its counts and its p-value."""
    scheme, baseline = names(row)
    if row.p is None:
        counts = ", ".join(
            f"{_against(depth.scheme, depth.baseline)} at depth {depth.depth}"
            for depth in row.depths
        )
        return f"{scheme} against {baseline} {counts}; one seed: no test"
    test = p_words(row, report)
    tried = [depth.depth for depth in row.depths]
    if row.verdict == "undecided":
        return (
            f"{scheme} stacks are not shown to {_differ(tried)} {baseline}: {_apart(row)}, {test}"
        )
    sign = 1 if row.verdict == "better" else -1
    ahead, behind = (scheme, baseline)[::sign]
    return f"{ahead} stacks {_ahead(row, tried, behind)}: {_significant(row)}, {test}"


def _differ(tried: Sequence[int]) -> str:
    if len(tried) == 1:
        return f"solve depth {tried[0]}, the only one tried, more or less often than"
    return "train deeper or less deep than"


def _apart(row: Comparison) -> str:
    """Counts at the depth at which the arms are furthest apart, of such depths the deepest."""
    apart = max(row.depths, key=lambda depth: (abs(depth.lead), depth.depth))
    if not apart.lead:
        return "as many seeds of both solve every depth"
    counts = _against(apart.scheme, apart.baseline)
    return counts if len(row.depths) == 1 else f"{counts} at depth {apart.depth}"


def _ahead(row: Comparison, tried: Sequence[int], behind: str) -> str:
    """By how much the arm ahead of the one behind trains deeper."""
    if row.doublings is None:
        return f"solve depth {tried[0]}, the only one tried, more often than {behind}"
    sign = 1 if row.verdict == "better" else -1
    value = sign * row.doublings.value
    first, second = row.runs[::sign]
    low, high = sorted(sign * (bound or 0.0) for bound in (row.doublings.low, row.doublings.high))
    if value > 0:
        least, among = "", ""
        if first[1] == tried[-1]:
            least, among = "at least ", " among the depths tried"
        bounds = f"95 % interval{among} {low:.1f} to {high:.1f}"
        size = f"{least}{value:.1f} doublings deeper than {behind} ({bounds})"
    else:
        size = f"deeper than {behind}, though fewer seeds solve shallow depths"
    return f"train {size}, {reach_against(first, second, tried)}"


def reach_against(first: Run, second: Run, tried: Sequence[int]) -> str:
    """The depths that one arm solves, against the limit of another."""
    _, limit = second
    return f"{reach(*first, tried)} against {'none' if limit is None else limit}"


def _significant(row: Comparison) -> str:
    """Counts at the significant depths; equal ones together."""
    parts = []
    rows = row.significant

    def counts(depth: DepthComparison) -> tuple[Count, Count]:
        return depth.scheme, depth.baseline

    for (scheme, baseline), group in groupby(rows, key=counts):
        depths = [str(depth.depth) for depth in group]
        ahead = (scheme, baseline) if row.verdict == "better" else (baseline, scheme)
        at = f" at depth{'s' * (len(depths) > 1)} {listed(depths)}" if len(row.depths) > 1 else ""
        parts.append(f"{_against(*ahead)}{at}")
    return ", ".join(parts)


def _against(first: Count, second: Count) -> str:
    return f"{first.solved} of {first.seeds} seeds against {second.solved} of {second.seeds}"


def _fast(row: Comparison, report: Report) -> str:
    """The comparison of steps, FLOPs or tokens in words, of arms of which one solves something."""
    scheme, baseline = names(row)
    solved = _solved_by_all(row)
    if not solved:
        return f"at no depth do all seeds solve both {scheme} and {baseline}"
    if row.speed is None:
        at = f"depth{'s' * (len(solved) > 1)} {listed([str(depth) for depth in solved])}"
        each = [f"{depth.speed.value:.2f} at {depth.depth}" for depth in row.depths if depth.speed]
        all_of_them = f" at all of them (paired by depth: {', '.join(each)})" if each else ""
        return (
            f"all seeds solve {at} both {scheme} and {baseline}, but no seed ran in both"
            f"{all_of_them}, so no steps are paired"
        )
    low, high = row.speed.low, row.speed.high
    interval = ""
    if low is not None and high is not None:
        unsure = ", so not surely different" * (low <= 1 <= high)
        interval = f" (95 % interval {low:.2f} to {high:.2f}{unsure})"
    size = f"{scheme} they take {row.speed.value:.2f} times the {UNITS[report.per]}{interval}"
    depths = [str(depth) for depth in row.speed_depths]
    if len(row.depths) == 1:
        return size
    paired = " with seeds in common" if len(depths) < len(solved) else ""
    if len(depths) == 1:
        return f"{size} at depth {depths[0]}, the only one that all seeds of both solve{paired}"
    each = [f"{depth.speed.value:.2f} at {depth.depth}" for depth in row.depths if depth.speed]
    which = f"which all seeds of both solve{paired}"
    return f"{size} at depths {listed(depths)}, {which} ({', '.join(each)})"


def _solved_by_all(row: Comparison) -> list[int]:
    """Depths that every seed of both arms solves, each at the rate that it is scored at."""
    return [depth.depth for depth in row.depths if depth.scheme.all and depth.baseline.all]


def _counted_fast(rows: Sequence[Comparison], per: Per) -> str:
    rated = [(scheme_name(row, rows), row.speed) for row in rows if row.speed is not None]
    faster = [arm for arm, speed in rated if speed.high is not None and speed.high < 1]
    slower = [arm for arm, speed in rated if speed.low is not None and speed.low > 1]
    unpaired = sum(bool(_solved_by_all(row)) for row in rows) - len(rated)
    nowhere = len(rows) - len(rated) - unpaired
    unit = "" if per == "steps" else f" in {UNITS[per]}"
    words = [
        f"{len(faster)} faster{unit}{named(faster)}",
        f"{len(slower)} slower{named(slower)}",
        f"{len(rated) - len(faster) - len(slower)} not surely either",
        f"{nowhere} at no depth that all seeds of both solve" * bool(nowhere),
        f"{unpaired} that all seeds solve, but without paired steps" * bool(unpaired),
    ]
    return ", ".join(filter(None, words))


def _cost(report: Report) -> list[str]:
    """Cost of residual connections; nothing without cells that differ in nothing else."""
    more = cost(report)
    if more is None:
        return []
    parameters = f"up to {more.parameters:,} parameters" if more.parameters else "no parameters"
    flops = f"{more.flops_per_step:,} FLOPs per step" if more.flops_per_step else "no FLOPs"
    return [f"Cost: residual connections add {parameters} and {flops} of matrix products."]
