"""Try what papers claim, and write results/reference/claims.

claims.md       a table: claim, source, what the paper saw, what was measured, the verdict, what
                differs
claim-N.csv     the numbers that a verdict is made of
claim-N.svg     its figure
facts.json      the command, versions, machine, and of each study how many seconds of a core it
                trained
"""

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib as mpl

from lib.claims import (
    change,
    degradation,
    gradient,
    normless,
    rank,
    skipless,
    skips,
    study,
    tolerable,
)
from lib.claims.claim import Claim
from lib.facts import REFERENCE, commit, machine, trained
from resformer.plan.provenance import versions
from resformer.reporting.figures.style import RC
from resformer.store.study import Study

CLAIMS: dict[int, Callable[[], Claim]] = {
    1: rank.run,
    2: gradient.run,
    3: degradation.run,
    4: tolerable.run,
    5: normless.run,
    6: skipless.run,
    7: skips.run,
    8: change.run,
}
_SWEPT = (degradation, tolerable, normless, skipless, skips)
"""Of these the studies lie in `results`; the others train nothing, or a few steps."""


def main() -> None:
    """Try the claims that are named by number, or all, and write what came out."""
    wanted = [int(word) for word in sys.argv[1:]] or list(CLAIMS)
    if unknown := [number for number in wanted if number not in CLAIMS]:
        sys.exit(f"there is no claim {unknown[0]}; there are {', '.join(map(str, CLAIMS))}")
    revision = commit()
    found = []
    for number in wanted:
        found.append(CLAIMS[number]())
        print(f"{number}. {found[-1].title}: {found[-1].verdict} ({found[-1].measured})")
    if len(wanted) == len(CLAIMS):
        facts = {
            "command": "scripts/claims",
            "commit": revision,
            "versions": versions(compiled=True),
        }
        studies = {
            name: trained(Study(study.RESULTS / name))
            for module in _SWEPT
            for name in module.STUDIES
        }
        write(REFERENCE / "claims", found, {**facts, "machine": machine(), "studies": studies})


def write(folder: Path, found: Sequence[Claim], facts: dict[str, object]) -> None:
    """The table, and of each claim its numbers and its figure."""
    folder.mkdir(parents=True, exist_ok=True)
    for claim in found:
        claim.numbers.to_csv(folder / f"claim-{claim.number}.csv", index=False, float_format="%.6g")
        with mpl.rc_context(RC):
            claim.draw().savefig(folder / f"claim-{claim.number}.svg", metadata={"Date": None})
    (folder / "claims.md").write_text(markdown(found))
    (folder / "facts.json").write_text(json.dumps(facts, indent=1) + "\n")


def markdown(found: Sequence[Claim]) -> str:
    """The table of all claims."""
    head = ("", "claim", "source", "the paper saw", "measured here", "verdict", "what differs")
    rows = [
        (one.number, one.title, one.source, one.saw, one.measured, one.verdict, one.differs)
        for one in found
    ]
    return "".join(
        f"| {' | '.join(map(str, row))} |\n" for row in (head, ["---"] * len(head), *rows)
    )


if __name__ == "__main__":
    main()
