"""Next command where the best learning rates lie at the edge of the rates that were given."""

import shlex
from collections.abc import Sequence

from resformer.reporting.schema import Report
from resformer.sweep.rate_grid import beyond


def further_rates(report: Report, words: Sequence[str]) -> str | None:
    """The next rate as a command, where more than half of the cells that solve have their best rate
    at one edge; `words` are those of the sweep, without the program's name.

    A sweep that settles is to settle on all rates, of which only the new one trains.
    """
    best = report.best_rates
    at, word = max((best.largest, "largest"), (best.smallest, "smallest"))
    if 2 * at <= best.cells:
        return None
    rates = {rate.lr for rate in report.rates}
    edge = max(rates) if word == "largest" else min(rates)
    further = beyond(rates, edge)
    if further is None:
        return None
    kept = [word for word in words if not word.startswith("member.lr=")]
    named = any(word.partition("=")[0] == "--study" for word in kept)
    all_rates = sorted({*rates, further}) if "--settle" in kept else [further]
    command = [
        "resformer",
        *kept,
        *([] if named else ["--study", report.study]),
        f"member.lr={','.join(f'{rate:g}' for rate in all_rates)}",
    ]
    return (
        f"{at} of {best.cells} cells are best at the {word} rate tried, {edge:g}; go on with: "
        f"{shlex.join(command)}"
    )
