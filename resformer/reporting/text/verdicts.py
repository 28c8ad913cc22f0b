"""Verdicts of comparisons in words: names of the two arms, tests, and counts of many."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

from resformer.reporting.analysis.pairs import BASELINE, RESIDUAL
from resformer.reporting.schema import Compared, Comparison, LossComparison, Report, varying
from resformer.reporting.text.words import NORMS, correction, listed, p_is, value_label
from resformer.results import presets

_MOST_NAMED = 12
"""Names that a count lists."""
_VERDICTS = ("better", "worse", "undecided")

Row = TypeVar("Row", Comparison, LossComparison)


def names(row: Compared) -> tuple[str, str]:
    """Scheme and baseline in words."""
    labels = row.labels
    words = {RESIDUAL: "with residual connections", BASELINE: "without"}
    if set(labels) == set(words):
        return words[labels[0]], words[labels[1]]
    if row.named_by == (presets.KEY,):
        return f"with the {labels[0]} block", f"with the {labels[1]} block"
    return f"with {labels[0]}", f"with {labels[1]}"


def capital(text: str) -> str:
    """The text with a capital letter."""
    return f"{text[0].upper()}{text[1:]}"


def label(row: Compared, rows: Sequence[Compared]) -> str:
    """The axes by which a comparison differs from the others, each behind a comma."""
    words = [
        NORMS.get(row.scheme.norm, row.scheme.norm)
        if axis == "norm"
        else value_label(axis, row.scheme.value(axis))
        for axis in varying([other.scheme for other in rows])
        if axis not in row.named_by
    ]
    return "".join(f", {word}" for word in words)


def budget_of_both(rows: Sequence[Comparison], report: Report) -> str:
    """The steps within which arms are compared."""
    if "train.steps" in report.settings:
        budget = report.settings["train.steps"]
        return f"{budget:,} step{'s' * (budget != 1)}"
    budgets = {depth.budget for row in rows for depth in row.depths}
    return f"the {min(budgets):,} steps that both had" if len(budgets) == 1 else "the same steps"


def p_words(row: Compared, report: Report) -> str:
    """The p-value of a comparison, exact or not, and for how many others it is corrected."""
    assert row.p_adjusted is not None
    tests = report.tests(row)
    corrected = f" corrected for {tests} comparisons" if tests > 1 else ""
    return f"{'exact' if row.exact else 'permutation'} {p_is(row.p_adjusted)}{corrected}"


def untested(row: Compared) -> str:
    """Reason why a comparison has no test, as behind a count of such; "" if it has one."""
    if row.p is not None:
        return ""
    if isinstance(row, Comparison) and not row.solved:
        return "where neither solves any depth"
    return "with one seed, so not tested"


def verdict_words(rows: Sequence[Compared]) -> tuple[str, str, str]:
    """Words for the verdicts better, worse and undecided of these comparisons."""
    tried = {
        tuple(depth.depth for depth in row.depths) for row in rows if isinstance(row, Comparison)
    }
    if not tried:
        return "lower", "higher", "not shown to differ"
    if any(len(depths) > 1 for depths in tried):
        return "deeper", "less deep", "not shown to differ"
    only = f"depth {min(tried)[0]}, the only one tried," if len(tried) == 1 else "the depth tried"
    return f"solve {only} more often", "less often", "not shown to differ"


def by_verdict(rows: Sequence[Row]) -> Mapping[str, list[Row]]:
    """Comparisons by verdict in words, those without a test by the reason."""
    words = dict(zip(_VERDICTS, verdict_words(rows), strict=True))
    groups: dict[str, list[Row]] = {text: [] for text in words.values()}
    for row in rows:
        groups.setdefault(untested(row) or words[row.verdict], []).append(row)
    return groups


def scheme_name(row: Compared, rows: Sequence[Compared]) -> str:
    """Name of a comparison's scheme; where others of these have the same one, with the axes by
    which it differs from them.
    """
    schemes = [other.labels[0] for other in rows]
    apart = label(row, rows) if len({*schemes}) < len(schemes) else ""
    return f"{row.labels[0]}{apart}"


def counted(rows: Sequence[Row]) -> str:
    """Number of comparisons by verdict, with the names of those that are few."""
    counts = ", ".join(
        f"{len(group)} {text}{named([scheme_name(row, rows) for row in group])}"
        for text, group in by_verdict(rows).items()
    )
    baselines = listed(sorted({row.labels[1] for row in rows}), "or")
    shown = [
        row.p_adjusted for row in rows if row.p_adjusted is not None and row.verdict != "undecided"
    ]
    notes = [correction(rows), f"the largest {p_is(max(shown))}" if shown else ""]
    note = ", ".join(filter(None, notes))
    return f"of {len(rows)} columns against {baselines}, {counts}{f' ({note})' if note else ''}"


def named(labels: Sequence[str]) -> str:
    """Names in parentheses; "" for none and for many."""
    if not 0 < len(labels) <= _MOST_NAMED:
        return ""
    apart = any(", " in text for text in labels)
    return f" ({'; '.join(sorted(labels)) if apart else listed(sorted(labels))})"
