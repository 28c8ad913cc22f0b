"""Loop over the rounds of a study: plan what the results so far call for, until that is nothing."""

from collections.abc import Iterator

import pandas as pd

from resformer.errors import UserError
from resformer.results.members import read
from resformer.rounds.finished import complete, with_digests
from resformer.rounds.rates import with_rates
from resformer.rounds.settle import Settled, second_request, settled
from resformer.store.study import Study
from resformer.sweep.launch import Launch, plan
from resformer.sweep.request import Request


def launches(request: Request, study: Study, *, settle: bool) -> Iterator[Launch]:
    """Launches of a study, at least one, each to be run before the next is asked for.

    Each depends on nothing but the request and the results that are there: one that was cut off is
    planned again. A failed job ends no round of the others. With `settle` a second look follows.
    """
    yield plan(_grown(request, study, settle), study)
    if not request.auto_rates and not settle:
        return
    while (launch := plan(_grown(request, study, settle), study)).new:
        yield launch


def outcome(request: Request, study: Study) -> Settled:
    """The comparisons of a study after both looks; UserError if results are missing."""
    members = with_digests(read([study]), request)
    first, second = _requests(request, members)
    if not complete(members, second.shapes):
        raise UserError(f"--settle: study {study.name}: results are missing, so nothing is settled")
    return settled(first, second, members)


def _grown(request: Request, study: Study, settle: bool) -> Request:
    """The request with the members that the results of the study call for."""
    if not (request.auto_rates or settle) or not study.launched():
        return request
    members = with_digests(read([study]), request)
    return _requests(request, members)[1] if settle else with_rates(request, members)


def _requests(request: Request, members: pd.DataFrame) -> tuple[Request, Request]:
    """The request of the first look and that of the second, which is the same while results of the
    first are missing.
    """
    first = with_rates(request, members)
    if not complete(members, first.shapes):
        return first, first
    return first, with_rates(second_request(first, members), members)
