"""Where a study stands while a sweep runs elsewhere: all of it is read from the study's folder, nobody is asked."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, final

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from resformer.errors import UserError, printable
from resformer.reporting.members import job_label, read
from resformer.reporting.progress import clock
from resformer.reporting.words import counted
from resformer.store import claims
from resformer.store.claims import Held
from resformer.store.study import Damaged, Study

Json = dict[str, Any]

_OUTCOMES = ("solved", "unsolved", "diverged")
_TIMED = 200
"""Finished jobs whose times are read, at most."""
_GO_ON = "run the same sweep again to go on"


@final
@dataclass(frozen=True)
class Status:
    """Where a study stands. Jobs are named by their id in `planned`; those without a word here are finished."""

    study: Study
    launched: datetime
    """The last launch, in local time."""
    planned: Mapping[str, Json]
    outcomes: Mapping[str, int]
    """Members of finished jobs by outcome."""
    running: Mapping[str, Held]
    waiting: Sequence[str]
    """Jobs that nobody holds; those of `lost` too."""
    lost: Mapping[str, tuple[Held, str]]
    """Jobs whose holder will not finish them, and what became of it."""
    failed: Mapping[str, str]
    """The reason by job."""
    damaged: Sequence[str]
    """What is not as it was written, a line each."""
    seconds_left: float | None
    """Until all is finished, if the workers of now go on like those before; None where nothing is known."""

    def states(self) -> dict[str, list[Json]]:
        """The jobs by state."""
        state = {**dict.fromkeys(self.running, "running"), **dict.fromkeys(self.waiting, "waiting")}
        state |= dict.fromkeys(self.failed, "failed")
        found: dict[str, list[Json]] = {name: [] for name in ("finished", "running", "waiting", "failed")}
        for job_id, job in self.planned.items():
            found[state.get(job_id, "finished")].append(job)
        return found


def look(study: Study) -> Status:
    """Where a study stands now."""
    planned, launches, findings = study.planned(), study.launches(), read([study])
    if not launches:
        raise UserError(f"study {study.name}: {'; '.join(study.damaged_launches())}; delete it or use another folder")
    # What was launched since the plan was read counts next time.
    failed = {row["job"]: row["reason"] for row in findings.problems["failed"] if row["job"] in planned}
    unfinished = [row["job"] for row in findings.problems["missing"] if row["job"] in planned]
    held = {job: found for job in unfinished if (found := claims.held(study.job(job))) is not None}
    # Looked for after the claims: whose holder has left by then is seen to be finished, not lost.
    unfinished = [job for job in unfinished if not study.has_result(job)]
    fates = {
        job: _fate(held[job], launches[-1].get("engine", {}).get("lease_seconds", math.inf))
        for job in unfinished
        if job in held
    }
    running = {job: held[job] for job, fate in fates.items() if not fate}
    left = {job: planned[job]["flops"] * (1 - _share_done(planned[job], running.get(job))) for job in unfinished}
    finished = [job for job in planned if job not in left and job not in failed]
    return Status(
        study=study,
        launched=datetime.fromisoformat(launches[-1]["started"]).astimezone(),
        planned=planned,
        outcomes={} if findings.members.empty else dict(findings.members["outcome"].value_counts()),
        running=running,
        waiting=[job for job in unfinished if job not in running],
        lost={job: (held[job], fate) for job, fate in fates.items() if fate},
        failed=failed,
        damaged=[row["reason"] for row in findings.problems["damaged"]],
        seconds_left=_seconds_left(study, {job: planned[job]["flops"] for job in finished}, left, len(running)),
    )


def _fate(held: Held, lease_seconds: float) -> str:
    """What became of a holder that does not go on; "" of one that does."""
    if held.holder is not None and held.holder.gone():
        return "its worker is gone"
    if held.silent_seconds > lease_seconds:
        return f"its worker has been silent for {clock(held.silent_seconds)}"
    return ""


def _share_done(job: Json, held: Held | None) -> float:
    steps: int = job["shape"]["train"]["steps"]
    return min(1.0, held.beats / steps) if held else 0.0


def _seconds_left(study: Study, finished: Mapping[str, float], left: Mapping[str, float], workers: int) -> float | None:
    """From the seconds that finished jobs took per FLOP of theirs; `finished` and `left` hold FLOPs by job.

    The FLOPs are those of whole budgets: what members saved that left early, the others are expected to save too.
    """
    seconds, flops = 0.0, 0.0
    for job in list(finished)[:: len(finished) // _TIMED + 1]:
        try:
            seconds += study.timing(job)["seconds"]
        except Damaged:
            continue
        flops += finished[job]
    if not flops or not left or not workers:
        return None
    longest = max(left.values())
    return seconds / flops * max(longest, sum(left.values()) / workers)


def picture(status: Status) -> RenderableType:
    """What a person sees of it, in 80 columns."""
    parts: list[RenderableType] = [
        _line(f"{status.study.name} ({status.study.path}): launched {status.launched:%Y-%m-%d %H:%M:%S}"),
        _states(status),
    ]
    if status.outcomes:
        found = ", ".join(f"{status.outcomes.get(name, 0):,} {name}" for name in _OUTCOMES)
        parts.append(_line(f"members that have finished: {found}"))
    if status.running:
        parts.append(_running(status))
    for job, reason in status.failed.items():
        parts += [_line(f"failed: {job_label(status.planned[job])}: {reason}"), _folder(status, job)]
    for job, (held, fate) in status.lost.items():
        what_next = "another one takes it over" if status.running else _GO_ON
        label = f"{job_label(status.planned[job])}, attempt {held.attempt}, {_holder(held)}"
        parts += [_line(f"lost: {label}: {fate}; {what_next}"), _folder(status, job)]
    parts += [_line(f"damaged: {reason}") for reason in status.damaged]
    return Group(*parts, *(_line(text) for text in _end(status)))


def _states(status: Status) -> Table:
    table = _table(["state"], ["jobs", "members"])
    for state, jobs in status.states().items():
        table.add_row(state, f"{len(jobs):,}", f"{sum(len(job['members']) for job in jobs):,}")
    return table


def _running(status: Status) -> Table:
    table = _table(["running", "held by"], ["members", "attempt", "step"])
    for job_id, held in status.running.items():
        job = status.planned[job_id]
        steps = job["shape"]["train"]["steps"]
        step = f"{min(held.beats, steps)}/{steps}"  # looks into members count as well
        told = (job_label(job), _holder(held), str(len(job["members"])), str(held.attempt), step)
        table.add_row(*(_line(text) for text in told))
    return table


def _table(words: Sequence[str], numbers: Sequence[str]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in words:
        table.add_column(heading, overflow="fold")
    for heading in numbers:
        table.add_column(heading, justify="right")
    return table


def _end(status: Status) -> list[str]:
    """How long it takes; nothing if all is finished."""
    if not status.running:
        return [f"not running; {_GO_ON}"] if status.waiting else []
    if status.seconds_left is None:
        return ["time left: known once a job has finished"]
    return [f"about {clock(status.seconds_left)} left with {counted(len(status.running), 'worker')} at work"]


def _holder(held: Held) -> str:
    return "a claim that cannot be read" if held.holder is None else f"{held.holder.host}, pid {held.holder.pid}"


def _folder(status: Status, job: str) -> Text:
    return _line(f"  {status.study.job(job)}")


def _line(text: str) -> Text:
    """Names are printed, not obeyed."""
    return Text(printable(text), overflow="fold")
