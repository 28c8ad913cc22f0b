"""Finished members that are left out, as later launches of their study used other code."""

from collections.abc import Sequence

from resformer.keys import Json
from resformer.plan import code
from resformer.results.problems import OtherCode
from resformer.store.study import PlannedJobs, Study


def other_code(
    study: Study, plan: PlannedJobs, outdated: set[str], launches: Sequence[Json]
) -> tuple[OtherCode, ...]:
    """The finished ones of the members of these jobs, if there are any, with the roles of their own
    code that changed.
    """
    finished = study.results.finished(outdated) if outdated else set()
    if not finished:
        return ()
    now = code.newest(launches)
    roles = set[str]().union(
        *(code.changed(plan.jobs[job]["shape"], plan.fingerprints[job], now) for job in finished)
    )
    members = sum(len(plan.jobs[job]["members"]) for job in finished)
    return (OtherCode(study=study.name, members=members, roles=sorted(roles)),)
