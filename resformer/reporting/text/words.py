"""The numbers of a report in words: what a table's cell says, and what a reader has to know beside
it.
"""

from collections.abc import Sequence
from typing import Any

from resformer.keys import as_typed
from resformer.reporting.columns import Columns
from resformer.text import counted

Json = dict[str, Any]

LEGEND = (
    "median steps to solve, seeds solved of seeds; under it the interval of the median, … where it "
    "is open; where "
    "fewer than half solved: median final held-out loss (nats per token), 'stalled' where most "
    "learnt nothing from "
    "their input"
)
NORMS = {"none": "no norm", "pre": "pre-norm", "post": "post-norm"}
EDGE = "* the best learning rate is at the edge of the grid"
COMPARISON = ("compared", "where", "solved", "steps", "95 %", "p", "Holm")
"""Headings of the comparisons."""
COMPARISON_LEGEND = (
    "steps: ratio of those spent within the budget, same seeds paired; ≤ and ≥: some seeds of one "
    "arm did not solve, "
    "so the true ratio is at most or at least this; ~: of both arms; p: log-rank over all depths "
    "by exchanging whole "
    "seeds; Holm: the same, corrected for the number of comparisons"
)
COVERAGE = (
    "how often 95 % intervals of five seeds cover, simulated: of a mean 91 to 94 %, of a ratio 94 "
    "to 95 %, of a "
    "Kaplan-Meier median 84 to 96 %, of a share solved 91 to 97 %; of medians and depth limits as "
    "claimed or more often"
)
"""The numbers are those of results/reference/statistics, and a test holds them equal."""
_BOUNDS = {None: "", "upper": "≤ ", "lower": "≥ ", "unknown": "~ "}


def cell(found: Json | None) -> tuple[str, str]:
    """What a cell says: median and count, or the loss and why; and the interval of the median, ""
    where none.
    """
    if found is None:
        return "", ""
    count = f"{found['solved']}/{found['seeds']}{'*' if found['lr_at_edge'] else ' '}"
    if found["median_steps"] is not None:
        return f"{found['median_steps']:.0f} {count}", interval(
            found["median_low"], found["median_high"]
        )
    loss = "–" if found["final_loss"] is None else f"{found['final_loss']:.2f}"
    word = "diverged" if 2 * found["diverged"] > found["seeds"] else "loss"
    word = "stalled" if 2 * found["stalled"] > found["seeds"] else word
    return f"{word} {loss} {count}", ""


def interval(low: float | None, high: float | None, digits: str = ".0f") -> str:
    """An interval; open where a bound does not exist; "" where neither does."""
    if low is None and high is None:
        return ""
    bounds = ("…" if bound is None else format(bound, digits) for bound in (low, high))
    return "–".join(bounds)


def limit(row: Json, tried: Sequence[int]) -> tuple[str, str]:
    """The depth limit of a column, at least that where no deeper one was tried; and its interval,
    "" where none.
    """
    if row["depth_limit"] is None:
        return "none", ""
    deepest = row["depth_limit"] == tried[-1]
    return f"≥ {row['depth_limit']}" if deepest else str(row["depth_limit"]), interval(
        row["low"], row["high"]
    )


def comparison(row: Json, columns: Columns) -> tuple[str, ...]:
    """A comparison in the columns of `COMPARISON`; `columns` are those of the report."""
    ratio = "–" if row["ratio"] is None else f"{_BOUNDS[row['bound']]}{row['ratio']:.2f}"
    return (
        f"{row['scheme']} / {row['baseline']}",
        ", ".join(where(row, columns)),
        ":".join(
            f"{row[f'{arm}_solved']}/{row[f'{arm}_members']}" for arm in ("scheme", "baseline")
        ),
        ratio,
        interval(row["low"], row["high"], ".2f"),
        probability(row["p"]),
        probability(row["p_adjusted"]),
    )


def where(row: Json, columns: Columns) -> list[str]:
    """What tells a comparison from the report's others, in words."""
    several = [name for name in columns.varying if name not in ("residual", "depth")]
    words = [named(name, row[name]) for name in dict.fromkeys([*several, "norm"])]
    return [*words, *([f"depth {row['depth']}"] if row["depth"] is not None else [])]


def named(axis: str, value: Any) -> str:
    """An axis' value, with the axis' last word where the value alone would say nothing."""
    if axis in ("study", "task", "residual", "norm"):
        return as_typed(value)
    return f"{axis.rpartition('.')[2]} {as_typed(value)}"


def p_is(p: float) -> str:
    """A p-value as in a sentence."""
    return f"p = {probability(p)}".replace("= <", "<")


def probability(p: float | None) -> str:
    """A p-value with two significant digits; "" for none."""
    return "" if p is None else f"{p:.2g}" if p >= 1e-4 else "< 0.0001"


def settings(summary: Json) -> str:
    """What all of a study's members share, in one line."""
    found = summary["settings"]
    seeds = max(cell["seeds"] for cell in summary["cells"])
    rates = sorted({row["lr"] for row in summary["rates"]})
    differing = summary.get("differing", {})
    words = [str(found["task"])] if "task" in found else []
    for key, text in (
        ("task.length", "length {}"),
        ("task.symbols", "{} symbols"),
        ("model.width", "width {}"),
        ("model.heads", "{} heads"),
        ("train.batch", "batch {}"),
        ("train.steps", "at most {} steps"),
    ):
        if key in found:
            words.append(text.format(found[key]))
    rate = f"learning rate{'s' if len(rates) > 1 else ''} {', '.join(f'{lr:g}' for lr in rates)}"
    words += [] if "member.lr" in differing else [rate]
    words += [] if "member.seed" in differing else [counted(seeds, "seed")]
    return ", ".join(words)


def differences(summary: Json) -> list[str]:
    """What a report was chosen by, and what several studies differ in, a line per setting."""
    chosen = [f"{key}={','.join(values)}" for key, values in summary.get("where", {}).items()]
    only = (
        [f"only {' '.join(chosen)}; the correction counts the comparisons of these"]
        if chosen
        else []
    )
    return only + [
        f"{key}: {', '.join(f'{as_typed(value)} ({study})' for study, value in values.items())}"
        for key, values in summary.get("differing", {}).items()
    ]


def notes(summary: Json) -> list[str]:
    """What a reader has to know that is not in the table, a line each."""
    found = []
    for name, text in (
        (
            "missing",
            "not finished: {}, {}; `resformer status` says if they run, the same sweep goes on "
            "with them",
        ),
        ("failed", "failed: {}, {}; `error.txt` in the job's folder holds the traceback"),
    ):
        rows = summary[name]
        if rows:
            members = sum(row["members"] for row in rows)
            whole = " (of the whole study)" if "where" in summary else ""
            found.append(text.format(counted(len(rows), "job"), counted(members, "member")) + whole)
    found += [f"  {row['job']} ({row['settings']}): {row['reason']}" for row in summary["failed"]]
    found += [f"damaged and left out: {row['reason']}" for row in summary["damaged"]]
    for row in summary["excluded"]:
        words = ", ".join(f"{key}={value}" for key, value in row["settings"].items())
        found.append(f"left out: {words} ({row['reason']})")
    if any(
        len(cell["lr_by_seed"]) == 1 and cell["lr_at_edge"] is not None for cell in summary["cells"]
    ):
        found.append("a cell with one seed has its learning rate tuned on that seed: optimistic")
    return found
