"""Texts of a report: cells and comparisons of its tables, legends, settings and notes."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from resformer.keys import COARSE, FINE, Value, as_typed, exclusion_lines
from resformer.reporting.schema import (
    ArmKey,
    Cell,
    Compared,
    Comparison,
    DepthComparison,
    Estimate,
    Limit,
    Per,
    Report,
)
from resformer.results import presets
from resformer.results.problems import FailedJob, MissingJob
from resformer.stats.multiplicity import MOST_FOR_HOLM
from resformer.text import counted

UNITS: Mapping[Per, str] = {"steps": "steps", "flops": "FLOPs", "tokens": "tokens"}
"""Units in words."""
_LEGEND = (
    "median {} to solve, seeds solved of seeds, each at the learning rate that the others found "
    "best; under it the interval of the median, … where it is open; where fewer than half solved: "
    "median final held-out loss (nats per token), 'stalled' where most learnt nothing from their "
    "input"
)
_LOSS_LEGEND = (
    "median final held-out loss (nats per token), at the learning rate at which the other seeds "
    "ended lowest, seeds solved of seeds"
)
MOST_LISTED = 4
"""Comparisons that have a sentence each, and each name their baseline; more are counted."""
NORMS = {"none": "no norm", "pre": "pre-norm", "post": "post-norm"}
FIT = (
    "half: depth at which half of the seeds solve, by a logistic fit over the logarithm of depth, "
    "and its 95 % interval, … where it ends beyond the depths that were tried"
)
_SETTINGS = {
    "task": "{}",
    "task.length": "length {}",
    "task.symbols": "{} symbols",
    "model": "{} block",
    "optimizer": "{}",
    "model.width": "width {}",
    "model.heads": "{} heads",
    "train.batch": "batch {}",
    "train.steps": "at most {} steps",
}
_USUAL = {presets.KEY: presets.USUAL, "optimizer": "adamw"}
"""Values that go without saying."""
_USUAL_OF_OTHERS = {
    "model.skip": "both",
    "model.tied": False,
    "model.parametrisation": "standard",
    "optimizer.weight_decay": 0.0,
    "train.schedule": "constant",
    "train.dropout": 0.0,
    "train.clip": 1.0,
    "train.precision": "fp32",
}
"""Values that go without saying of settings that are named, with any other value."""


def amount(value: float, per: Per) -> str:
    """Steps as a whole number; FLOPs and tokens with three digits and k, M, G, T or P."""
    return f"{value:.0f}" if per == "steps" else metric(value)


def metric(value: float) -> str:
    """Number with three digits and a metric prefix."""
    number, prefixes = float(f"{value:.3g}"), ["", "k", "M", "G", "T", "P"]
    while number >= 1000 and len(prefixes) > 1:
        number, prefixes = number / 1000, prefixes[1:]
    return f"{number:.4g}{prefixes[0]}"


def legend(report: Report) -> str:
    """Legend of the cells."""
    if report.score == "final_loss":
        return _LOSS_LEGEND
    prefixes = "" if report.per == "steps" else "; k, M, G, T: thousands, millions and so on"
    return f"{_LEGEND.format(UNITS[report.per])}{prefixes}{_resolution(report)}"


def _resolution(report: Report) -> str:
    """Resolution of steps to solve, behind a semicolon; "" if cells differ in it."""
    if "train.eval_every" not in report.settings:
        return ""
    every = report.settings["train.eval_every"]
    if every is not None:
        return f"; evaluated every {every} steps"
    fine = ", ".join(f"{steps} to step {until:,}" for until, steps in FINE)
    return f"; evaluated every {fine}, then {COARSE} steps"


def comparison_headings(report: Report) -> tuple[str, ...]:
    """Headings of the comparisons."""
    unit = UNITS[report.per]
    compared = f"against {baseline}" if (baseline := _baseline_of_all(report)) else "compared"
    return (compared, "where", "limits", "doublings", "95 %", "p", unit, "95 %")


def by_depth_headings(report: Report) -> tuple[str, ...]:
    """Headings of the comparisons at each depth."""
    return ("compared", "where", "depth", "solved", "p", UNITS[report.per], "95 %")


def _baseline_of_all(report: Report) -> str:
    """The baseline of many comparisons, which is then named once; "" if they are few, or differ."""
    baselines = {row.labels[1] for row in report.comparisons}
    few = len(report.comparisons) <= MOST_LISTED
    return "" if few or len(baselines) > 1 else baselines.pop()


def final_loss(cell: Cell | None) -> str:
    """Text of a cell whose members are judged by their final loss: its median, and the count."""
    if cell is None:
        return ""
    if cell.final_loss is None:
        return f"diverged – {cell.solved}/{cell.seeds} "
    return f"{cell.final_loss:.3g} {cell.solved}/{cell.seeds}{'*' if cell.lr_at_edge else ' '}"


def cell(cell: Cell | None, per: Per) -> tuple[str, str]:
    """Text of a cell: median and count, or loss and why; and the median's interval, "" for none."""
    if cell is None:
        return "", ""
    count = f"{cell.solved}/{cell.seeds}{'*' if cell.solved and cell.lr_at_edge else ' '}"
    if cell.median is not None:
        bounds = between(cell.median_low, cell.median_high, lambda bound: amount(bound, per))
        return f"{amount(cell.median, per)} {count}", bounds
    loss = "–" if cell.final_loss is None else f"{cell.final_loss:.2f}"
    word = "diverged" if 2 * cell.diverged > cell.seeds else "loss"
    word = "stalled" if 2 * cell.stalled > cell.seeds else word
    return f"{word} {loss} {count}", ""


def best_rates(report: Report) -> str:
    """Number of cells whose best learning rate lies inside the grid; "" if no cell counts."""
    best = report.best_rates
    if not best.cells:
        return ""
    inside = f"all {best.cells}" if best.inside == best.cells else f"{best.inside} of {best.cells}"
    which = "cells" if report.score == "final_loss" else "cells that solve"
    words = f"best learning rate inside the grid in {inside} {which}"
    return words if best.inside == best.cells else f"{words}, at its edge where a star stands"


def interval(low: float | None, high: float | None, digits: str = ".0f", joint: str = "–") -> str:
    """Text of an interval whose bounds have so many digits; as `between`."""
    return between(low, high, lambda bound: format(bound, digits), joint)


def between(
    low: float | None, high: float | None, text: Callable[[float], str], joint: str = "–"
) -> str:
    """Text of an interval; … for a bound that does not exist; "" if neither does."""
    if low is None and high is None:
        return ""
    return joint.join("…" if bound is None else text(bound) for bound in (low, high))


def limit(row: Limit, tried: Sequence[int]) -> tuple[str, str]:
    """Depth limit of an arm, ≥ if no deeper one was tried; and its interval, "" for no limit."""
    if row.depth_limit is None:
        return "none", ""
    deepest = row.depth_limit == tried[-1]
    text = f"≥ {row.depth_limit}" if deepest else str(row.depth_limit)
    return text, interval(row.low, row.high) or "nothing sure"


def fit(row: Limit, tried: Sequence[int]) -> tuple[str, str]:
    """Depth at which half of an arm's seeds solve, ≤ or ≥ at the ends of those that were tried; and
    its interval. "–" for an arm that has no fit.
    """
    if row.fit is None:
        return "–", ""
    value = row.fit.value
    sign = "≥ " if value >= tried[-1] else "≤ " if value <= tried[0] else ""
    return f"{sign}{value:.1f}", interval(row.fit.low, row.fit.high, ".1f")


def comparisons(report: Report) -> list[tuple[str, ...]]:
    """Comparisons under their headings."""
    once = bool(_baseline_of_all(report))
    return [
        (row.labels[0] if once else " / ".join(row.labels), *_comparison(row, report.varying))
        for row in report.comparisons
    ]


def comparisons_by_depth(report: Report) -> list[tuple[str, ...]]:
    """Comparisons at each depth under their headings."""
    return [
        _by_depth(row, depth, report.varying) for row in report.comparisons for depth in row.depths
    ]


def comparison_legend(report: Report) -> str:
    """Legend of both."""
    return (
        "limits: of depth, of the first and the second; doublings: of depth that the first solves "
        "more, each depth counted by its share of seeds, ≥ or ≤ where the arm ahead solves the "
        "deepest tried; p: by exchanging whole seeds, of the largest difference of shares solved "
        f"at any depth, {corrected_for(report.comparisons)}; "
        f"{UNITS[report.per]}: first over second, each cell at one learning rate, geometric mean "
        "over the depths at which every seed of both solves, same seeds paired"
    )


def corrected_for(rows: Sequence[Compared]) -> str:
    """The legend of corrected p-values."""
    by = correction(rows)
    return f"corrected for depths and comparisons{f' ({by})' if by else ''}"


def correction(rows: Sequence[Compared]) -> str:
    """Corrections of the p-values of these comparisons, in words; "" if none has one."""
    used = {row.adjusted_by for row in rows} - {None}
    few, many = (f" up to {MOST_FOR_HOLM} comparisons", " beyond") if len(used) > 1 else ("", "")
    words = {
        "holm": f"Holm{few}: any false one at most in 5 % of studies",
        "benjamini-hochberg": (
            f"Benjamini–Hochberg{many}: at most 5 % of those said to differ do not"
        ),
    }
    return "; ".join(text for by, text in words.items() if by in used)


def _comparison(row: Comparison, varying: Sequence[str]) -> tuple[str, ...]:
    return (
        ", ".join(where(row, varying)),
        " : ".join(_limit(run, row.depths[-1].depth) for run in row.runs),
        *doublings(row),
        probability(row.p_adjusted),
        *_speed(row.speed),
    )


def doublings(row: Comparison) -> tuple[str, str]:
    """Doublings of depth of a comparison, ≥ or ≤ where the arm ahead solves the deepest depth; and
    their interval, "" for none.
    """
    estimate = row.doublings
    if estimate is None:
        return "–", ""
    sign = "≥ " if row.at_least else "≤ " if row.at_most else ""
    bounds = interval(estimate.low, estimate.high, ".1f", joint=" to ")
    return f"{sign}{estimate.value:+.1f}", bounds


def _by_depth(row: Comparison, depth: DepthComparison, varying: Sequence[str]) -> tuple[str, ...]:
    return (
        " / ".join(row.labels),
        ", ".join(where(row, varying)),
        str(depth.depth),
        " : ".join(f"{count.solved}/{count.seeds}" for count in (depth.scheme, depth.baseline)),
        probability(depth.p_adjusted),
        *_speed(depth.speed),
    )


def _speed(speed: Estimate | None) -> tuple[str, str]:
    return (
        ("–", "")
        if speed is None
        else (f"{speed.value:.2f}", interval(speed.low, speed.high, ".2f"))
    )


def _limit(run: tuple[int | None, int | None], deepest: int) -> str:
    _, limit = run
    return "none" if limit is None else f"{'≥ ' * (limit == deepest)}{limit}"


def where(row: Compared, varying: Sequence[str]) -> list[str]:
    """Values of the axes that vary in a report and name neither arm, in words."""
    names = dict.fromkeys([*(name for name in varying if name != "depth"), "norm"])
    return [value_label(name, row.scheme.value(name)) for name in names if name not in row.named_by]


def listed(words: Sequence[str], last: str = "and") -> str:
    """Words as a sentence lists them: "1, 2 and 4"."""
    *rest, end = words
    return f"{', '.join(rest)} {last} {end}" if rest else end


def value_label(axis: str, value: Any) -> str:
    """Value of an axis, with the last word of the axis unless the value speaks for itself."""
    if axis in ("study", "task", "residual", "norm", "optimizer"):
        return as_typed(value)
    if axis == "model":
        return f"{as_typed(value)} block"
    return f"{axis.rpartition('.')[2]} {as_typed(value)}"


def kind_of_model(axes: Sequence[str], values: Sequence[Value]) -> str:
    """Values of the axes that apply, in one line."""
    applying = {axis: value for axis, value in zip(axes, values, strict=True) if value is not None}
    return one_line([*applying], [value_label(axis, value) for axis, value in applying.items()])


def one_line(axes: Sequence[str], labels: Sequence[str]) -> str:
    """Labels of these axes' values in one line: a space between scheme and norm, commas between the
    others.
    """
    text = ""
    for before, axis, label in zip(("", *axes), axes, labels, strict=False):
        joint = " " if (before, axis) == ("residual", "norm") else ", " if text else ""
        text += f"{joint}{label}"
    return text


def p_is(p: float) -> str:
    """p-value as in a sentence."""
    return f"p = {probability(p)}".replace("= <", "<")


def probability(p: float | None) -> str:
    """p-value with two significant digits; "" for none."""
    return "" if p is None else f"{p:.2g}" if p >= 1e-4 else "< 0.0001"


def settings(report: Report) -> str:
    """Settings that all members share, in one line."""
    shared = report.settings
    seeds = max(cell.seeds for cell in report.cells)
    rates = sorted({rate.lr for rate in report.rates})
    differing = report.differing or {}
    words = [
        text.format(shared[key])
        for key, text in _SETTINGS.items()
        if key in shared and shared[key] != _USUAL.get(key)
    ]
    words += _widths(report)
    words += [
        value_label(key, shared[key])
        for key, usual in _USUAL_OF_OTHERS.items()
        if shared.get(key, usual) != usual
    ]
    if presets.KEY not in report.axes:
        words += [value_label(key, value) for key, value in presets.unusual(shared).items()]
    rate = f"learning rate{'s' if len(rates) > 1 else ''} {', '.join(f'{lr:g}' for lr in rates)}"
    words += [] if "member.lr" in differing else [rate]
    words += [] if "member.seed" in differing else [counted(seeds, "seed")]
    return ", ".join(words)


def _widths(report: Report) -> list[str]:
    """The width at each depth, smallest and largest; none where it does not come with the depth."""
    by_depth: dict[int, set[int]] = {}
    for cell in report.cells:
        if cell.width is not None:
            by_depth.setdefault(cell.key.depth, set()).add(cell.width)
    if not by_depth:
        return []
    depths = sorted(by_depth)
    ends = [sorted({min(by_depth[depth]), max(by_depth[depth])}) for depth in depths]
    widths = listed(["–".join(map(str, widths)) for widths in ends])
    return [f"width {widths} at depth {listed([*map(str, depths)])}"]


def differences(report: Report) -> list[str]:
    """Conditions that members were chosen by, and settings in which studies differ, a line each."""
    lines = [
        f"{key}: {', '.join(f'{as_typed(value)} ({study})' for study, value in values.items())}"
        for key, values in (report.differing or {}).items()
    ]
    if report.where:
        chosen = " ".join(f"{key}={','.join(values)}" for key, values in report.where.items())
        lines.insert(0, f"only {chosen}; the correction counts the comparisons of these")
    return lines


def _incomplete(report: Report) -> list[str]:
    """A line on learning rates at which not all seeds ran; none if all have the same."""
    depths: dict[tuple[ArmKey, str], list[str]] = {}
    for row in report.incomplete_rates:
        rates = [
            f"{rate:g} ran for {ran} of {counted(row.seeds, 'seed')}"
            for rate, ran in zip(row.rates, row.ran, strict=True)
        ]
        depths.setdefault((row.key.arm, listed(rates)), []).append(str(row.key.depth))
    if not depths:
        return []
    axes = [axis for axis in report.varying if axis != "depth"]
    parts = [
        f"{kind_of_model(axes, arm.of(axes))} at depth{'s' * (len(at) > 1)} {listed(at)}: {rates}"
        for (arm, rates), at in depths.items()
    ]
    return [
        f"learning rates differ: {'; '.join(parts)}; comparisons use seeds that ran at the same "
        "ones in both columns"
    ]


def notes(report: Report) -> list[str]:
    """Caveats that no table shows, a line each."""
    whole = " (of the whole study)" if report.where else ""
    lines = _incomplete(report)
    if report.missing:
        lines.append(
            f"not finished: {_counts(report.missing)}; `resformer status` says if they run, the "
            f"same sweep goes on with them{whole}"
        )
    if report.failed:
        lines.append(
            f"failed: {_counts(report.failed)}; `error.txt` in the job's folder holds the "
            f"traceback{whole}"
        )
    lines += [f"  {job.job} ({job.settings}): {job.reason}" for job in report.failed]
    lines += [f"damaged and left out: {job.reason}" for job in report.damaged]
    lines += [
        f"left out: {counted(part.members, 'member')} of {part.study} that had {part.steps:,} "
        f"steps, as others of the same settings went on to {part.longer:,}{whole}"
        for part in report.left_behind
    ]
    lines += [f"left out: {part.line}{whole}" for part in report.other_code]
    lines += [
        f"inside {study}: probed by several versions of the probes' code, as launches had them; "
        "where cells differ, that may be why"
        for study in report.mixed_probes
    ]
    lines += exclusion_lines((row.settings, row.reason) for row in report.excluded)
    if report.settled:
        lines.append(
            "a sweep looked at these twice (--settle): p-values count both looks as if every "
            "comparison had had the second"
        )
    if any(len(cell.lr_by_seed) == 1 and cell.lr_at_edge is not None for cell in report.cells):
        lines.append("a cell with one seed has its learning rate tuned on that seed: optimistic")
    return lines


def _counts(jobs: Sequence[MissingJob | FailedJob]) -> str:
    members = sum(job.members for job in jobs)
    return f"{counted(len(jobs), 'job')}, {counted(members, 'member')}"
