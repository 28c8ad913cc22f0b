"""Claim 7: leaving out the attention skip hurts far more than leaving out the FFN skip."""

from collections.abc import Iterator, Mapping

import numpy as np

from lib.claims import study
from lib.claims.claim import Claim, Part, all_of, inside, shown
from lib.claims.drawn import lines
from lib.claims.slopes import Floats, interval

STUDIES = ("claim-7",)
TIMES = 3.0
_LABELS = {
    "both": "both skips",
    "attention": "attention's only",
    "ffn": "FFN's only",
    "none": "no skip",
}


def run() -> Claim:
    """Try it."""
    table = study.runs(*STUDIES)
    arms = {skip: study.arm(table, "add", "pre", skip=skip) for skip in _LABELS}
    losses = {skip: study.by_depth(cells, "final_loss") for skip, cells in arms.items()}
    depths = np.unique(table["depth"])
    attention_SL, ffn_SL = effects(losses)
    added = {"attention": attention_SL, "ffn": ffn_SL}
    return Claim(
        number=7,
        title="leaving out the attention skip hurts far more than leaving out the FFN skip",
        source="Ji et al. 2025 (read in a secondary source)",
        saw="22 points of accuracy without the attention skip, 2 without the FFN skip, in a vision "
        "transformer",
        parts=[
            *(
                part
                for where, added_S in study.at_depths(depths, added)
                for part in judged(where, added_S["attention"], added_S["ffn"])
            ),
            Part(study.edges(arms.values(), "final_loss")),
        ],
        differs="copy of 8 from 16, width 32, pre-norm, depth 4 and 8, 600 steps, rates tuned of "
        "three, 5 seeds; the loss, and not the accuracy",
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
    """Loss added by leaving out attention's skip and the FFN's, mean over the other in and out."""
    both, attention, ffn, none = (losses[skip] for skip in _LABELS)
    return (ffn + none - both - attention) / 2, (attention + none - both - ffn) / 2


def judged(where: str, attention_S: Floats, ffn_S: Floats) -> Iterator[Part]:
    """Leaving out the attention skip hurts, by more than so many times leaving out the FFN's."""
    hurt, excess = interval(attention_S), interval(attention_S - TIMES * ffn_S)
    yield Part(
        f"{where}: leaving out attention's skip adds {shown(hurt)} nats, the FFN's "
        f"{shown(interval(ffn_S))}"
    )
    verdict = all_of(inside(hurt, 0.0, np.inf), inside(excess, 0.0, np.inf))
    yield Part(
        f"attention's less {TIMES:g} times the FFN's is {shown(excess)}, wanted > 0", verdict
    )
