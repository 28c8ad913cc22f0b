"""Try what papers claim, and write results/reference/claims.

claims.md       a table: claim, source, what the paper saw, what was measured, the verdict, what
                differs
claim-N.csv     the numbers that a verdict is made of
claim-N.svg     its figure
facts.json      the command, versions, machine, and of each study how many seconds of a core it
                trained
"""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib as mpl

from lib import facts
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
"""Claims whose studies lie in `results`; the others train nothing, or a few steps."""


def main() -> None:
    """Try the claims that are named by number, or all, and write what came out."""
    numbers = [int(word) for word in sys.argv[1:]] or list(CLAIMS)
    if unknown := [number for number in numbers if number not in CLAIMS]:
        sys.exit(f"there is no claim {unknown[0]}; there are {', '.join(map(str, CLAIMS))}")
    revision = commit()
    tried = []
    for number in numbers:
        tried.append(claim := CLAIMS[number]())
        print(f"{number}. {claim.title}: {claim.verdict} ({claim.measured})")
    if len(tried) == len(CLAIMS):
        studies = {
            name: trained(Study(study.RESULTS / name))
            for module in _SWEPT
            for name in module.STUDIES
        }
        circumstances: dict[str, object] = {
            "command": "scripts/claims",
            "commit": revision,
            "versions": versions(compiled=True),
            "machine": machine(),
            "studies": studies,
        }
        write(REFERENCE / "claims", tried, circumstances)


def write(folder: Path, claims: Sequence[Claim], circumstances: dict[str, object]) -> None:
    """Write the table, the facts, and of each claim its numbers and its figure."""
    folder.mkdir(parents=True, exist_ok=True)
    for claim in claims:
        claim.numbers.to_csv(folder / f"claim-{claim.number}.csv", index=False, float_format="%.6g")
        with mpl.rc_context(RC):
            claim.draw().savefig(folder / f"claim-{claim.number}.svg", metadata={"Date": None})
    (folder / "claims.md").write_text(markdown(claims))
    facts.write(folder / "facts.json", circumstances)


def markdown(claims: Sequence[Claim]) -> str:
    """Table of all claims."""
    rows: list[tuple[object, ...]] = [
        ("", "claim", "source", "the paper saw", "measured here", "verdict", "what differs"),
        ("---",) * 7,
    ]
    rows += [
        (
            claim.number,
            claim.title,
            claim.source,
            claim.saw,
            claim.measured,
            claim.verdict,
            claim.differs,
        )
        for claim in claims
    ]
    return "".join(f"| {' | '.join(map(str, row))} |\n" for row in rows)


if __name__ == "__main__":
    main()
