"""Claim 3: plain stacks train worse the deeper they are; others go deeper; warm-up."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import page_trend_test

import resformer
from lib.claims import study
from lib.claims.claim import Claim, Interval, Part, Verdict, inside, shown
from lib.claims.drawn import lines
from lib.claims.slopes import Floats, interval
from resformer.stats.depth import wilson

LEVEL, FAR_LESS, MATTERS = 0.05, 2.0, 1.1
"""Level of the trend test; times the limit of plain stacks; times the loss without warm-up."""
_DEPTH, _WARMUP = STUDIES = ("claim-3-depth", "claim-3-warmup")
ARMS = {
    "plain post-norm": ("plain", "post"),
    "plain pre-norm": ("plain", "pre"),
    "post-norm": ("add", "post"),
    "pre-norm": ("add", "pre"),
    "DeepNorm": ("deepnorm", "post"),
}


def run() -> Claim:
    """Try it."""
    deep, warm = study.runs(_DEPTH), study.runs(_WARMUP)
    report = resformer.report(_DEPTH, study.RESULTS)
    arms = {label: study.arm(deep, *arm) for label, arm in ARMS.items()}
    losses = {label: study.by_depth(cells, "last_loss") for label, cells in arms.items()}
    reach = {label: limit(report, *arm) for label, arm in ARMS.items()}
    warmup_cells = ("norm", "train.clip", "train.warmup_steps", "depth")
    return Claim(
        number=3,
        title="the training loss of plain stacks rises with depth; depth limits order as plain, "
        "far below post-norm, not above pre-norm and DeepNorm; warm-up matters to post-norm only",
        source="He et al. 2015, arXiv 1512.03385, figure 1; Wang et al. 2022, arXiv 2203.00555; "
        "Xiong et al. 2020, arXiv 2002.04745, figure 2",
        saw="56 plain layers with a higher training error than 20; post-norm that diverges where "
        "pre-norm and DeepNorm train; post-norm that needs warm-up, pre-norm that does not",
        parts=[
            *(trend(label, losses[label]) for label in ("plain post-norm", "plain pre-norm")),
            Part("depth limits: " + ", ".join(f"{arm} {bounds(reach[arm])}" for arm in reach)),
            *order(reach),
            *(
                warmup(str(norm), float(str(clip)) > 1, without_warmup(cell))
                for (norm, clip), cell in warm.groupby(["norm", "train.clip"])
            ),
            Part(study.edges(arms.values(), "last_loss")),
            Part(f"of warm-up {study.edges([warm], 'mean_loss', warmup_cells)}"),
        ],
        differs="copy of 8 from 16, width 32, depth 1 to 16, 600 steps, AdamW, rates tuned of four "
        "(warm-up: of five, at depth 8 and 16), 5 seeds; training loss: of the last 50 steps, for "
        "warm-up the mean over all steps; plain stacks have layer norm where He et al. have batch "
        "norm",
        numbers=pd.concat([study.kept(deep), study.kept(warm)], ignore_index=True),
        draw=lambda: lines(
            np.unique(deep["depth"]).astype(float),
            losses,
            "depth (blocks)",
            "training loss (nats)",
            log=(True, True),
        ),
    )


def trend(label: str, loss_SL: Floats) -> Part:
    """Judge if a loss rises with depth: Page's trend test, the depths of a seed paired."""
    up, down = (float(page_trend_test(ordered).pvalue) for ordered in (loss_SL, loss_SL[:, ::-1]))
    verdict: Verdict = (
        "holds" if up < LEVEL else "does not hold here" if down < LEVEL else "undecided"
    )
    return Part(f"training loss of {label} rises with p = {up:.2g}, wanted < {LEVEL:g}", verdict)


def limit(report: dict[str, Any], residual: str, norm: str) -> Interval:
    """Interval of the depth limit: 0 if surely none is solved, infinite beyond the grid."""
    limits, cells = (
        [row for row in report[name] if (row["residual"], row["norm"]) == (residual, norm)]
        for name in ("limits", "cells")
    )
    (row,) = limits
    if row["depth_limit"] is None:
        surely = all(wilson(cell["solved"], cell["seeds"])[1] < 0.5 for cell in cells)
        return 0.0, 0.0 if surely else np.inf
    return row["low"] or 0.0, row["high"] or np.inf


def order(reach: Mapping[str, Interval]) -> list[Part]:
    """Plain at most half of post-norm, and post-norm not above pre-norm and DeepNorm."""
    pairs = [(plain, "post-norm", FAR_LESS) for plain in ("plain post-norm", "plain pre-norm")]
    pairs += [("post-norm", other, 1.0) for other in ("pre-norm", "DeepNorm")]
    return [
        Part(
            f"{more} / {less}, wanted ≥ {bound:g}",
            inside(ratio(reach[less], reach[more]), bound, np.inf),
        )
        for less, more, bound in pairs
    ]


def ratio(first: Interval, second: Interval) -> Interval:
    """Second / first, of depth limits; of two that are none, anything."""
    low = second[0] / first[1] if first[1] else np.inf if second[0] else 0.0
    return low, second[1] / first[0] if first[0] else np.inf


def without_warmup(cell: pd.DataFrame) -> Interval:
    """Mean training loss without warm-up, times that with it, over depths: interval over seeds.

    Infinite if at least half of the seeds break without it alone.
    """
    cold_SL, warm_SL = (
        study.by_depth(half, "mean_loss") for _, half in cell.groupby("train.warmup_steps")
    )
    broken_S = np.asarray((np.isinf(cold_SL) & np.isfinite(warm_SL)).any(axis=1))
    if broken_S.any() or np.isinf(warm_SL).any():
        return (np.inf, np.inf) if 2 * broken_S.sum() >= len(broken_S) else (0.0, np.inf)
    low, high = interval(np.log(cold_SL / warm_SL).mean(axis=1))
    return float(np.exp(low)), float(np.exp(high))


def warmup(norm: str, unclipped: bool, times: Interval) -> Part:
    """Leaving warm-up out costs over a tenth of the loss with post-norm, and not with pre-norm."""
    arm = f"{norm}-norm {'unclipped' if unclipped else 'clipped'}"
    text = f"{arm}: training loss without warm-up is {shown(times)} times that with it"
    if norm == "post":
        return Part(f"{text}, wanted > {MATTERS:g}", inside(times, MATTERS, np.inf))
    return Part(f"{text}, wanted < {MATTERS:g}", inside(times, 0.0, MATTERS))


def bounds(limit: Interval) -> str:
    """A depth limit in words."""
    low, high = limit
    if not high:
        return "none"
    if low == high:
        return f"{low:g}"
    return f"at least {low:g}" if np.isinf(high) else f"{low:g} to {high:g}"
