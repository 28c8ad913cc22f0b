"""Claim 3: plain stacks train worse the deeper they are; post-norm, pre-norm and DeepNorm go deeper; warm-up."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import page_trend_test

import resformer
from claimed import study
from claimed.claim import Claim, Interval, Verdict, all_of, inside, shown
from claimed.drawn import lines
from claimed.slopes import Floats, interval

LEVEL, FAR_LESS, MATTERS = 0.05, 2.0, 1.1
"""Of the trend test; times the depth limit of plain stacks; times the training loss without warm-up."""
_DEPTH, _WARMUP = "claim-3-depth", "claim-3-warmup"
ARMS = {
    "plain, post-norm": ("plain", "post"),
    "plain, pre-norm": ("plain", "pre"),
    "post-norm": ("add", "post"),
    "pre-norm": ("add", "pre"),
    "DeepNorm": ("deepnorm", "post"),
}


def run() -> Claim:
    """Try it."""
    deep, warm = study.runs(_DEPTH), study.runs(_WARMUP)
    losses = {label: study.by_depth(study.arm(deep, *arm), "last_loss") for label, arm in ARMS.items()}
    plain = [trend(losses[label]) for label in ("plain, post-norm", "plain, pre-norm")]
    reach = {label: limit(resformer.report(_DEPTH, study.RESULTS)["limits"], *arm) for label, arm in ARMS.items()}
    late = {(norm, clip): without_warmup(cell) for (norm, clip), cell in warm.groupby(["norm", "train.clip"])}
    parts = [*map(rises, plain), order(reach), *(matters(found, norm == "post") for (norm, _), found in late.items())]
    return Claim(
        number=3,
        title="the training loss of plain stacks rises with depth; depth limits order as plain, far below post-norm, "
        "below pre-norm and DeepNorm; warm-up matters to post-norm only",
        source="He et al. 2015, arXiv 1512.03385, figure 1; Wang et al. 2022, arXiv 2203.00555; Xiong et al. 2020, "
        "arXiv 2002.04745, figure 2",
        saw="56 plain layers with a higher training error than 20; post-norm that diverges at depth 18 where pre-norm "
        "and DeepNorm train; post-norm that needs warm-up, pre-norm that does not",
        measured=f"trend of plain stacks p = {plain[0][0]:.2g} (post-norm), {plain[1][0]:.2g} (pre-norm); depth limits "
        + ", ".join(f"{label} {bounds(found)}" for label, found in reach.items())
        + "; training loss without warm-up, times that with it: "
        + ", ".join(
            f"{norm}-norm {'un' if clip > 1 else ''}clipped {shown(found)}" for (norm, clip), found in late.items()
        ),
        verdict=all_of(*parts),
        differs="copy of 8 from 16, width 32, depth 1 to 16, 600 steps, AdamW, rates tuned of three, 5 seeds; plain "
        "stacks have layer norm where He et al. have batch norm",
        numbers=pd.concat([study.kept(deep), study.kept(warm)], ignore_index=True),
        draw=lambda: lines(
            np.unique(deep["depth"]).astype(float), losses, "depth (blocks)", "training loss (nats)", log=(True, True)
        ),
    )


def trend(loss_SL: Floats) -> tuple[float, float]:
    """The p of a loss that rises with depth, and of one that falls: Page's trend test, the depths of a seed paired."""
    return tuple(float(page_trend_test(ordered).pvalue) for ordered in (loss_SL, loss_SL[:, ::-1]))  # type: ignore[return-value]


def rises(p: tuple[float, float]) -> Verdict:
    """It rises, it falls, or neither is clear."""
    up, down = p
    return "holds" if up < LEVEL else "does not hold here" if down < LEVEL else "undecided"


def limit(limits: list[dict[str, Any]], residual: str, norm: str) -> Interval:
    """Between which depths the depth limit lies: above 0, and up to infinity beyond the grid."""
    (found,) = (row for row in limits if (row["residual"], row["norm"]) == (residual, norm))
    return found["low"] or 0.0, found["high"] or np.inf


def order(reach: Mapping[str, Interval]) -> Verdict:
    """Plain at most half of post-norm, and post-norm not above pre-norm and DeepNorm."""
    post = reach["post-norm"]
    return all_of(
        *(inside(ratio(reach[label], post), FAR_LESS, np.inf) for label in ("plain, post-norm", "plain, pre-norm")),
        *(inside(ratio(post, reach[label]), 1.0, np.inf) for label in ("pre-norm", "DeepNorm")),
    )


def ratio(first: Interval, second: Interval) -> Interval:
    """Second / first, of depth limits."""
    return second[0] / first[1], second[1] / first[0] if first[0] else np.inf


def without_warmup(cell: pd.DataFrame) -> Interval:
    """Mean training loss over the budget without warm-up, times that with it: over depths, the interval over seeds."""
    cold_SL, warm_SL = (np.log(study.by_depth(half, "mean_loss")) for _, half in cell.groupby("train.warmup_steps"))
    low, high = interval((cold_SL - warm_SL).mean(axis=1))
    return float(np.exp(low)), float(np.exp(high))


def matters(found: Interval, should: bool) -> Verdict:
    """Whether a tenth more of the loss comes of leaving warm-up out, where it should, and does not where not."""
    return inside(found, MATTERS, np.inf) if should else inside(found, 0.0, MATTERS)


def bounds(found: Interval) -> str:
    """A depth limit in words."""
    low, high = found
    return f"{low:g}" if low == high else f"over {low:g}" if np.isinf(high) else f"{low:g} to {high:g}"
