"""Texts of a report whose members are judged by their final loss: its tables and sentences."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import final

from resformer.keys import LEARNT
from resformer.reporting.schema import Estimate, LossComparison, Report, Stability
from resformer.reporting.text.uncompared import arm_words, at_rates, rates_differ, why_nothing
from resformer.reporting.text.verdicts import (
    counted,
    label,
    names,
    p_words,
)
from resformer.reporting.text.words import (
    MOST_LISTED,
    corrected_for,
    interval,
    kind_of_model,
    listed,
    probability,
    where,
)
from resformer.stats.stability import SPIKE, WINDOW

_LOSS, _CHANGE = ".2g", "+.2g"


@final
@dataclass(frozen=True, kw_only=True)
class Listing:
    """A table of texts; the first `leading` columns are names."""

    title: str
    head: tuple[str, ...]
    leading: int
    rows: list[tuple[str, ...]]
    legend: str


def sentences(report: Report) -> Iterator[str]:
    """Sentences that compare final losses; many comparisons are counted."""
    rows = report.losses
    if not rows:
        yield f"How low the final loss: {_uncompared(report)}."
    elif len(rows) > MOST_LISTED:
        yield f"How low the final loss: {counted(rows)}."
    else:
        for row in rows:
            yield f"How low the final loss{label(row, rows)}: {_low(row, report)}."


def _uncompared(report: Report) -> str:
    """The reason why nothing is compared, with the learning rates if these are the reason."""
    arms = [*report.depths]
    reason = why_nothing(report, arms)
    if not rates_differ(report, arms):
        return reason
    return (
        f"{reason}: {'; '.join(f'{arm_words(arm, arms)} {at_rates(report, arm)}' for arm in arms)}"
    )


def _low(row: LossComparison, report: Report) -> str:
    """The comparison of final losses in words, with its interval and its p-value."""
    scheme, baseline = names(row)
    low, high = row.difference.low, row.difference.high
    bounds = "" if low is None or high is None else f", 95 % interval {low:+.2g} to {high:+.2g}"
    depths = listed([str(depth.depth) for depth in row.depths])
    mean = f"mean of depths {depths}" if len(row.depths) > 1 else f"depth {depths}"
    size = f"{row.difference.value:+.2g} nats per token ({mean}{bounds})"
    if row.p is None:
        return f"{scheme} against {baseline} {size}; one seed: no test"
    test = p_words(row, report)
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


def listings(report: Report) -> list[Listing]:
    """Comparisons of final losses and the stability of every cell; none of other reports."""
    if report.score != "final_loss":
        return []
    compared = Listing(
        title="Final losses, each against its baseline",
        head=("compared", "where", "depth", "losses", "difference", "95 %", "p"),
        leading=2,
        rows=[line for row in report.losses for line in _compared(row, report.varying)],
        legend=(
            "losses: held out, nats per token, means over seeds, a member that ended above its "
            "loss at initialisation counting with that; difference: first minus second, same "
            "seeds paired, Student's t; p: by exchanging whole seeds, of the largest difference at "
            f"any depth, {corrected_for(report.losses)}"
        ),
    )
    stability = Listing(
        title="Stability",
        head=("where", "depth", "loss", "95 %", "learn", "sensitivity", "spikes"),
        leading=1,
        rows=[_stability(row, report.varying) for row in report.stability],
        legend=(
            "loss: held out at the end, nats per token, mean over seeds; learn: share of the "
            f"learning rates at which a seed ends under {LEARNT:g} times the loss of the best "
            "predictor that sees positions only; "
            "sensitivity: mean over learning rates of min(final loss, loss at initialisation), "
            "minus the least (Wortsman et al. 2023); spikes: steps per 10,000 whose training loss "
            f"is more than {SPIKE:g} nats above the median of the {WINDOW} steps around them"
        ),
    )
    return [table for table in (compared, stability) if table.rows]


def _compared(row: LossComparison, varying: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """A line over all depths, and a line per depth."""
    names = (" / ".join(row.labels), ", ".join(where(row, varying)))
    yield (*names, "all", "", *_change(row.difference), probability(row.p_adjusted))
    for depth in row.depths:
        losses = f"{depth.scheme:{_LOSS}} : {depth.baseline:{_LOSS}}"
        p = probability(depth.p_adjusted)
        yield (*names, str(depth.depth), losses, *_change(depth.difference), p)


def _change(estimate: Estimate) -> tuple[str, str]:
    bounds = interval(estimate.low, estimate.high, _LOSS, joint=" to ")
    return f"{estimate.value:{_CHANGE}}", bounds


def _stability(row: Stability, varying: Sequence[str]) -> tuple[str, ...]:
    axes = [axis for axis in varying if axis != "depth"] or ["residual"]
    return (
        kind_of_model(axes, row.key.of(axes)),
        str(row.key.depth),
        f"{row.mean_loss.value:{_LOSS}}",
        interval(row.mean_loss.low, row.mean_loss.high, _LOSS),
        f"{row.learning:.2f}",
        "–" if row.lr_sensitivity is None else f"{row.lr_sensitivity.value:{_LOSS}}",
        "–" if row.spikes is None else f"{row.spikes:.3g}",
    )
