"""Learning rates that the results of a study call for, where `member.lr=auto`."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

import pandas as pd

from resformer.model.shape import Member, Shape
from resformer.reporting.analysis.cells import ALWAYS, by_cell
from resformer.rounds.finished import DIGEST, ShapeMembers, chosen, complete
from resformer.sweep.rate_grid import beyond
from resformer.sweep.request import Request


def with_rates(request: Request, members: pd.DataFrame) -> Request:
    """The request with every rate that these results call for; rows as of `with_digests`.

    Once all requested members of a task and depth have finished, all its shapes get the next rate
    where the best one of any of them, the one that its report names, lies at the edge and some seed
    solved at it. Arms that are compared so have the same rates, without which their seeds could not
    be exchanged. Other members of the study do not count, so that the same request always makes the
    same study.
    """
    while further := dict(_further(request, members)):
        request = replace(
            request,
            shapes=[(shape, [*own, *further.get(shape, ())]) for shape, own in request.shapes],
        )
    return request


def _further(request: Request, members: pd.DataFrame) -> Iterator[tuple[Shape, list[Member]]]:
    """Members at the next rates, by shape."""
    groups: dict[tuple[object, int], list[ShapeMembers]] = {}
    for shape, own in request.shapes:
        if shape in request.auto_rates:
            groups.setdefault((shape.task, shape.model.depth), []).append((shape, own))
    for group in groups.values():
        if not complete(members, group):
            continue
        rates = sorted(set(_called_for(members, group)))
        for shape, own in group:
            seeds = sorted({member.seed for member in own})
            new = [Member(seed=seed, lr=rate) for seed in seeds for rate in rates]
            if new := [member for member in new if member not in own]:
                yield shape, new


def _called_for(members: pd.DataFrame, group: Iterable[ShapeMembers]) -> Iterator[float]:
    """The next rate of each cell whose best one lies at the edge of those tried."""
    for cell in by_cell(chosen(members, group), [*ALWAYS, DIGEST]):
        if cell.solves and (rate := beyond(cell.rates, cell.lr)) is not None:
            yield rate
