"""Claim 6: without attention skips, shaped attention trains where plain stacks do not."""

from collections.abc import Iterator, Mapping

from lib.claims import ratios, study
from lib.claims.claim import Claim, Part, inside
from lib.claims.slopes import Floats

STUDIES = ("claim-6",)
PLAIN = {"plain post-norm": ("plain", "post"), "plain pre-norm": ("plain", "pre")}
_SHAPED, _PRE, _FFN = "shaped", "pre-norm", "pre-norm without the attention skip"
_PAPER = 5


def run() -> Claim:
    """Try it."""
    table = study.runs(*STUDIES)
    arms = {
        **{label: study.arm(table, *arm) for label, arm in PLAIN.items()},
        _SHAPED: study.arm(table, "shaped", "pre"),
        _PRE: study.arm(table, "add", "pre", skip="both"),
        _FFN: study.arm(table, "add", "pre", skip="ffn"),
    }
    spent = study.spent(table, arms)
    return Claim(
        number=6,
        title="without any attention skip, shaped attention trains where plain stacks do not",
        source="He et al. 2023, arXiv 2302.10322; Noci et al. 2023, arXiv 2306.17759; He & Hofmann "
        "2024, arXiv 2311.01906",
        saw="skipless stacks that reach the same loss after about 5 times the steps",
        parts=spent.parts(judged),
        differs=f"copy of 8 from 16, width 32, depth 8 and 16, {spent.budget:g} steps, rates tuned "
        "of three, 5 seeds; shaped keeps a weighted skip around its FFN, as in He & Hofmann, which "
        "plain stacks do not have",
        numbers=study.kept(table),
        draw=lambda: spent.draw(log_steps=True),
    )


def judged(where: str, spent: Mapping[str, Floats], budget: float) -> Iterator[Part]:
    """Under half of the seeds of plain stacks solve, over half of shaped ones; and the cost."""
    solved = {label: ratios.solved(spent_S, budget) for label, spent_S in spent.items()}
    seeds = len(spent[_SHAPED])
    for label in PLAIN:
        count, share = solved[label]
        yield Part(
            f"{where}: {count} of {seeds} seeds of {label} solve, wanted under half",
            inside(share, 0.0, 0.5),
        )
    count, share = solved[_SHAPED]
    yield Part(f"{count} of shaped, wanted over half", inside(share, 0.5, 1.0))
    yield Part(f"{solved[_FFN][0]} of {_FFN}")
    cost = ratios.in_words(spent[_PRE], spent[_SHAPED], budget)
    yield Part(f"steps of shaped, times those of pre-norm, {cost} (the paper: about {_PAPER})")
