"""A judged claim on a terminal."""

import math

from rich.table import Table

from resformer.claims.judge import Judged
from resformer.claims.statistics.base import Measured
from resformer.text import counted


def picture(judged: Judged) -> Table:
    """The claim, what its verdict rests on, and the verdict."""
    claim = judged.claim
    table = Table.grid(padding=(0, 2))
    for label, text in (
        ("claim", claim.title),
        ("source", claim.source),
        ("the source saw", claim.saw),
        ("differs", claim.differs),
        ("judged by", f"{in_words(judged.measured)}; wanted {claim.bound}"),
        *(("also", in_words(each)) for each in judged.also),
        ("stated", _stated(judged)),
        ("verdict", judged.verdict),
    ):
        if text:
            table.add_row(label, text)
    return table


def in_words(measured: Measured) -> str:
    """A statistic with its interval and p-value."""
    low, high = measured.low, measured.high
    if math.isinf(low):
        between = "interval unknown" if math.isinf(high) else f"at most {high:.3g}"
    else:
        between = f"at least {low:.3g}" if math.isinf(high) else f"{low:.3g} to {high:.3g}"
    p = "" if measured.p is None else f", exact p = {measured.p:.2g}"
    return f"{measured.quantity}: {measured.value:.3g} ({between}){p}"


def _stated(judged: Judged) -> str:
    digest = judged.claim.digest[:12]
    if not judged.planned_before:
        return f"before anything ran ({digest})"
    jobs = counted(judged.planned_before, "job")
    return f"after {jobs} had been planned: settings, statistic or bound changed ({digest})"
