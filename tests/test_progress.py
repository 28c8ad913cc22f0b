"""The lines of a sweep's progress."""

import io

from rich.console import Console
from support import shapes

from resformer.console.progress import follow
from resformer.model.shape import Member
from resformer.plan.jobs import Job
from resformer.workers.events import Event, Kind


def test_jobs_finished_by_another_sweep_are_counted_once_at_the_end() -> None:
    job, shown = (
        Job(shape=shapes.tiny(), members=(Member(seed=0, lr=1e-2),)).to_json(),
        io.StringIO(),
    )
    planned = {name: {**job, "id": name} for name in ("mine", "theirs")}
    with follow(planned, range(2), Console(file=shown, width=200)) as tell:
        events: list[tuple[Kind, str]] = [
            ("resumed", "mine"),
            ("elsewhere", "mine"),
            ("finished", "mine"),
            ("elsewhere", "theirs"),
            ("elsewhere", "theirs"),
            ("restarted", "theirs"),
        ]
        for kind, name in events:
            tell(Event(kind, 0, name, detail="from step 5"))
    lines = [
        line.partition(", after")[0].partition("post: ")[2] or line
        for line in shown.getvalue().splitlines()
    ]
    assert lines == [
        "goes on from step 5",
        "finished",
        "starts again: from step 5",
        "1 job finished by another sweep",
    ]
