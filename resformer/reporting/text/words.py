"""Texts of a report: cells and comparisons of its tables, legends, settings and notes."""

from collections.abc import Sequence
from typing import Any

from resformer.keys import Value, as_typed
from resformer.reporting.schema import Cell, Comparison, Limit, Report
from resformer.results.problems import FailedJob, MissingJob
from resformer.text import counted

LEGEND = (
    "median steps to solve, seeds solved of seeds; under it the interval of the median, … where it "
    "is open; where fewer than half solved: median final held-out loss (nats per token), 'stalled' "
    "where most learnt nothing from their input"
)
NORMS = {"none": "no norm", "pre": "pre-norm", "post": "post-norm"}
EDGE = "* the best learning rate is at the edge of the grid"
COMPARISON = ("compared", "where", "solved", "steps", "95 %", "p", "Holm")
"""Headings of the comparisons."""
COMPARISON_LEGEND = (
    "steps: ratio of those spent within the budget, same seeds paired; ≤ and ≥: some seeds of one "
    "arm did not solve, so the true ratio is at most or at least this; ~: of both arms; p: "
    "log-rank over all depths by exchanging whole seeds; Holm: the same, corrected for the "
    "number of comparisons"
)
COVERAGE = (
    "how often 95 % intervals of five seeds cover, simulated: of a mean 91 to 94 %, of a ratio 94 "
    "to 95 %, of a Kaplan-Meier median 84 to 96 %, of a share solved 91 to 97 %; of medians and "
    "depth limits as claimed or more often"
)
"""Simulated coverage; a test compares the numbers with results/reference/statistics."""
_SETTINGS = {
    "task": "{}",
    "task.length": "length {}",
    "task.symbols": "{} symbols",
    "model.width": "width {}",
    "model.heads": "{} heads",
    "train.batch": "batch {}",
    "train.steps": "at most {} steps",
}
_BOUNDS = {None: "", "upper": "≤ ", "lower": "≥ ", "unknown": "~ "}


def cell(cell: Cell | None) -> tuple[str, str]:
    """Text of a cell: median and count, or loss and why; and the median's interval, "" for none."""
    if cell is None:
        return "", ""
    count = f"{cell.solved}/{cell.seeds}{'*' if cell.lr_at_edge else ' '}"
    if cell.median_steps is not None:
        return f"{cell.median_steps:.0f} {count}", interval(cell.median_low, cell.median_high)
    loss = "–" if cell.final_loss is None else f"{cell.final_loss:.2f}"
    word = "diverged" if 2 * cell.diverged > cell.seeds else "loss"
    word = "stalled" if 2 * cell.stalled > cell.seeds else word
    return f"{word} {loss} {count}", ""


def interval(low: float | None, high: float | None, digits: str = ".0f") -> str:
    """Text of an interval; … for a bound that does not exist; "" if neither does."""
    if low is None and high is None:
        return ""
    bounds = ("…" if bound is None else format(bound, digits) for bound in (low, high))
    return "–".join(bounds)


def limit(row: Limit, tried: Sequence[int]) -> tuple[str, str]:
    """Depth limit of an arm, ≥ if no deeper one was tried; and its interval, "" for none."""
    if row.depth_limit is None:
        return "none", ""
    deepest = row.depth_limit == tried[-1]
    return f"≥ {row.depth_limit}" if deepest else str(row.depth_limit), interval(row.low, row.high)


def comparisons(report: Report, *, primary: bool = True) -> list[tuple[str, ...]]:
    """Comparisons over all depths, else those at each, under the headings of `COMPARISON`."""
    return [
        _comparison(row, report.varying)
        for row in report.comparisons
        if (row.depth is None) == primary
    ]


def _comparison(row: Comparison, varying: Sequence[str]) -> tuple[str, ...]:
    ratio = "–" if row.ratio is None else f"{_BOUNDS[row.bound]}{row.ratio:.2f}"
    return (
        f"{row.scheme.name} / {row.baseline.name}",
        ", ".join(_where(row, varying)),
        ":".join(f"{side.solved}/{side.members}" for side in (row.scheme, row.baseline)),
        ratio,
        interval(row.low, row.high, ".2f"),
        probability(row.p),
        probability(row.p_adjusted),
    )


def _where(row: Comparison, varying: Sequence[str]) -> list[str]:
    """Axes by which a comparison differs from the others of its report, in words."""
    several = [name for name in varying if name not in ("residual", "depth")]
    words = [value_label(name, row.key.value(name)) for name in dict.fromkeys([*several, "norm"])]
    return words if row.depth is None else [*words, f"depth {row.depth}"]


def value_label(axis: str, value: Any) -> str:
    """Value of an axis, with the last word of the axis unless the value speaks for itself."""
    if axis in ("study", "task", "residual", "norm"):
        return as_typed(value)
    return f"{axis.rpartition('.')[2]} {as_typed(value)}"


def kind_of_model(axes: Sequence[str], values: Sequence[Value]) -> str:
    """Values of the axes that apply, in one line."""
    pairs = zip(axes, values, strict=True)
    return " ".join(value_label(axis, value) for axis, value in pairs if value is not None)


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
    words = [text.format(shared[key]) for key, text in _SETTINGS.items() if key in shared]
    rate = f"learning rate{'s' if len(rates) > 1 else ''} {', '.join(f'{lr:g}' for lr in rates)}"
    words += [] if "member.lr" in differing else [rate]
    words += [] if "member.seed" in differing else [counted(seeds, "seed")]
    return ", ".join(words)


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


def notes(report: Report) -> list[str]:
    """Caveats that no table shows, a line each."""
    whole = " (of the whole study)" if report.where else ""
    lines = []
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
    for row in report.excluded:
        combination = ", ".join(f"{key}={value}" for key, value in row.settings.items())
        lines.append(f"left out: {combination} ({row.reason})")
    if any(len(cell.lr_by_seed) == 1 and cell.lr_at_edge is not None for cell in report.cells):
        lines.append("a cell with one seed has its learning rate tuned on that seed: optimistic")
    return lines


def _counts(jobs: Sequence[MissingJob | FailedJob]) -> str:
    members = sum(job.members for job in jobs)
    return f"{counted(len(jobs), 'job')}, {counted(members, 'member')}"
