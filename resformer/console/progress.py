"""What a person sees while a sweep runs: a live display in a terminal, plain lines elsewhere."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from resformer.keys import job_label
from resformer.text import clock, counted
from resformer.training.progress import Progress
from resformer.workers.events import Event

Json = dict[str, Any]


@final
@dataclass
class Tally:
    """What is known of a sweep so far, from the events of its engine."""

    planned: Mapping[str, Json]
    """The jobs this sweep runs, by id."""
    began: float = field(default_factory=time.monotonic)
    now: dict[int, tuple[str, Progress | None]] = field(default_factory=dict)
    """By worker: its job and the last progress of it."""
    counts: Counter[str] = field(default_factory=Counter)
    """Members by outcome."""
    settled: dict[str, str] = field(default_factory=dict)
    """Finished and failed jobs, with the reason of a failure."""
    elsewhere: set[str] = field(default_factory=set)
    """Jobs that were seen to be finished, and by none of our workers."""

    def take(self, event: Event) -> str | None:
        """Account for an event; returns a line worth printing, or None."""
        if event.job not in self.planned:
            return None
        members, label = len(self.planned[event.job]["members"]), job_label(self.planned[event.job])
        match event.kind:
            case "started" | "progress":
                self.now[event.worker] = (event.job, event.progress)
                return None
            case "resumed":
                return f"{label}: goes on {event.detail}"
            case "restarted":
                return f"{label}: starts again: {event.detail}"
            case "halved":
                return f"{label}: {event.detail}"
            case "elsewhere":
                if event.job not in self.settled:
                    self.settled[event.job] = ""
                    self.elsewhere.add(event.job)
                return None
            case "waiting" | "left" | "stuck":
                self.now.pop(event.worker, None)
                return None
            case "retried":
                self.now.pop(event.worker, None)
                return f"{label}: {event.detail}; tried again"
            case "failed":
                self.now.pop(event.worker, None)
                self.settled[event.job] = event.detail
                self.counts["failed"] += members
                return f"{self._count()} {label}: failed: {event.detail}"
        self.now.pop(event.worker, None)
        self.settled[event.job] = ""
        self.elsewhere.discard(
            event.job
        )  # a worker can see it sooner than the one that finished it is heard
        told = "finished"
        if event.progress is not None:
            found = {"solved": event.progress.solved, "diverged": event.progress.diverged}
            found["unsolved"] = members - sum(found.values())
            self.counts.update(found)
            told = ", ".join(
                f"{found[name]} {name}"
                for name in ("solved", "unsolved", "diverged")
                if found[name]
            )
        return f"{self._count()} {label}: {told}, after {time.monotonic() - self.began:.0f} s"

    def _count(self) -> str:
        return f"[{len(self.settled)}/{len(self.planned)}]"

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
def follow(
    planned: Mapping[str, Json], workers: Sequence[int], console: Console
) -> Iterator[Callable[[Event], None]]:
    """Yields a function that takes an engine's events and shows them."""
    tally = Tally(planned)
    yield from _following(tally, workers, console)
    if tally.elsewhere:
        told = f"{counted(len(tally.elsewhere), 'job')} finished by another sweep"
        console.print(told, markup=False, highlight=False)


def _following(
    tally: Tally, workers: Sequence[int], console: Console
) -> Iterator[Callable[[Event], None]]:
    if not console.is_terminal:

        def line(event: Event) -> None:
            text = tally.take(event)
            if text:
                console.print(text, markup=False, highlight=False, soft_wrap=True)

        yield line
        return
    with Live(
        get_renderable=lambda: _picture(tally, workers), console=console, refresh_per_second=4
    ) as live:

        def show(event: Event) -> None:
            text = tally.take(event)
            if text:
                live.console.print(text, markup=False, highlight=False)

        yield show


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
        job, progress = tally.now.get(worker, ("", None))
        if not job:
            table.add_row(str(worker), Text("idle", style="dim"))
        elif progress is None:
            table.add_row(str(worker), job_label(tally.planned[job]))
        else:
            table.add_row(
                str(worker),
                job_label(tally.planned[job]),
                f"{progress.step}/{progress.steps}",
                f"{progress.loss:.3f}",
                str(progress.members),
                str(progress.solved),
            )
    return Group(top, counts, table)
