"""Loop over the rounds of a study: plan what the results so far call for, until that is nothing."""

from collections.abc import Iterator

from resformer.results.members import read
from resformer.rounds.finished import with_digests
from resformer.rounds.rates import with_rates
from resformer.store.study import Study
from resformer.sweep.launch import Launch, plan
from resformer.sweep.request import Request


def launches(request: Request, study: Study) -> Iterator[Launch]:
    """Launches of a study, at least one, each to be run before the next is asked for.

    Each depends on nothing but the request and the results that are there: one that was cut off is
    planned again. A failed job ends no round of the others.
    """
    yield plan(grown(request, study), study)
    if not request.auto_rates:
        return
    while (launch := plan(grown(request, study), study)).new:
        yield launch


def grown(request: Request, study: Study) -> Request:
    """The request with the members that the results of the study call for."""
    if not request.auto_rates or not study.launched():
        return request
    return with_rates(request, with_digests(read([study])))
