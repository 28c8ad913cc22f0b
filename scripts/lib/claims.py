"""Try what papers claim: `resformer claim` of those that are named, or of all in `configs/claim`.

Each writes its result, numbers and figure to results/reference/claims, and its study, if it trains
one, to results. claims.md is the table of all results that are there: claim, source, what the paper
saw, what the verdict rests on, the verdict, what else was measured, what differs; and what earlier
versions of a test said, and why that was wrong.
"""

import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from lib.facts import REFERENCE, ROOT
from resformer import plugins
from resformer.keys import Json

_FOLDER = REFERENCE / "claims"
_COLUMNS = (
    "",
    "claim",
    "source",
    "the paper saw",
    "the verdict rests on",
    "verdict",
    "also measured",
    "what differs",
)


def main() -> None:
    """Try the claims; stops at one that fails, and the exit code is its own."""
    for name in sys.argv[1:] or plugins.claims():
        to = str(_FOLDER.relative_to(ROOT))
        command = [sys.executable, "-m", "resformer", "claim", name, "--to", to]
        if code := subprocess.run(command, cwd=ROOT, check=False).returncode:
            sys.exit(code)
        write_table(_FOLDER)


def write_table(folder: Path) -> None:
    """Write the table of the results in a folder, in the order of the claims."""
    paths = [folder / f"{name}.json" for name in plugins.claims()]
    results = [json.loads(path.read_text()) for path in paths if path.exists()]
    (folder / "claims.md").write_text(markdown(results))


def markdown(results: Iterable[Json]) -> str:
    """Table of claims, and their earlier verdicts."""
    lines = [row(_COLUMNS), row("---" for _ in _COLUMNS)]
    earlier = ["\n## Earlier versions of these tests\n"]
    for result in results:
        number = result["claim"].partition("-")[0]
        needs, edge = result["needs"], result["at_edge"]
        judged = "; ".join(
            [
                f"{result['statistic']['words']}, holds if {result['bound']}",
                *([f"needs {needs['words']} {needs['bound']}"] if needs else []),
                *(
                    [f"best rates of {edge['seeds']} of {edge['of']} seeds at the edge"]
                    if edge
                    else []
                ),
            ]
        )
        also = "; ".join(each["words"] for each in result["also"])
        texts = [result[key] for key in ("title", "source", "saw")]
        lines.append(row([number, *texts, judged, result["verdict"], also, result["differs"]]))
        if result["earlier"]:
            earlier.append(f"\n{number}. {result['earlier']}\n")
    return "".join([*lines, *earlier])


def row(cells: Iterable[str]) -> str:
    """A row of a table."""
    return f"| {' | '.join(cells)} |\n"


if __name__ == "__main__":
    main()
