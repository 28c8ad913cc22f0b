"""Status of a study whose sweep runs elsewhere, read from its folder alone."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import final

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from resformer.errors import UserError
from resformer.keys import Json
from resformer.results.other_code import other_code
from resformer.results.problems import OtherCode
from resformer.store import claims
from resformer.store.checks import Damaged
from resformer.store.claims import Held
from resformer.store.done import Done
from resformer.store.plan import superseded
from resformer.store.shapes import job_label
from resformer.store.study import Study
from resformer.text import clock, counted, printable
from resformer.workers.event_log import why_stuck

_OUTCOMES = ("solved", "unsolved", "diverged")
_GO_ON = "run the same sweep again to go on"


@final
@dataclass(frozen=True)
class Status:
    """State of a study's jobs, by id; those that no field but `planned` names are finished."""

    study: Study
    launched: datetime
    """The last launch, in local time."""
    planned: Mapping[str, Json]
    outcomes: Mapping[str, int]
    """Members of finished jobs by outcome."""
    running: Mapping[str, Held]
    waiting: Sequence[str]
    """Jobs that no worker holds; those of `lost` too."""
    lost: Mapping[str, tuple[Held, str]]
    """Jobs whose holder will not finish them, and what became of it."""
    failed: Mapping[str, str]
    """The reason by job."""
    damaged: Sequence[str]
    """Descriptions of data that are not as they were written, a line each."""
    other_code: Sequence[OtherCode]
    """Finished members that no field counts, as later launches used other code."""
    stuck: str
    """Reason why a worker of the last launch could not go on; "" if one runs or none is known."""
    seconds_left: float | None
    """Seconds until all jobs are finished at the pace so far; None if unknown."""

    def states(self) -> dict[str, list[Json]]:
        """The jobs by state."""
        others: dict[str, Iterable[str]] = {
            "running": self.running,
            "waiting": self.waiting,
            "failed": self.failed,
        }
        unfinished = set[str]().union(*others.values())
        finished = [job for job in self.planned if job not in unfinished]
        return {
            state: [self.planned[job] for job in jobs]
            for state, jobs in {"finished": finished, **others}.items()
        }


def read_status(study: Study) -> Status:
    """Status of a study by its plan, its lists of finished jobs and the other jobs' folders.

    UserError if the study has no readable launch.
    """
    plan, launches = study.plan(), study.launches()
    damaged = [*plan.damaged]
    if not launches:
        raise UserError(
            f"study {study.name}: {'; '.join(study.damaged_launches())}; "
            "resformer sweep --study NAME begins a new one beside it"
        )
    outdated = plan.outdated(launches)
    left_out = superseded(plan.jobs) | outdated
    planned = {job: planned for job, planned in plan.jobs.items() if job not in left_out}
    finished = {job: line for job, line in Done(study.path).news().items() if job in planned}
    begun = [job for job in planned.keys() & study.results.begun() if job not in finished]
    failed = study.failures(begun)
    held = {job: holder for job in begun if (holder := claims.held(study.job(job)))}
    # Looked for after the claims: whose holder has left by then is seen to be finished, not lost.
    for job in begun:
        if study.results.has(job):
            finished[job], reason = _unlisted(study, planned[job])
            damaged += [reason] if reason else []
    damaged += [f"{path}: no plan of this study names it" for path in study.orphans(plan.jobs)]
    unfinished = [job for job in planned if job not in finished and job not in failed]
    lease_seconds = launches[-1].get("engine", {}).get("lease_seconds", math.inf)
    fates = {job: _fate(held[job], lease_seconds) for job in unfinished if job in held}
    running = {job: held[job] for job, fate in fates.items() if not fate}
    left = {
        job: planned[job]["flops"] * (1 - _share_done(planned[job], running.get(job)))
        for job in unfinished
    }
    launched = datetime.fromisoformat(launches[-1]["started"])
    return Status(
        study=study,
        launched=_local(launched),
        planned=planned,
        outcomes=_outcomes(finished.values()),
        running=running,
        waiting=[job for job in unfinished if job not in running],
        lost={job: (held[job], fate) for job, fate in fates.items() if fate},
        failed={job: reason for job, reason in failed.items() if job not in finished},
        damaged=damaged,
        other_code=other_code(study, plan, outdated, launches),
        stuck=why_stuck(study, launches[-1]["launch"]) if unfinished and not running else "",
        seconds_left=_seconds_left(
            [(_seconds(line), planned[job]["flops"]) for job, line in finished.items()],
            (
                len(running) * _seconds_since(launched),
                sum(planned[job]["flops"] - left[job] for job in running),
            ),
            left,
            len(running),
        ),
    )


def _unlisted(study: Study, planned: Json) -> tuple[Json, str]:
    """Entry of a finished job that no list holds, and ""; or {} and how its result is damaged."""
    try:
        outcomes = Counter(study.results.runs(planned)["outcome"].to_pylist())
        return {"outcomes": outcomes, "seconds": study.results.timing(planned["id"])["seconds"]}, ""
    except Damaged as damage:
        return {}, str(damage)


def _local(moment: datetime) -> datetime:
    """The moment in this machine's time zone; in UTC if C's offset is none that Python takes."""
    try:
        return moment.astimezone()
    except ValueError:
        return moment


def _outcomes(lines: Iterable[Json]) -> Counter[str]:
    """Count members by outcome in the entries of lists; malformed entries count for nothing."""
    counts: Counter[str] = Counter()
    for line in lines:
        outcomes = line.get("outcomes")
        for name, count in outcomes.items() if isinstance(outcomes, dict) else ():
            counts[name] += count if type(count) is int else 0
    return counts


def _seconds(line: Json) -> float:
    seconds = line.get("seconds")
    return float(seconds) if isinstance(seconds, int | float) and 0 < seconds < math.inf else 0.0


def _fate(held: Held, lease_seconds: float) -> str:
    """Reason why a holder does not go on; "" if it does."""
    if held.holder is not None and held.holder.gone():
        return "its worker is gone"
    if held.silent_seconds > lease_seconds:
        return f"its worker has been silent for {clock(held.silent_seconds)}"
    return ""


def _share_done(job: Json, held: Held | None) -> float:
    steps: int = job["shape"]["train"]["steps"]
    return min(1.0, held.beats / steps) if held else 0.0


def _seconds_since(moment: datetime) -> float:
    """Seconds since a moment; 0 for one in the future, by another machine's clock."""
    return max(0.0, (datetime.now(UTC) - moment).total_seconds())


def _seconds_left(
    finished: Iterable[tuple[float, float]],
    begun: tuple[float, float],
    left: Mapping[str, float],
    workers: int,
) -> float | None:
    """Seconds left, from the seconds and FLOPs of finished jobs, or before there are any of those
    that run since the launch; `left` is FLOPs by job.

    The FLOPs are those of whole budgets: what members saved that left early, the others are
    expected to save too.
    """
    if not left or not workers:
        return None
    timed = [(seconds, flops) for seconds, flops in finished if seconds] or [begun]
    flops = sum(flops for _, flops in timed)
    if not flops:
        return None
    longest = max(left.values())
    return sum(seconds for seconds, _ in timed) / flops * max(longest, sum(left.values()) / workers)


def picture(status: Status) -> RenderableType:
    """Layout of a status for a terminal of 80 columns."""
    launched = f"launched {status.launched:%Y-%m-%d %H:%M:%S}"
    parts: list[RenderableType] = [
        _line(f"{status.study.name} ({status.study.path}): {launched}"),
        _states(status),
    ]
    if status.outcomes:
        counts = ", ".join(f"{status.outcomes.get(name, 0):,} {name}" for name in _OUTCOMES)
        parts.append(_line(f"members that have finished: {counts}"))
    if status.running:
        parts.append(_running(status))
    return Group(*parts, *map(_line, [*_troubles(status), *_end(status)]))


def _troubles(status: Status) -> Iterator[str]:
    """Lines on failed and lost jobs, each with its folder, on damage and on what is left out."""
    for job, reason in status.failed.items():
        yield f"failed: {job_label(status.planned[job])}: {reason}"
        yield f"  {status.study.job(job)}"
    what_next = "another one takes it over" if status.running else _GO_ON
    for job, (held, fate) in status.lost.items():
        label = f"{job_label(status.planned[job])}, attempt {held.attempt}, {_holder(held)}"
        yield f"lost: {label}: {fate}; {what_next}"
        yield f"  {status.study.job(job)}"
    yield from (f"damaged: {reason}" for reason in status.damaged)
    yield from (f"left out: {part.line}" for part in status.other_code)


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
        cells = (job_label(job), _holder(held), str(len(job["members"])), str(held.attempt), step)
        table.add_row(*(_line(text) for text in cells))
    return table


def _table(words: Sequence[str], numbers: Sequence[str]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in words:
        table.add_column(heading, overflow="fold")
    for heading in numbers:
        table.add_column(heading, justify="right")
    return table


def _end(status: Status) -> list[str]:
    """Lines on the time left, or on how to go on; none if all jobs are finished."""
    if not status.running:
        why = f": {status.stuck}" if status.stuck else ""
        return [f"not running{why}; {_GO_ON}"] if status.waiting else []
    if status.seconds_left is None:
        return ["time left: known once a worker has taken some steps"]
    workers = counted(len(status.running), "worker")
    return [f"about {clock(status.seconds_left)} left with {workers} at work"]


def _holder(held: Held) -> str:
    who = held.holder
    return f"{who.host}, pid {who.pid}" if who else "a claim that cannot be read"


def _line(text: str) -> Text:
    """Line whose markup and control characters are printed, not interpreted."""
    return Text(printable(text), overflow="fold")
