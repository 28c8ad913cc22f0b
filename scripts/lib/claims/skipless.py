"""Claim 6: without attention skips, shaped attention trains where attention as it is does not."""

import numpy as np

from lib.claims import study
from lib.claims.claim import Claim, shown
from lib.claims.study import Arm, compare, deeper, in_words

STUDIES = ("claim-6",)
_SHAPED, _UNSHAPED, _PRE = "shaped", "pre-norm without the attention skip", "pre-norm"
_CONTROLS = ("value_identity", "value_skipinit")
_PAPER = 5


def run() -> Claim:
    """Try it."""
    swept = study.sweep(*STUDIES)
    arms = {
        _SHAPED: swept.arm(residual="shaped"),
        **{scheme: swept.arm(residual=scheme) for scheme in _CONTROLS},
        _UNSHAPED: swept.arm(residual="add", skip="ffn"),
        "plain pre-norm": swept.arm(residual="plain"),
        _PRE: swept.arm(residual="add", skip="both"),
    }
    judged = compare(arms[_SHAPED], arms[_UNSHAPED])
    return Claim(
        number=6,
        title="without any attention skip, shaped attention trains where attention as it is does "
        "not",
        source="He et al. 2023, arXiv 2302.10322; Noci et al. 2023, arXiv 2306.17759; He & Hofmann "
        "2024, arXiv 2311.01906",
        saw=f"skipless stacks that reach the same loss after about {_PAPER} times the steps",
        judged=f"shaped against {_UNSHAPED}: {in_words(judged)}, wanted deeper with p ≤ 0.05",
        verdict=deeper(judged),
        reported=[
            *(f"{label} solves {study.solved(arm)}" for label, arm in arms.items()),
            *(
                f"shaped against {control}, {part}: "
                f"{in_words(compare(arms[_SHAPED], arms[control]))}"
                for control, part in zip(
                    _CONTROLS,
                    ("the same start without its pattern", "its start with another pattern"),
                    strict=True,
                )
            ),
            *(
                f"depth {depth}: steps of shaped, times those of pre-norm, {cost(arms, depth)} "
                f"(the paper: about {_PAPER})"
                for depth in arms[_PRE]
            ),
            study.inner(arms.values()),
        ],
        differs="copy of 8 from 16, width 32, depth 8 and 16, 1000 steps, rates tuned of six (of "
        "five with both skips), 10 seeds; shaped and its controls keep a weighted skip around the "
        "FFN, as in He & Hofmann",
        earlier="Held. The cost was one ratio over an arm of which some seeds solve early and "
        "others hardly (0.842 to 10.2), the best rate lay at the edge of the grid in 9 of 10 "
        "cells, and no control told the start of shaped attention, identity values and outputs, "
        "from its pattern.",
        numbers=swept.kept(),
        draw=lambda: study.draw(arms),
    )


def cost(arms: dict[str, Arm], depth: int) -> str:
    """Ratio of steps, where every seed of both arms solves."""
    cells = [arms[label][depth] for label in (_SHAPED, _PRE)]
    if any(np.isnan(study.steps(cell)).any() for cell in cells):
        return "not all seeds of both solve"
    return shown(study.ratio(cells[:1], cells[1:]))
