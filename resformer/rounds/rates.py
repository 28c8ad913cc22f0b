"""Learning rates that the results of a study call for, where `member.lr=auto`."""

from collections.abc import Iterator
from dataclasses import replace

import pandas as pd

from resformer.model.shape import Member, Shape
from resformer.reporting.analysis.cells import ALWAYS, by_cell
from resformer.rounds.finished import DIGEST, chosen, shape_digest
from resformer.sweep.rate_grid import beyond
from resformer.sweep.request import Request


def with_rates(request: Request, members: pd.DataFrame) -> Request:
    """The request with every rate that these results call for; rows as of `with_digests`.

    A shape all of whose requested members have finished gets the next rate where its best one, the
    one that its report names, lies at the edge and some seed solved at it. Its other members in the
    study do not count, so that the same request always makes the same study.
    """
    while further := dict(_further(request, members)):
        request = replace(
            request,
            shapes=[(shape, [*own, *further.get(shape, ())]) for shape, own in request.shapes],
        )
    return request


def _further(request: Request, members: pd.DataFrame) -> Iterator[tuple[Shape, list[Member]]]:
    """Members at the next rate, by shape."""
    auto = [(shape, own) for shape, own in request.shapes if shape in request.auto_rates]
    rows = chosen(members, auto)
    if rows.empty:
        return
    cells = {cell.key.value(DIGEST): cell for cell in by_cell(rows, [*ALWAYS, DIGEST])}
    for shape, own in auto:
        cell = cells.get(shape_digest(shape))
        if cell is None or cell.ran_SR.sum() < len(own) or not cell.solves:
            continue
        rate = beyond(cell.rates, cell.lr)
        if rate is not None:
            yield shape, [Member(seed=seed, lr=rate) for seed in cell.seeds]
