"""The queue of a launch, as one worker goes through it."""

import math
import time
from collections.abc import Sequence
from functools import partial
from typing import final

from resformer.store import claims
from resformer.store.claims import Claim, HeartbeatObserver
from resformer.store.done import Done
from resformer.store.study import Study

_POLL_SECONDS = 1.0
"""Least time between two reads of the lists of done jobs."""


@final
class Queue:
    """The open jobs of a launch, in the order in which one of its workers takes them.

    Each of n workers begins with every n-th job of the plan, so that they seldom meet, and then
    takes whatever is left. Jobs listed as done by others cost it no look at their folders.
    """

    def __init__(
        self,
        study: Study,
        *,
        jobs: Sequence[str],
        launch: int,
        retries: int,
        observer: HeartbeatObserver,
        lane: int,
        lanes: int,
    ) -> None:
        self.study, self.launch, self.retries, self.observer = study, launch, retries, observer
        self.left = dict.fromkeys([*jobs[lane::lanes], *jobs])
        """Jobs neither finished nor failed, as far as this worker knows, in its order."""
        self._round, self._gave = iter(list(self.left)), False
        self._done, self._polled_at = Done(study.path), -math.inf

    def take(self) -> Claim | str | None:
        """A claim of the next job that nobody holds, or the id of one that is finished though no
        list names it; None if others hold all that are left.
        """
        while True:
            for job_id in self._round:
                self._poll_done()
                if job_id in self.left and (taken := self._claim(job_id)) is not None:
                    self._gave = True
                    return taken
            gave, self._gave, self._round = self._gave, False, iter(list(self.left))
            if not gave or not self.left:
                return None

    def _claim(self, job_id: str) -> Claim | str | None:
        """A claim of this job; its id if it is finished; None if it is held or exhausted."""
        finished = partial(self.study.results.has, job_id)
        if finished():  # its holder may not have said so yet
            self.settle(job_id)
            return job_id
        job = self.study.job(job_id)
        claim = claims.take(job, self.launch, self.retries, self.observer, finished)
        if isinstance(claim, Claim):
            if not finished():
                return claim
            claim.leave()  # a holder that had been silent has committed it
            return None
        if claim != "held":
            self.settle(job_id)
        return job_id if claim == "finished" else None

    def settle(self, job_id: str) -> None:
        """Remove a job that is finished or has failed."""
        self.left.pop(job_id, None)

    def _poll_done(self) -> None:
        if time.monotonic() - self._polled_at >= _POLL_SECONDS:
            for job_id in self._done.news():
                self.settle(job_id)
            self._polled_at = time.monotonic()
