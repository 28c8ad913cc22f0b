"""Claim 7: leaving out the attention skip hurts far more than leaving out the FFN skip."""

from collections.abc import Mapping

import numpy as np

from claimed import study
from claimed.claim import Claim, Interval, Verdict, all_of, inside, shown
from claimed.drawn import lines
from claimed.slopes import Floats, interval

TIMES = 3.0
_LABELS = {"both": "both skips", "attention": "attention's only", "ffn": "FFN's only", "none": "no skip"}


def run() -> Claim:
    """Try it."""
    table = study.runs("claim-7")
    losses = {skip: study.by_depth(table[table["model.skip"] == skip], "final_loss") for skip in _LABELS}
    depths = np.unique(table["depth"])
    attention_SL, ffn_SL = effects(losses)
    by_depth = [
        f"depth {depth}: attention's skip {shown(interval(attention_SL[:, at]))}, the FFN's "
        f"{shown(interval(ffn_SL[:, at]))}"
        for at, depth in enumerate(depths)
    ]
    return Claim(
        number=7,
        title="leaving out the attention skip hurts far more than leaving out the FFN skip",
        source="Ji et al. 2025 (read in a secondary source)",
        saw="22 points of accuracy without the attention skip, 2 without the FFN skip, in a vision transformer",
        measured="main effect on the final held-out loss, nats: " + "; ".join(by_depth),
        verdict=all_of(*(judge(excess(attention_SL[:, at], ffn_SL[:, at])) for at in range(len(depths)))),
        differs="copy of 8 from 16, width 32, pre-norm, depth 4 and 8, 600 steps, rates tuned of three, 5 seeds; the "
        "loss, and not the accuracy",
        numbers=study.kept(table),
        draw=lambda: lines(
            depths.astype(float),
            {label: losses[skip] for skip, label in _LABELS.items()},
            "depth (blocks)",
            "final held-out loss (nats)",
            log=(True, True),
        ),
    )


def effects(losses: Mapping[str, Floats]) -> tuple[Floats, Floats]:
    """What leaving out either skip adds to the loss, the mean over the other skip there and not: attention's, FFN's."""
    both, attention, ffn, none = (losses[skip] for skip in _LABELS)
    return (ffn + none - both - attention) / 2, (attention + none - both - ffn) / 2


def excess(attention_S: Floats, ffn_S: Floats) -> Interval:
    """By how much the one effect exceeds so many times the other."""
    return interval(attention_S - TIMES * ffn_S)


def judge(found: Interval) -> Verdict:
    """It does exceed it."""
    return inside(found, 0.0, np.inf)
