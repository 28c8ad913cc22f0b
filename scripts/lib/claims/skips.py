"""Claim 7: leaving out the attention skip hurts more than leaving out the FFN skip."""

from lib.claims import study
from lib.claims.claim import Claim
from lib.claims.study import compare, deeper, in_words

STUDIES = ("claim-7",)
_SKIPS = {
    "both skips": "both",
    "without the attention skip": "ffn",
    "without the FFN skip": "attention",
}


def run() -> Claim:
    """Try it."""
    swept = study.sweep(*STUDIES)
    arms = {label: swept.arm(skip=skip) for label, skip in _SKIPS.items()}
    full, attentionless, ffnless = arms.values()
    judged = compare(ffnless, attentionless)
    return Claim(
        number=7,
        title="leaving out the attention skip hurts more than leaving out the FFN skip",
        source="Ji et al. 2025 (read in a secondary source)",
        saw="22 points of accuracy without the attention skip, 2 without the FFN skip, in a vision "
        "transformer",
        judged=f"without the FFN skip against without the attention skip: {in_words(judged)}, "
        "wanted deeper with p ≤ 0.05",
        verdict=deeper(judged),
        reported=[
            *(f"{label} solves {study.solved(arm)}" for label, arm in arms.items()),
            *(
                f"both skips against {label}: {in_words(compare(full, arm))}"
                for label, arm in arms.items()
                if arm is not full
            ),
            study.inner(arms.values()),
        ],
        differs="copy of 8 from 16, width 32, pre-norm, depth 1 to 8, 600 steps, rates tuned of "
        "four, 10 seeds; depth that trains, and not the accuracy at one depth",
        earlier="Undecided. It averaged over the arm without any skip, where nothing trains and "
        "nothing can hurt, and measured in nats of a loss that is either near 0 or near that of "
        "chance. The paper drops one skip from the full block.",
        numbers=swept.kept(),
        draw=lambda: study.draw(arms),
    )
