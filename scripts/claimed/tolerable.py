"""Claim 4: the largest tolerable learning rate orders post-norm < DeepNorm < pre-norm."""

import numpy as np
import pandas as pd

from claimed import study
from claimed.claim import Claim, Interval, Verdict, all_of
from claimed.drawn import lines
from resformer.stats.depth import wilson

ARMS = {"post-norm": ("add", "post"), "DeepNorm": ("deepnorm", "post"), "pre-norm": ("add", "pre")}
_DRAWN_TO = 1.5


def run() -> Claim:
    """Try it."""
    table = study.runs("claim-4")
    table["below"] = table["final_loss"] < table["blind_loss"]
    table["times_blind"] = (table["final_loss"] / table["blind_loss"]).fillna(np.inf).clip(upper=_DRAWN_TO)
    by_depth = {
        depth: {label: tolerated(study.arm(cells, *arm)) for label, arm in ARMS.items()}
        for depth, cells in table.groupby("depth")
    }
    verdicts = [
        less(found[first], found[second])
        for found in by_depth.values()
        for first, second in (("post-norm", "DeepNorm"), ("DeepNorm", "pre-norm"))
    ]
    drawn = {
        f"{label}, depth {depth}": study.arm(cells, *arm)
        .pivot(index="seed", columns="lr", values="times_blind")
        .to_numpy()
        for depth, cells in table.groupby("depth")
        for label, arm in ARMS.items()
    }
    return Claim(
        number=4,
        title="the largest tolerable learning rate orders post-norm < DeepNorm < pre-norm",
        source="Chen & Wei 2026, arXiv 2601.19895",
        saw="3.0e-4, 3.5e-4 and 7.65e-3 at 64 sub-layers",
        measured="; ".join(
            f"depth {depth}: " + ", ".join(f"{label} {bounds(*found[label])}" for label in ARMS)
            for depth, found in by_depth.items()
        ),
        verdict=all_of(*verdicts),
        differs="copy of 8 from 16, width 32, 300 steps with 50 of warm-up, clipped; tolerable: at least half of 5 "
        "seeds end with less than the loss of the best that does not look",
        numbers=study.kept(table).assign(below_blind_loss=table["below"]),
        draw=lambda: lines(
            np.unique(table["lr"]), drawn, "learning rate", "held-out loss / blind loss", log=(True, False)
        ),
    )


def tolerated(cell: pd.DataFrame) -> tuple[float, Interval]:
    """The largest rate at which at least half of the seeds learn; between which rates it lies by Wilson's interval.

    0 where there is none; infinite where it may lie beyond the grid.
    """
    counts = cell.groupby("lr")["below"].agg(["sum", "count"])
    bounds = [wilson(int(solved), int(seeds)) for solved, seeds in counts.to_numpy()]
    largest = counts.index.max()

    def last(enough: list[bool]) -> float:
        return max((float(rate) for rate, yes in zip(counts.index, enough, strict=True) if yes), default=0.0)

    high = last([upper >= 0.5 for _, upper in bounds])
    found = last(list(2 * counts["sum"] >= counts["count"]))
    return found, (last([lower >= 0.5 for lower, _ in bounds]), np.inf if high == largest else high)


def less(first: tuple[float, Interval], second: tuple[float, Interval]) -> Verdict:
    """Whether one largest rate is surely below the other, surely not, or neither."""
    (_, (low, high)), (_, (other_low, other_high)) = first, second
    if high < other_low:
        return "holds"
    return "does not hold here" if low >= other_high > 0 else "undecided"


def bounds(found: float, between: Interval) -> str:
    """A largest rate in words."""
    low, high = between
    if not found:
        return "none" if not high else f"none (at most {high:g})"
    sure = "" if low == high else f" (at least {low:g})" if np.isinf(high) else f" ({low:g} to {high:g})"
    return f"{found:g}{sure}"
