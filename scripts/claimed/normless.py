"""Claim 5: ReZero needs fewer steps than post-norm with warm-up, and trains without norm."""

import numpy as np

from claimed import study
from claimed.claim import Claim, Interval, Verdict, all_of, inside, shown
from claimed.drawn import lines
from claimed.slopes import Floats
from resformer.stats.arms import paired_ratio
from resformer.stats.depth import wilson

ARMS = {"ReZero, no norm, no warm-up": ("rezero", "none"), "post-norm": ("add", "post"), "pre-norm": ("add", "pre")}


def run() -> Claim:
    """Try it."""
    table = study.runs("claim-5")
    depths, budget = np.unique(table["depth"]), float(table["train.steps"].max())
    rezero, post, pre = (study.by_depth(study.arm(table, *arm), "spent") for arm in ARMS.values())
    ratios, to_pre = ([paired(other[:, at], rezero[:, at]) for at in range(len(depths))] for other in (post, pre))
    solved = [wilson(int((rezero[:, at] < budget).sum()), len(rezero)) for at in range(len(depths))]
    by_depth = [
        f"depth {depth}: ReZero / post-norm {shown(ratios[at])}, / pre-norm {shown(to_pre[at])}, "
        f"{int((rezero[:, at] < budget).sum())} of {len(rezero)} seeds solve it"
        for at, depth in enumerate(depths)
    ]
    return Claim(
        number=5,
        title="ReZero needs fewer steps than post-norm with warm-up, and trains without norm",
        source="Bachlechner et al. 2021, arXiv 2003.04887, table 3 (from memory)",
        saw="8,800 steps to a target against 13,690 with post-norm and warm-up",
        measured="ratios of restricted mean steps: " + "; ".join(by_depth),
        verdict=judge(ratios, solved),
        differs="copy of 8 from 16, width 32, depth 4 and 8, AdamW, rates tuned of three, 10 seeds",
        numbers=study.kept(table),
        draw=lambda: lines(
            depths.astype(float),
            dict(zip(ARMS, (rezero, post, pre), strict=True)),
            "depth (blocks)",
            "steps to solve",
            log=(True, False),
        ),
    )


def judge(ratios: list[Interval], solved: list[Interval]) -> Verdict:
    """Every ratio under 1, and more than half of the seeds solve."""
    return all_of(*(inside(found, 0.0, 1.0) for found in ratios), *(inside(share, 0.5, 1.0) for share in solved))


def paired(first_S: Floats, second_S: Floats) -> Interval:
    """Second / first of the same seeds; anything, where there is no interval."""
    _, low, high = paired_ratio(first_S, second_S)
    return (0.0, np.inf) if low is None or high is None else (low, high)
