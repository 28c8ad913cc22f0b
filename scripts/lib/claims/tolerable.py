"""Claim 4: the largest tolerable learning rate orders post-norm < DeepNorm < pre-norm."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from lib.claims import study
from lib.claims.claim import Claim, Interval, Part, Verdict
from lib.claims.drawn import lines
from resformer.stats.depth import wilson

STUDIES = ("claim-4",)
ARMS = {"post-norm": ("add", "post"), "DeepNorm": ("deepnorm", "post"), "pre-norm": ("add", "pre")}
_BELOW, _DRAWN_TO = 0.95, 1.5
"""Of the blind loss: what a member has to get below to have learnt something; as far as is drawn.
"""


def run() -> Claim:
    """Try it."""
    table = study.runs(*STUDIES)
    table["times_blind"] = table["final_loss"] / table["blind_loss"]
    table["learnt"] = table["times_blind"] < _BELOW
    weaker = table.assign(learnt=table["times_blind"] < 1.0)
    drawn: dict[str, np.ndarray] = {}
    parts: list[Part] = []
    for depth, cells in table.groupby("depth"):
        found = {label: tolerated(study.arm(cells, *arm)) for label, arm in ARMS.items()}
        any_less = {
            label: tolerated(study.arm(weaker[weaker["depth"] == depth], *arm))
            for label, arm in ARMS.items()
        }
        parts += [
            Part(f"depth {depth}: {said(found)}"),
            Part(f"with any loss under the blind one: {said(any_less)}"),
        ]
        for first, second in (("post-norm", "DeepNorm"), ("DeepNorm", "pre-norm")):
            parts.append(Part(f"{first} < {second}", less(found[first], found[second])))
        for label, arm in ARMS.items():
            grid = study.arm(cells, *arm).pivot(index="seed", columns="lr", values="times_blind")
            drawn[f"{label}, depth {depth}"] = grid.clip(upper=_DRAWN_TO).to_numpy()
    return Claim(
        number=4,
        title="the largest tolerable learning rate orders post-norm < DeepNorm < pre-norm",
        source="Chen & Wei 2026, arXiv 2601.19895",
        saw="3.0e-4, 3.5e-4 and 7.65e-3 at 64 sub-layers",
        parts=parts,
        differs="copy of 8 from 16, width 32, 300 steps with 50 of warm-up, clipped; tolerable: at "
        "least half of 5 "
        f"seeds end below {_BELOW:g} times the loss of the best that does not look, for stacks "
        "that learnt nothing end "
        "within a hundredth of it, above or below; a stack that learns at no rate of the grid may "
        "just be slow",
        numbers=study.kept(table).assign(learnt=table["learnt"]),
        draw=lambda: lines(
            np.unique(table["lr"]),
            drawn,
            "learning rate",
            "held-out loss / blind loss",
            log=(True, False),
        ),
    )


def said(found: Mapping[str, tuple[float, Interval]]) -> str:
    """The largest rates of several arms in words."""
    return ", ".join(f"{label} {bounds(*one)}" for label, one in found.items())


def tolerated(cell: pd.DataFrame) -> tuple[float, Interval]:
    """The largest rate at which at least half of the seeds learn; between which rates it lies by
    Wilson's interval.

    0 where there is none; infinite where it may lie beyond the grid.
    """
    counts = cell.groupby("lr")["learnt"].agg(["sum", "count"])
    shares = [wilson(int(learnt), int(seeds)) for learnt, seeds in counts.to_numpy()]

    def last(enough: list[bool]) -> float:
        return max(
            (float(rate) for rate, yes in zip(counts.index, enough, strict=True) if yes),
            default=0.0,
        )

    low, high = (
        last([share[0] >= 0.5 for share in shares]),
        last([share[1] >= 0.5 for share in shares]),
    )
    return last(list(2 * counts["sum"] >= counts["count"])), (
        low,
        np.inf if high == counts.index.max() else high,
    )


def less(first: tuple[float, Interval], second: tuple[float, Interval]) -> Verdict:
    """Whether one largest rate is surely below the other, surely not, or neither; undecided where
    the first is none.
    """
    (_, (low, high)), (_, (other_low, other_high)) = first, second
    if low and low >= other_high:
        return "does not hold here"
    return "holds" if low and high < other_low else "undecided"


def bounds(found: float, between: Interval) -> str:
    """A largest rate in words."""
    low, high = between
    if not found:
        return "none" if not high else f"none (at most {high:g})"
    sure = (
        ""
        if low == high
        else f" (at least {low:g})"
        if np.isinf(high)
        else f" ({low:g} to {high:g})"
    )
    return f"{found:g}{sure}"
