"""Claim 4: the largest tolerable learning rate orders post-norm < DeepNorm < pre-norm."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import numpy as np
import pandas as pd

from lib.claims import study
from lib.claims.claim import Claim, Part, Verdict
from lib.claims.drawn import lines
from resformer.stats.depth import wilson

STUDIES = ("claim-4",)
ARMS = {"post-norm": ("add", "post"), "DeepNorm": ("deepnorm", "post"), "pre-norm": ("add", "pre")}
_BELOW, _DRAWN_TO = 0.95, 1.5
"""Times the blind loss: a member that has learnt something is below; drawn up to."""


def run() -> Claim:
    """Try it."""
    table = study.runs(*STUDIES)
    table["times_blind"] = table["final_loss"] / table["blind_loss"]
    table["learnt"] = table["times_blind"] < _BELOW
    weaker = table.assign(learnt=table["times_blind"] < 1.0)
    drawn: dict[str, np.ndarray] = {}
    parts: list[Part] = []
    for depth, cells in table.groupby("depth"):
        rates = {label: tolerated(study.arm(cells, *arm)) for label, arm in ARMS.items()}
        weak_cells = weaker[weaker["depth"] == depth]
        weak = {label: tolerated(study.arm(weak_cells, *arm)) for label, arm in ARMS.items()}
        parts += [
            Part(f"depth {depth}: {in_words(rates)}"),
            Part(f"with any loss under the blind one: {in_words(weak)}"),
        ]
        for first, second in (("post-norm", "DeepNorm"), ("DeepNorm", "pre-norm")):
            parts.append(Part(f"{first} < {second}", less(rates[first], rates[second])))
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
        f"least half of 5 seeds end below {_BELOW:g} times the loss of the best that does not "
        "look, for stacks that learnt nothing end within a hundredth of it, above or below; a "
        "stack that learns at no rate of the grid may just be slow",
        numbers=study.kept(table).assign(learnt=table["learnt"]),
        draw=lambda: lines(
            np.unique(table["lr"]),
            drawn,
            "learning rate",
            "held-out loss / blind loss",
            log=(True, False),
        ),
    )


@final
@dataclass(frozen=True)
class Tolerated:
    """Largest rate at which at least half of the seeds learn; 0 if there is none.

    It lies from `low` to `high`, infinite if it may lie beyond the grid.
    """

    rate: float
    low: float
    high: float

    def __str__(self) -> str:
        if not self.rate:
            return "none" if not self.high else f"none (at most {self.high:g})"
        if self.low == self.high:
            return f"{self.rate:g}"
        if np.isinf(self.high):
            return f"{self.rate:g} (at least {self.low:g})"
        return f"{self.rate:g} ({self.low:g} to {self.high:g})"


def in_words(rates: Mapping[str, Tolerated]) -> str:
    """Tolerated rates of several arms in words."""
    return ", ".join(f"{label} {rate}" for label, rate in rates.items())


def tolerated(cell: pd.DataFrame) -> Tolerated:
    """Largest tolerable rate of a cell, by shares of seeds and their Wilson intervals."""
    counts = cell.groupby("lr")["learnt"].agg(["sum", "count"])
    shares = [wilson(int(learnt), int(seeds)) for learnt, seeds in counts.to_numpy()]

    def last(enough: list[bool]) -> float:
        rates = zip(counts.index, enough, strict=True)
        return max((float(rate) for rate, learns in rates if learns), default=0.0)

    high = last([share[1] >= 0.5 for share in shares])
    return Tolerated(
        rate=last(list(2 * counts["sum"] >= counts["count"])),
        low=last([share[0] >= 0.5 for share in shares]),
        high=np.inf if high == counts.index.max() else high,
    )


def less(first: Tolerated, second: Tolerated) -> Verdict:
    """Judge if one largest rate is surely below the other; undecided if the first is none."""
    if first.low and first.low >= second.high:
        return "does not hold here"
    return "holds" if first.low and first.high < second.low else "undecided"
