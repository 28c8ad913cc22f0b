"""Headline of a report: its comparisons in one line, without numbers that its sentences have."""

from collections.abc import Sequence

from resformer.reporting.schema import Comparison, Report
from resformer.reporting.text.answer import answer, reach_against
from resformer.reporting.text.uncompared import why_nothing
from resformer.reporting.text.verdicts import (
    Row,
    budget_of_both,
    by_verdict,
    capital,
    names,
    untested,
)


def headline(report: Report) -> str:
    """The verdict on how deep, or on how low the final loss ends; where nothing is compared, the
    depths that are solved, if it is of one task, or the reason. First it says if results are
    missing.
    """
    return f"Incomplete: {_verdict(report)}" if report.incomplete else _verdict(report)


def _verdict(report: Report) -> str:
    if report.losses:
        return _headline(report.losses, "final losses") or _low(report)
    if report.comparisons:
        rows = report.comparisons
        if not any(row.solved for row in rows):
            return f"No seed solves any depth within {budget_of_both(rows, report)}"
        return _headline(rows, "how deep") or _deep(rows)
    if {"study", "task"} & {*report.varying}:
        return capital(why_nothing(report, [*report.depths]))
    return capital(answer(report)[0].partition(": ")[2].rstrip("."))


def _headline(rows: Sequence[Row], question: str) -> str:
    """Comparisons that are untested or of several kinds, counted; "" for any others."""
    if all(row.p is None for row in rows):
        return f"One seed: no test of {question}"
    if len({(names(row), row.verdict, untested(row)) for row in rows}) == 1:
        return ""
    counts = [f"{len(group)} {words}" for words, group in by_verdict(rows).items() if group]
    return f"Of {len(rows)} comparisons of {question}: {', '.join(counts)}"


def _deep(rows: Sequence[Comparison]) -> str:
    """Comparisons of the same two names and the same verdict."""
    row = rows[0]
    scheme, baseline = names(row)
    tried = sorted({depth.depth for row in rows for depth in row.depths})
    only = f"depth {tried[0]}, the only one tried,"
    if row.verdict == "undecided":
        differ = (
            f"solve {only} more or less often" if len(tried) == 1 else "train deeper or less deep"
        )
        return f"{capital(scheme)} stacks are not shown to {differ} than {baseline}"
    better = row.verdict == "better"
    budgets = {depth.budget for row in rows for depth in row.depths}
    within = f", within {min(budgets):,} steps" if len(budgets) == 1 else ""
    if len(tried) == 1:
        often = f"solve {only} {'more' if better else 'less'} often than {baseline}"
        return f"{capital(scheme)} stacks {often}{within}"
    words = f"{capital(scheme)} stacks train {'deeper' if better else 'less deep'} than {baseline}"
    if len({row.runs for row in rows}) > 1:
        return f"{words}{within}"
    return f"{words}: {reach_against(*row.runs, tried)}{within}"


def _low(report: Report) -> str:
    """Comparisons of final losses, likewise."""
    row = report.losses[0]
    scheme, baseline = names(row)
    verdicts = {"better": "end lower", "worse": "end higher"}
    ends = verdicts.get(row.verdict, "are not shown to end lower or higher")
    budget = report.settings.get("train.steps")
    after = f", after {budget:,} steps" if isinstance(budget, int) else ""
    return f"{capital(scheme)} stacks {ends} than {baseline}{after}"
