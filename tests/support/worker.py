"""The loop of a worker over one job, in this process."""

from collections.abc import Callable

from resformer.plan.jobs import Job
from resformer.store import claims
from resformer.store.study import Study
from resformer.workers.assignment import Assignment
from resformer.workers.events import Event
from resformer.workers.signals import Stop
from resformer.workers.worker import work


def assignment(
    study: Study,
    launch: int,
    job_id: str,
    retries: int = 0,
    checkpoint_seconds: float = 60.0,
    keep_checkpoint: bool = False,
) -> Assignment:
    return Assignment(
        study=study.path,
        launch=launch,
        jobs=(job_id,),
        retries=retries,
        lease_seconds=60.0,
        checkpoint_seconds=checkpoint_seconds,
        keep_checkpoint=keep_checkpoint,
    )


class Worker:
    """A worker that can be told to stop after so many steps of its job."""

    def __init__(
        self,
        study: Study,
        job: Job,
        retries: int = 0,
        checkpoint_seconds: float = 60.0,
        keep_checkpoint: bool = False,
    ) -> None:
        number = study.launch({"engine": {"retries": retries}}, [job.to_json()])
        self.assignment = assignment(
            study, number, job.id, retries, checkpoint_seconds, keep_checkpoint
        )
        self.events: list[Event] = []

    def run(
        self, steps: float = 1e9, at_step: Callable[[int], None] = lambda step: None
    ) -> list[str]:
        """Run the loop; returns the kinds of its events, progress left out."""
        polls, self.events = 0, []

        def requested() -> bool:
            nonlocal polls
            polls += 1  # once before the job is taken, then before every step
            at_step(polls - 2)
            return polls - 2 >= steps

        stop = Stop(requested)
        work(self.assignment, worker=0, workers=1, emit=self.events.append, stop=stop)
        return [event.kind for event in self.events if event.kind != "progress"]

    def detail(self, kind: str) -> str:
        (event,) = (event for event in self.events if event.kind == kind)
        return event.detail


def results(study: Study, job_id: str) -> dict[str, bytes]:
    """The files of a job's last attempt, which is the one committed; its times left out."""
    result = study.results.read(job_id)
    assert result.attempt == claims.attempts(study.job(job_id))
    return {name: data for name, data in result.contents.items() if name != "timing.json"}
