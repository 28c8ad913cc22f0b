"""Claim 4: the learning rates that are tolerated order post-norm < DeepNorm < pre-norm."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np

from lib.claims import study
from lib.claims.claim import Claim, Verdict
from lib.claims.drawn import lines
from resformer.stats import Bools
from resformer.stats.multiplicity import LEVEL
from resformer.stats.reach import Solved, doublings_apart
from resformer.stats.two_sample import Stratum, depth_test, permutation_count

STUDIES = ("claim-4",)
DEPTH = 16
"""Depth at which all three learn at some rate."""
ARMS = {"post-norm": ("add", "post"), "DeepNorm": ("deepnorm", "post"), "pre-norm": ("add", "pre")}
_BELOW, _DRAWN_TO = 0.95, 1.5
"""Times the blind loss: a member that has learnt something is below; drawn up to."""


def run() -> Claim:
    """Try it."""
    swept = study.sweep(*STUDIES)
    blind = float(swept.members["blind_loss"].iloc[0])
    arms = {label: swept.arm(residual=scheme, norm=norm) for label, (scheme, norm) in ARMS.items()}
    rates = arms["post-norm"][DEPTH].rates
    times_blind = {
        depth: {label: arm[depth].loss_SR / blind for label, arm in arms.items()}
        for depth in arms["post-norm"]
    }
    orders = {
        depth: order({label: times_SR < _BELOW for label, times_SR in by_arm.items()}, rates)
        for depth, by_arm in times_blind.items()
    }
    judged, verdict = orders.pop(DEPTH)
    return Claim(
        number=4,
        title="the learning rates that are tolerated order post-norm < DeepNorm < pre-norm",
        source="Chen & Wei 2026, arXiv 2601.19895",
        saw="3.0e-4, 3.5e-4 and 7.65e-3 at 64 sub-layers",
        judged=f"depth {DEPTH}: {judged}, wanted ≤ {LEVEL:g} with both pairs in this order",
        verdict=verdict,
        reported=[
            f"depth {depth}: {words} ({verdict_there})"
            for depth, (words, verdict_there) in orders.items()
        ],
        differs="copy of 8 from 16, width 32, 300 steps with 50 of warm-up, clipped, 10 seeds (5 "
        f"at depth 32), {len(rates)} rates by factors of two from {rates[0]:g} to {rates[-1]:g}; a "
        f"member learns that ends below {_BELOW:g} times the loss of the best that does not look",
        earlier="Undecided. It compared the largest rates at which half of the seeds learn, and "
        "took post-norm at depth 32, which learns at none of the grid, for a gap: none is a reach "
        "of 0. Pre-norm still learnt at the largest rate, 0.0512: the grid ended too early.",
        numbers=swept.kept().assign(learnt=swept.members["final_loss"] < _BELOW * blind),
        draw=lambda: lines(
            np.array(rates),
            {
                f"{label}, depth {depth}": np.nan_to_num(times_SR, nan=np.inf).clip(max=_DRAWN_TO)
                for depth, by_arm in times_blind.items()
                for label, times_SR in by_arm.items()
            },
            "learning rate",
            "held-out loss / blind loss",
            log=(True, False),
        ),
    )


def order(learnt: Mapping[str, Bools], rates: Sequence[float]) -> tuple[str, Verdict]:
    """Doublings of the rate at which arms learn, (S, R) each, in words; the verdict on whether
    every arm learns at more of them than the arm before, by the larger p-value of the pairs.
    """
    pairs = [further(*pair, rates) for pair in pairwise(learnt.values())]
    p = max(p for _, p in pairs)
    reach = ", ".join(
        f"{label} {learnt_SR.sum() / len(learnt_SR):.1f}" for label, learnt_SR in learnt.items()
    )
    more = ", ".join(f"{apart:+.1f}" for apart, _ in pairs)
    words = f"of {len(rates)} rates {reach} are learnt at (doublings between: {more}), exact p = "
    if any(apart < 0 and p_pair <= LEVEL for apart, p_pair in pairs):
        return f"{words}{p:.2g}", "does not hold here"
    holds = all(apart > 0 for apart, _ in pairs) and p <= LEVEL
    return f"{words}{p:.2g}", "holds" if holds else "undecided"


def further(first_SR: Bools, second_SR: Bools, rates: Sequence[float]) -> tuple[float, float]:
    """Doublings of the rate at which the second arm learns more than the first, and the exact
    p-value: whole seeds exchanged, the largest difference of shares over rates.
    """
    first, second = len(first_SR), len(second_SR)
    strata = [
        Stratum(
            steps_UR=np.where(np.concatenate([first_SR, second_SR])[:, [rate]], 0.0, np.nan),
            loss_UR=np.zeros((first + second, 1)),
            ran_UR=np.ones((first + second, 1), dtype=bool),
            budget=1,
        )
        for rate in range(len(rates))
    ]
    p_R = depth_test(
        strata, first=first, second=second, max_permutations=permutation_count(first, second)
    )
    multiples = [round(rate / rates[0]) for rate in rates]
    counts = [
        Solved(solved=[*learnt_SR.sum(axis=0)], seeds=[len(learnt_SR)] * len(rates))
        for learnt_SR in (second_SR, first_SR)
    ]
    return doublings_apart(multiples, *counts)[0], 1.0 if p_R is None else float(p_R.min())
