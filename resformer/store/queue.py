"""Which job a worker takes next."""

import math
import time
from collections.abc import Sequence
from typing import final

from resformer.store import claims
from resformer.store.claims import Claim, HeartbeatObserver
from resformer.store.done import Done
from resformer.store.study import Study

_LISTS_SECONDS = 1.0
"""At most so often the lists of what is finished are read."""


@final
class Queue:
    """The jobs of a launch as one of its workers goes through them.

    Of n workers each begins with every n-th job of the plan, so that they seldom meet, and then
    goes on with what others have not come to. What others have finished costs it no look at the
    job's folder.
    """

    def __init__(
        self,
        study: Study,
        jobs: Sequence[str],
        launch: int,
        retries: int,
        observer: HeartbeatObserver,
        lane: int,
        lanes: int,
    ) -> None:
        self.study, self.launch, self.retries, self.observer = study, launch, retries, observer
        self.left = dict.fromkeys([*jobs[lane::lanes], *jobs])
        """Jobs that are neither finished nor failed, as far as this worker knows, in the order it
        takes them.
        """
        self._round, self._gave = iter(list(self.left)), False
        self._done, self._listed_at = Done(study.path), -math.inf

    def take(self) -> Claim | str | None:
        """A claim of the next job that nobody holds; None if others hold all that are left.

        Or the id of a job that is finished though no list says so.
        """
        while True:
            for job_id in self._round:
                self._look_at_the_lists()
                if job_id in self.left and (taken := self._look_at(job_id)) is not None:
                    self._gave = True
                    return taken
            gave, self._gave, self._round = self._gave, False, iter(list(self.left))
            if not gave or not self.left:
                return None

    def _look_at(self, job_id: str) -> Claim | str | None:
        """A claim of this job, its id if it is finished, None if it is not to be had."""
        if self.study.results.has(job_id):
            self.settle(job_id)
            return job_id
        claim = claims.take(self.study.job(job_id), self.launch, self.retries, self.observer)
        if claim == "exhausted":
            self.settle(job_id)
        if not isinstance(claim, Claim):
            return None
        if self.study.results.has(job_id):
            claim.leave()
            return None
        return claim

    def settle(self, job_id: str) -> None:
        """This job is finished, or has failed."""
        self.left.pop(job_id, None)

    def _look_at_the_lists(self) -> None:
        if time.monotonic() - self._listed_at >= _LISTS_SECONDS:
            for job_id in self._done.news():
                self.settle(job_id)
            self._listed_at = time.monotonic()
