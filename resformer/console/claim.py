"""A judged claim on a terminal."""

from rich.table import Table

from resformer.claims.judge import Judged
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
        ("judged by", f"{judged.measured}; holds if {claim.bound}"),
        ("needs", _needs(judged)),
        ("best rates", _at_edge(judged)),
        *(("also", str(each)) for each in judged.also),
        ("earlier", claim.earlier),
        ("stated", _stated(judged)),
        ("verdict", judged.verdict),
    ):
        if text:
            table.add_row(label, text)
    return table


def _needs(judged: Judged) -> str:
    needs = judged.claim.needs
    if needs is None:
        return ""
    return f"{judged.needed}; undecided unless {needs.holds}"


def _at_edge(judged: Judged) -> str:
    edge = judged.at_edge
    if edge is None:
        return ""
    return f"of {edge.seeds} of {counted(edge.of, 'seed')} at the edge of the rates tried"


def _stated(judged: Judged) -> str:
    digest = judged.stated[:12]
    if judged.planned_before is None:
        return f"about models before training: nothing runs ({digest})"
    if not judged.planned_before:
        return f"before anything ran ({digest})"
    jobs = counted(judged.planned_before, "job")
    return (
        f"after {jobs} had been planned: members, statistic, bound or condition changed ({digest})"
    )
