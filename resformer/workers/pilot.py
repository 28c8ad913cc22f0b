"""A worker on another machine. A string names its launch; all else is in the study's folder."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, Self, final

from resformer.errors import Stuck
from resformer.model import own_class
from resformer.numerics.process import configure_worker
from resformer.store.study import Study
from resformer.workers import signals
from resformer.workers.assignment import Assignment, own_launch
from resformer.workers.event_log import EventWriter
from resformer.workers.events import Event
from resformer.workers.signals import Stop
from resformer.workers.worker import work


@final
@dataclass(frozen=True)
class PilotExit:
    """The end of a pilot. It crosses clusters as JSON, so that nothing is unpickled."""

    kind: Literal["finished", "signalled", "stuck"]
    """All jobs are finished or failed; a signal made it release its job; it cannot proceed."""
    detail: str = ""
    """The signal's name, such as SIGTERM, or in a line why it cannot proceed."""

    def to_json(self) -> str:
        """The exit as a string."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The exit that `to_json` was called on."""
        return cls(**json.loads(text))


def pilot_specs(assignment: Assignment, workers: int) -> list[str]:
    """The spec of each pilot as JSON: the study's folder, the launch, the working directory, from
    which a module of one's own may come, and the pilot's number.
    """
    launch = {
        "study": str(assignment.study.absolute()),
        "launch": assignment.launch,
        "directory": own_class.working_directory(),
        "workers": workers,
    }
    return [json.dumps({**launch, "worker": worker}) for worker in range(workers)]


def run_pilot(spec: str) -> str:
    """Work for a launch until all of its jobs are finished or failed, a signal comes, or the pilot
    cannot proceed; returns a PilotExit as JSON.
    """
    settings = json.loads(spec)
    study, launch = Study(Path(settings["study"])), int(settings["launch"])
    worker, writer = int(settings["worker"]), EventWriter(study, launch)
    own_class.search(settings["directory"])
    with signals.recorded() as names:
        try:
            assignment, memory_gib = _assignment(study, launch)
            configure_worker(memory_gib)
            work(
                assignment,
                worker=worker,
                workers=int(settings["workers"]),
                emit=writer.write,
                stop=Stop(lambda: bool(names)),
            )
        except Stuck as error:
            writer.write(Event("stuck", worker, "", detail=str(error)))
            return PilotExit("stuck", str(error)).to_json()
    return (PilotExit("signalled", names[0]) if names else PilotExit("finished")).to_json()


def _assignment(study: Study, number: int) -> tuple[Assignment, float | None]:
    """The assignment of a launch, and the memory in GiB that each worker may take; Stuck as by
    `own_launch`.
    """
    launch = own_launch(study.path, number)
    engine = launch["engine"]
    return Assignment(
        study=study.path,
        launch=number,
        jobs=tuple(launch["jobs"]),
        retries=engine["retries"],
        lease_seconds=engine["lease_seconds"],
        checkpoint_seconds=launch["checkpoint_seconds"],
        keep_checkpoint=launch["keep_checkpoint"],
        recompute=launch["recompute"],
    ), engine["memory_gib"]
