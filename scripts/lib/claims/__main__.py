"""Try what papers claim, and write results/reference/claims.

claims.md       of all claims that were tried a table: claim, source, what the paper saw, what the
                verdict rests on, the verdict, what else was measured, what differs; and what
                earlier versions of a test said, and why that was wrong
claim-N.csv     the numbers that a verdict is made of
claim-N.svg     its figure
claim-N.json    its row of the table and its facts: the command, versions, machine, and of each
                study how many seconds of a core it trained
"""

import json
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl

from lib import facts
from lib.claims import (
    change,
    gradient,
    normless,
    rank,
    skipless,
    skips,
    study,
    tolerable,
    transfer,
    warmup,
)
from lib.claims.claim import Claim
from lib.facts import REFERENCE, commit, machine, trained
from resformer.plan.provenance import versions
from resformer.reporting.figures.style import RC
from resformer.store.study import Study

CLAIMS: dict[int, tuple[Callable[[], Claim], tuple[str, ...]]] = {
    1: (rank.run, ()),
    2: (gradient.run, ()),
    3: (warmup.run, warmup.STUDIES),
    4: (tolerable.run, tolerable.STUDIES),
    5: (normless.run, normless.STUDIES),
    6: (skipless.run, skipless.STUDIES),
    7: (skips.run, skips.STUDIES),
    8: (change.run, ()),
    9: (transfer.run, transfer.STUDIES),
}
"""How to try each claim, and its studies, which lie in `results`."""
_COLUMNS = {
    "": "number",
    "claim": "title",
    "source": "source",
    "the paper saw": "saw",
    "the verdict rests on": "judged",
    "verdict": "verdict",
    "also measured": "reported",
    "what differs": "differs",
}


def main() -> None:
    """Try the claims that are named by number, or all, and write what came out."""
    numbers = [int(word) for word in sys.argv[1:]] or list(CLAIMS)
    if unknown := [number for number in numbers if number not in CLAIMS]:
        sys.exit(f"there is no claim {unknown[0]}; there are {', '.join(map(str, CLAIMS))}")
    revision = commit()
    for number in numbers:
        run, studies = CLAIMS[number]
        claim = run()
        print(f"{number}. {claim.title}: {claim.verdict} ({claim.judged})")
        circumstances = {
            "command": f"scripts/claims {number}",
            "commit": revision,
            "versions": versions(["cpu"] if studies else ()),
            "machine": machine(),
            "studies": {name: trained(Study(study.RESULTS / name)) for name in studies},
        }
        write(REFERENCE / "claims", claim, circumstances)


def write(folder: Path, claim: Claim, circumstances: Mapping[str, Any]) -> None:
    """Write a claim's row, facts, numbers and figure, and the table of all that are there."""
    folder.mkdir(parents=True, exist_ok=True)
    name = f"claim-{claim.number}"
    claim.numbers.to_csv(folder / f"{name}.csv", index=False, float_format="%.6g")
    with mpl.rc_context(RC):
        claim.draw().savefig(folder / f"{name}.svg", metadata={"Date": None})
    row = {key: getattr(claim, key) for key in (*_COLUMNS.values(), "earlier")}
    facts.write(folder / f"{name}.json", {**row, "facts": circumstances})
    rows = [json.loads(path.read_text()) for path in sorted(folder.glob("claim-*.json"))]
    (folder / "claims.md").write_text(markdown(rows))


def markdown(rows: Iterable[Mapping[str, Any]]) -> str:
    """Table of claims, and their earlier verdicts."""
    cells = [list(_COLUMNS), ["---"] * len(_COLUMNS)]
    earlier = ["\n## Earlier versions of these tests\n"]
    for row in rows:
        joined = {**row, "reported": "; ".join(row["reported"])}
        cells.append([str(joined[key]) for key in _COLUMNS.values()])
        earlier.append(f"\n{row['number']}. {row['earlier']}\n")
    return "".join([*(f"| {' | '.join(words)} |\n" for words in cells), *earlier])


if __name__ == "__main__":
    main()
