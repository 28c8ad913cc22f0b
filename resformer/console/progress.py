"""The display of a running sweep: live in a terminal, plain lines elsewhere."""

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from resformer.console.events import event_line
from resformer.keys import Json
from resformer.store.shapes import job_label
from resformer.text import clock, counted
from resformer.training.progress import Progress
from resformer.workers.events import Emit, Event


@final
@dataclass
class Tally:
    """State of a sweep, from the events of its engine."""

    planned: Mapping[str, Json]
    """The jobs this sweep runs, by id."""
    began: float = field(default_factory=time.monotonic)
    now: dict[int, tuple[str, Progress | None]] = field(default_factory=dict)
    """By worker: its job and the last progress of it."""
    counts: Counter[str] = field(default_factory=Counter)
    """Members by outcome."""
    settled: set[str] = field(default_factory=set)
    """Finished and failed jobs."""
    elsewhere: set[str] = field(default_factory=set)
    """Jobs that no worker of this sweep finished."""

    def account(self, event: Event) -> str | None:
        """Account for an event; returns a line worth printing, or None."""
        if event.job not in self.planned:
            return None
        line = event_line(event, job_label(self.planned[event.job]))
        match event.kind:
            case "started" | "progress":
                self.now[event.worker] = (event.job, event.progress)
            case "elsewhere" if event.job not in self.settled:
                self.settled.add(event.job)
                self.elsewhere.add(event.job)
            case "waiting" | "left" | "stuck" | "retried":
                self.now.pop(event.worker, None)
            case "failed" | "finished":
                self.now.pop(event.worker, None)
                self.settled.add(event.job)
                if event.kind == "finished":
                    line = self._finished(event)
                else:
                    self.counts["failed"] += len(self.planned[event.job]["members"])
                return f"[{len(self.settled)}/{len(self.planned)}] {line}"
        return line

    def _finished(self, event: Event) -> str:
        job = self.planned[event.job]
        # A worker can see that it is finished before the one that finished it reports.
        self.elsewhere.discard(event.job)
        result = "finished"
        if event.progress is not None:
            solved, diverged = event.progress.solved, event.progress.diverged
            unsolved = len(job["members"]) - solved - diverged
            outcomes = {"solved": solved, "unsolved": unsolved, "diverged": diverged}
            self.counts.update(outcomes)
            result = ", ".join(f"{count} {name}" for name, count in outcomes.items() if count)
        return f"{job_label(job)}: {result}, after {time.monotonic() - self.began:.0f} s"

    def share_done(self) -> float:
        """Part of the work that is behind: settled jobs in full, running ones by their step."""
        weight: dict[str, float] = {job: planned["flops"] for job, planned in self.planned.items()}
        done = sum(weight[job] for job in self.settled)
        done += sum(
            weight[job] * progress.step / progress.steps
            for job, progress in self.now.values()
            if progress
        )
        return float(min(1.0, done / max(1.0, sum(weight.values()))))

    def seconds_left(self) -> float | None:
        """Time left if the rest goes like what is behind."""
        share, spent = self.share_done(), time.monotonic() - self.began
        return spent * (1 - share) / share if share > 0.01 else None


@contextmanager
def follow(planned: Mapping[str, Json], workers: Sequence[int], console: Console) -> Iterator[Emit]:
    """A receiver of an engine's events, which shows them until the context ends."""
    tally = Tally(planned)
    live = Live(
        get_renderable=lambda: _picture(tally, workers), console=console, refresh_per_second=4
    )

    def show(event: Event) -> None:
        if line := tally.account(event):
            console.print(line, markup=False, highlight=False, soft_wrap=not console.is_terminal)

    with live if console.is_terminal else nullcontext():
        yield show
    if tally.elsewhere:
        line = f"{counted(len(tally.elsewhere), 'job')} finished by another sweep"
        console.print(line, markup=False, highlight=False)


def _picture(tally: Tally, workers: Sequence[int]) -> RenderableType:
    share, left = tally.share_done(), tally.seconds_left()
    top = Table.grid(padding=(0, 1))
    top.add_row(
        ProgressBar(total=1.0, completed=share, width=30),
        f"{100 * share:3.0f} %",
        f"{len(tally.settled)}/{len(tally.planned)} jobs",
        "" if left is None else f"about {clock(left)} left",
    )
    names = ("solved", "unsolved", "diverged", "failed")
    counts = Text("members: " + "  ".join(f"{tally.counts[name]} {name}" for name in names))
    table = Table(box=None, padding=(0, 1), show_edge=False)
    for heading in ("worker", "job"):
        table.add_column(heading)
    for heading in ("step", "loss", "training", "solved"):
        table.add_column(heading, justify="right")
    for worker in workers:
        job, now = tally.now.get(worker, ("", None))
        label = job_label(tally.planned[job]) if job else Text("idle", style="dim")
        numbers = (
            (f"{now.step}/{now.steps}", f"{now.loss:.3f}", str(now.members), str(now.solved))
            if now
            else ()
        )
        table.add_row(str(worker), label, *numbers)
    return Group(top, counts, table)
