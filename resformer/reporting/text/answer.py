"""Answer of a report in sentences: how deep, how fast where both train, and at what cost."""

from collections.abc import Iterator, Sequence
from itertools import groupby

from resformer.reporting.analysis.cost import cost
from resformer.reporting.analysis.pairs import BASELINE, RESIDUAL
from resformer.reporting.schema import (
    ArmKey,
    Compared,
    Comparison,
    Count,
    DepthComparison,
    Limit,
    LossComparison,
    Per,
    Report,
    Separation,
    varying,
)
from resformer.reporting.text.words import NORMS, UNITS, correction, listed, p_is, value_label
from resformer.stats.multiplicity import LEVEL, level
from resformer.stats.power import FIRST_LOOK, SECOND_LOOK, power, power_of_two_looks, seeds_for
from resformer.text import counted

_DEEP = ("deeper", "less deep", "not shown to differ")
_LOW = ("lower", "higher", "not shown to differ")
"""Verdicts on how deep and on how low, in words."""
_MOST_LISTED = 4
"""Comparisons that have a sentence each; more are counted."""
ONE_GRID_DEPTH = (0.95, 0.05)
"""Shares of seeds that solve, of two arms whose limits are one depth of the grid apart."""
_SURE = 0.9
"""Probability with which enough seeds find a difference."""


def answer(report: Report) -> list[str]:
    """Sentences that answer the question, in order of weight; several studies and tasks one by
    one.
    """
    if report.score == "final_loss":
        return [*_losses(report), *_cost(report)]
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
    return [*lines, *_cost(report)]


def _separated(part: Separation) -> str:
    return (
        f"Of all {part.pairs} pairs of columns {part.by_depth} are distinguished by how deep they "
        f"train, {part.by_speed} more by their speed, {part.by_neither} by neither "
        "(Benjamini–Hochberg over the pairs)."
    )


def headline(report: Report) -> str:
    """Summary of the comparisons of how deep, without numbers that the answer's sentences have; the
    limits where nothing is compared.
    """
    rows = report.comparisons
    if not rows:
        words = answer(report)[0].removeprefix("How deep: ").rstrip(".")
        return f"{words[0].upper()}{words[1:]}"
    if len({(names(row), row.verdict) for row in rows}) > 1:
        counts = [
            f"{number} {words}"
            for verdict, words in zip(("better", "worse", "undecided"), _DEEP, strict=True)
            if (number := sum(row.verdict == verdict for row in rows))
        ]
        return f"Of {len(rows)} comparisons of how deep: {', '.join(counts)}"
    (scheme, baseline), verdict = names(rows[0]), rows[0].verdict
    scheme = f"{scheme[0].upper()}{scheme[1:]}"
    if verdict == "undecided":
        return f"{scheme} stacks are not shown to train deeper or less deep than {baseline}"
    word = "deeper" if verdict == "better" else "less deep"
    words = f"{scheme} stacks train {word} than {baseline}"
    budgets = {depth.budget for row in rows for depth in row.depths}
    within = f", within {min(budgets):,} steps" if len(budgets) == 1 else ""
    if len({row.runs for row in rows}) > 1:
        return f"{words}{within}"
    tried = [depth.depth for depth in rows[0].depths]
    scheme_run, baseline_run = rows[0].runs
    return f"{words}: {reach(*scheme_run, tried)} against {_short(baseline_run)}{within}"


def _heading(report: Report, study: str, task: str) -> str:
    several = len({cell.key.arm.study for cell in report.cells}) > 1
    return f"{task} ({study}). " if several else f"{task}. "


def _of_task(report: Report, rows: Sequence[Comparison], limits: Sequence[Limit]) -> Iterator[str]:
    if not rows:
        yield f"How deep: {_reaches(report, limits)}."
        return
    if len(rows) > _MOST_LISTED:
        yield f"How deep: {_counted(rows, _DEEP)}."
        yield f"How fast where both train: {_counted_fast(rows, report.per)}."
    else:
        for row in rows:
            yield f"How deep{_label(row, rows)}: {_deep(row, rows)}."
        for row in rows:
            yield f"How fast where both train{_label(row, rows)}: {_fast(row, report.per)}."
    yield from _more_seeds(rows)


def _losses(report: Report) -> Iterator[str]:
    """Sentences that compare final losses; many comparisons are counted."""
    rows = report.losses
    if len(rows) > _MOST_LISTED:
        yield f"How low the final loss: {_counted(rows, _LOW)}."
        return
    for row in rows:
        yield f"How low the final loss{_label(row, rows)}: {_low(row, rows)}."


def _low(row: LossComparison, rows: Sequence[LossComparison]) -> str:
    """The comparison of final losses in words, with its interval and its p-value."""
    scheme, baseline = names(row)
    low, high = row.difference.low, row.difference.high
    bounds = "" if low is None or high is None else f", 95 % interval {low:+.2g} to {high:+.2g}"
    depths = listed([str(depth.depth) for depth in row.depths])
    mean = f"mean of depths {depths}" if len(row.depths) > 1 else f"depth {depths}"
    size = f"{row.difference.value:+.2g} nats per token ({mean}{bounds})"
    if row.p is None or row.p_adjusted is None:
        return f"{scheme} against {baseline} {size}, one seed: no test"
    test = _test(row, rows)
    if row.verdict == "undecided":
        shown = f"{scheme} stacks are not shown to end lower or higher than {baseline}"
        return f"{shown}: {size}, {test}"
    word = {1: "lower", -1: "higher"}
    at = {
        sign: [str(depth.depth) for depth in row.significant if sign * depth.lead > 0]
        for sign in word
    }
    ends = [
        f"{word[sign]} at depth{'s' * (len(depths) > 1)} {listed(depths)}"
        for sign, depths in at.items()
        if depths
    ]
    return f"{scheme} stacks end {listed(ends)} than {baseline}: {size}, {test}"


def _test(row: Compared, rows: Sequence[Compared]) -> str:
    """The p-value of a comparison, exact or not, and for how many others it is corrected."""
    tests = sum(other.p is not None for other in rows)
    corrected = f" corrected for {tests} comparisons" if tests > 1 else ""
    assert row.p_adjusted is not None
    return f"{'exact' if row.exact else 'permutation'} {p_is(row.p_adjusted)}{corrected}"


def _reaches(report: Report, limits: Sequence[Limit]) -> str:
    """Depth limits of arms that nothing is compared with, the deepest first."""
    keys = [limit.key for limit in limits]
    arms: dict[str, list[str]] = {}
    for limit in sorted(limits, key=lambda limit: -(limit.depth_limit or 0)):
        words = reach(limit.depth_floor, limit.depth_limit, report.depths[limit.key])
        arms.setdefault(words, []).append(_arm(limit.key, keys))
    if len(limits) == 1:
        return next(iter(arms))
    return "; ".join(f"{words} with {listed(names)}" for words, names in arms.items())


def _arm(key: ArmKey, keys: Sequence[ArmKey]) -> str:
    """The values by which an arm differs from the others of these."""
    words = [
        NORMS.get(key.norm, key.norm) if axis == "norm" else value_label(axis, key.value(axis))
        for axis in varying(keys)
    ]
    return " ".join(words)


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


def _deep(row: Comparison, rows: Sequence[Comparison]) -> str:
    """The comparison of depths in words, with its counts and its p-value."""
    scheme, baseline = names(row)
    if row.p is None or row.p_adjusted is None:
        return _untested(row)
    test = _test(row, rows)
    if row.verdict == "undecided":
        apart = max(row.depths, key=lambda depth: (abs(depth.lead), depth.depth))
        counts = (
            f"{_against(apart.scheme, apart.baseline)} at depth {apart.depth}"
            if apart.lead
            else "as many seeds solve every depth"
        )
        shown = f"{scheme} stacks are not shown to train deeper or less deep than {baseline}"
        return f"{shown}: {counts}, {test}"
    ahead, behind = (scheme, baseline) if row.verdict == "better" else (baseline, scheme)
    sign = 1 if row.verdict == "better" else -1
    value = sign * row.doublings.value
    runs = row.runs[::sign]
    low, high = sorted(sign * (bound or 0.0) for bound in (row.doublings.low, row.doublings.high))
    tried = [depth.depth for depth in row.depths]
    if value > 0:
        least, among = "", ""
        if runs[0][1] == tried[-1]:
            least, among = "at least ", " among the depths tried"
        bounds = f"95 % interval{among} {low:.1f} to {high:.1f}"
        size = f"{least}{value:.1f} doublings deeper than {behind} ({bounds})"
    else:
        size = f"deeper than {behind}, though fewer seeds solve shallow depths"
    depths = f"{reach(*runs[0], tried)} against {_short(runs[1])}"
    return f"{ahead} stacks train {size}, {depths}: {_significant(row)}, {test}"


def names(row: Compared) -> tuple[str, str]:
    """Scheme and baseline in words."""
    labels = row.labels
    words = {RESIDUAL: "with residual connections", BASELINE: "without"}
    if set(labels) == set(words):
        return words[labels[0]], words[labels[1]]
    return f"with {labels[0]}", f"with {labels[1]}"


def _label(row: Compared, rows: Sequence[Compared]) -> str:
    """The axes by which a comparison differs from the others, each behind a comma."""
    words = [
        NORMS.get(row.scheme.norm, row.scheme.norm)
        if axis == "norm"
        else value_label(axis, row.scheme.value(axis))
        for axis in varying([other.scheme for other in rows])
        if axis not in row.named_by
    ]
    return "".join(f", {word}" for word in words)


def _untested(row: Comparison) -> str:
    if not any(depth.scheme.solved + depth.baseline.solved for depth in row.depths):
        steps = {depth.budget for depth in row.depths}
        budget = f"the {min(steps)} steps" if len(steps) == 1 else "the steps"
        return f"no seed of either solves any depth within {budget} that both had"
    counts = ", ".join(
        f"{_against(depth.scheme, depth.baseline)} at depth {depth.depth}" for depth in row.depths
    )
    return f"one seed: no test; {counts}"


def _short(run: tuple[int | None, int | None]) -> str:
    _, limit = run
    return "none" if limit is None else f"{limit}"


def _significant(row: Comparison) -> str:
    """Counts at the significant depths; equal ones together."""
    parts = []
    rows = row.significant

    def counts(depth: DepthComparison) -> tuple[Count, Count]:
        return depth.scheme, depth.baseline

    for (scheme, baseline), group in groupby(rows, key=counts):
        depths = [str(depth.depth) for depth in group]
        ahead = (scheme, baseline) if row.verdict == "better" else (baseline, scheme)
        parts.append(f"{_against(*ahead)} at depth{'s' * (len(depths) > 1)} {listed(depths)}")
    return ", ".join(parts)


def _against(first: Count, second: Count) -> str:
    return f"{first.solved} of {first.seeds} seeds against {second.solved} of {second.seeds}"


def _fast(row: Comparison, per: Per) -> str:
    """The comparison of steps, FLOPs or tokens in words."""
    if row.speed is None:
        return "at no depth do all seeds of both solve"
    depths = [str(depth) for depth in row.speed_depths]
    low, high = row.speed.low, row.speed.high
    interval = ""
    if low is not None and high is not None:
        unsure = ", so not surely different" * (low <= 1 <= high)
        interval = f" (95 % interval {low:.2f} to {high:.2f}{unsure})"
    size = f"{names(row)[0]} they take {row.speed.value:.2f} times the {UNITS[per]}{interval}"
    if len(depths) == 1:
        return f"{size} at depth {depths[0]}, the only one that all seeds of both solve"
    each = [f"{depth.speed.value:.2f} at {depth.depth}" for depth in row.depths if depth.speed]
    return f"{size} at depths {listed(depths)}, which all seeds of both solve ({', '.join(each)})"


def _counted(rows: Sequence[Compared], words: tuple[str, str, str]) -> str:
    """Number of comparisons by verdict (better, worse, undecided) in these words, with the names of
    those that are few.
    """
    by_verdict = {
        verdict: [row for row in rows if row.verdict == verdict]
        for verdict in ("better", "worse", "undecided")
    }
    parts = []
    for of_verdict, text in zip(by_verdict.values(), words, strict=True):
        names_of = [row.labels[0] for row in of_verdict]
        parts.append(f"{len(names_of)} {text}{_named(names_of)}")
    baselines = listed(sorted({row.labels[1] for row in rows}), "or")
    shown = [
        row.p_adjusted for row in rows if row.verdict != "undecided" and row.p_adjusted is not None
    ]
    largest = f", the largest {p_is(max(shown))}" if shown else ""
    counts = ", ".join(parts)
    return f"of {len(rows)} columns against {baselines}, {counts} ({correction(rows)}{largest})"


def _named(names_of: Sequence[str]) -> str:
    return f" ({listed(sorted(names_of))})" if 0 < len(names_of) <= _MOST_LISTED else ""


def _counted_fast(rows: Sequence[Comparison], per: Per) -> str:
    rated = [(row.labels[0], row.speed) for row in rows if row.speed is not None]
    faster = [name for name, speed in rated if speed.high is not None and speed.high < 1]
    slower = [name for name, speed in rated if speed.low is not None and speed.low > 1]
    unit = "" if per == "steps" else f" in {UNITS[per]}"
    words = [
        f"{len(faster)} faster{unit}{_named(faster)}",
        f"{len(slower)} slower{_named(slower)}",
        f"{len(rated) - len(faster) - len(slower)} not surely either",
    ]
    nowhere = len(rows) - len(rated)
    no_depth = f", {nowhere} at no depth that all seeds of both solve" * bool(nowhere)
    return f"{', '.join(words)}{no_depth}"


def _more_seeds(rows: Sequence[Comparison]) -> Iterator[str]:
    """Number of seeds that would find a difference, where one was tested for and not shown."""
    tested = [row for row in rows if row.p is not None]
    open_ = [row for row in tested if row.verdict == "undecided"]
    if not open_:
        return
    seeds = min(depth.scheme.seeds for row in open_ for depth in row.depths)
    yield power_words(len(tested), seeds)


def power_words(comparisons: int, seeds: int) -> str:
    """The probability that so many seeds find a limit one grid depth apart; if it is small, the
    number of seeds that would be enough.
    """
    chance = power(seeds, seeds, ONE_GRID_DEPTH, level(comparisons))
    words = (
        f"{seeds} seeds find a limit one grid depth apart "
        f"(95 % of seeds against 5 % solve) with probability {chance:.2f}"
    )
    return f"{words}{_enough(chance, comparisons)}."


def planned_power(comparisons: int, seeds: int, *, looks: int) -> str:
    """The same before a sweep, of which every arm gets so many seeds; with a second look as many
    again where the first does not decide.
    """
    alpha = level(comparisons)
    if looks == 1:
        chance, again = power(seeds, seeds, ONE_GRID_DEPTH, alpha), ""
    else:
        levels = (FIRST_LOOK * alpha / LEVEL, SECOND_LOOK * alpha / LEVEL)
        chance = power_of_two_looks(seeds, ONE_GRID_DEPTH, levels)
        again = f", {2 * seeds} where undecided"
    return (
        f"{counted(comparisons, 'comparison')}, {counted(seeds, 'seed')}{again}: a limit apart by "
        f"one grid depth is found with probability {chance:.2f}{_enough(chance, comparisons)}"
    )


def _enough(chance: float, comparisons: int) -> str:
    """Seeds that find it surely, where this chance is small."""
    if chance >= _SURE:
        return ""
    seeds = seeds_for(ONE_GRID_DEPTH, _SURE, level(comparisons))
    return f"; {seeds} would find it with {_SURE:.2f}"


def _cost(report: Report) -> list[str]:
    """Cost of residual connections; nothing without cells that differ in nothing else."""
    more = cost(report)
    if more is None:
        return []
    parameters = f"up to {more.parameters:,} parameters" if more.parameters else "no parameters"
    flops = f"{more.flops_per_step:,} FLOPs per step" if more.flops_per_step else "no FLOPs"
    return [f"Cost: residual connections add {parameters} and {flops} of matrix products."]
