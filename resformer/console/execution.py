"""Execution of a launch from a terminal: its start, its display, its failures."""

from collections.abc import Sequence

from rich.console import Console

from resformer.console.curve import follow_job
from resformer.console.preview import grid
from resformer.console.progress import follow
from resformer.errors import UserError
from resformer.keys import exclusion_lines
from resformer.numerics.process import configure_worker
from resformer.store import claims
from resformer.sweep.estimate import is_slow, seconds_at_most
from resformer.sweep.launch import Launch
from resformer.sweep.request import Request
from resformer.text import clock, counted, printable
from resformer.workers.assignment import Assignment
from resformer.workers.signals import Interrupts
from resformer.workers.worker import work


def train_here(
    launch: Launch, command: list[str], interrupts: Interrupts, console: Console
) -> bool:
    """Train the one job of a launch in this process; returns whether it failed."""
    print_notes(launch, console)
    assignment = _started(launch, command)
    if assignment is None:
        return False
    with interrupts.deferred(), follow_job(console) as emit:
        configure_worker(launch.request.engine.memory_gib)
        work(assignment, worker=0, workers=1, emit=emit, stop=interrupts.stop)
    return _print_failed(launch, console)


def run(
    launch: Launch,
    command: list[str],
    interrupts: Interrupts,
    console: Console,
    about: Sequence[str] | None = None,
) -> bool:
    """Have the engine run the jobs of a launch, whose notes are printed, and these lines if there
    are any jobs; None prints no notes. Returns whether a job failed.
    """
    workers = _print_start(launch, about, console)
    assignment = _started(launch, command)
    if assignment is None:
        return False
    with interrupts.deferred(), follow(launch.unfinished, range(workers), console) as emit:
        launch.request.engine.run(assignment, workers=workers, emit=emit, stop=interrupts.stop)
    return _print_failed(launch, console)


def detach(
    launch: Launch, command: list[str], console: Console, about: Sequence[str], *, more: bool
) -> None:
    """Have a cluster run the jobs of a launch without this process; lines as in `run`, and one if
    more rounds may follow.
    """
    engine = launch.request.engine
    where = engine.detached_where(launch.study.path)
    workers = _print_start(launch, about, console)
    assignment = _started(launch, command)
    if assignment is None:
        return
    ending = engine.detach(assignment, workers)
    _print(console, f"left to {where}; resformer status {launch.study.name}")
    _print(console, f"to end it: {ending}")
    if more:
        _print(console, "this round only: once it has run, the same command goes on")


def print_grid(launch: Launch, out: Console, err: Console, about: Sequence[str] = ()) -> None:
    """Print what a launch would run, how long that takes at most, lines as in `run`, and what would
    be submitted to a scheduler.
    """
    workers = launch.workers()
    out.print(grid([job.to_json() for job in launch.request.jobs()], launch.request.swept))
    if workers:
        if is_slow(launch.unfinished):
            _print(err, "timing a few steps, which takes a while with so many parameters")
        try:
            with err.status("timing some steps"):
                seconds = seconds_at_most(launch.unfinished, workers)
            time = f"at most about {clock(seconds)}"
        except (MemoryError, RuntimeError) as error:
            _print(err, f"the time could not be measured: {printable(str(error))}")
            time = "in a time that could not be measured"
        jobs = counted(len(launch.unfinished), "job")
        _print(out, f"{launch.study.name}: {jobs} to run, {time} with {counted(workers, 'worker')}")
        for line in about:
            _print(out, line)
        if script := launch.request.engine.script(launch.study.path, workers):
            out.out(f"\n{script}")
        if reason := launch.request.engine.unavailable(workers):
            _print(err, f"would not run from here: {reason}")
    else:
        _print(out, _size(launch, workers))
    print_notes(launch, err)


def print_notes(launch: Launch, console: Console) -> None:
    """Print damage, members that go on and missing recordings, then the notes and exclusions of the
    request.
    """
    for reason in launch.damaged.values():
        _print(console, f"damaged, runs again: {printable(reason)}", style="red")
    if launch.retrained:
        _print(
            console,
            f"{counted(launch.retrained, 'member')} planned before with other code: trained anew "
            "beside the old, which reports leave out",
        )
    if launch.continued:
        _print(
            console,
            f"{counted(launch.continued, 'member')} trained before with fewer train.steps: they go "
            "on from there",
        )
    if launch.unrecorded:
        _print(
            console,
            f"{counted(launch.unrecorded, 'member')} planned before without these weights or "
            "probes (train.keep_weights, probe.every), for which none trains again: another "
            "--study would",
        )
    print_remarks(launch.request, console)


def print_round(number: int, launch: Launch, console: Console) -> None:
    """Print what a further round adds."""
    members = [member for job in launch.new for member in job.members]
    values = (
        ("depth", {job.shape.model.depth for job in launch.new}),
        ("learning rate", {member.lr for member in members}),
        ("seed", {member.seed for member in members}),
    )
    parts = ", ".join(
        f"{noun}{'s' * (len(of_noun) > 1)} {' '.join(f'{value:g}' for value in sorted(of_noun))}"
        for noun, of_noun in values
    )
    _print(
        console,
        f"round {number}, which the results call for: {counted(len(members), 'new member')}, "
        f"{parts}",
    )


def print_remarks(request: Request, console: Console) -> None:
    """Print the notes of a request, which are on training, and its exclusions."""
    for note in request.notes:
        _print(console, note)
    print_exclusions(request, console)


def print_exclusions(request: Request, console: Console) -> None:
    """Print the combinations of settings that make no sense."""
    for line in exclusion_lines((row["settings"], row["reason"]) for row in request.excluded):
        _print(console, line)


def _started(launch: Launch, command: list[str]) -> Assignment | None:
    """Record a launch that has jobs to run, or whose code was in use before that of the last one;
    None if there are no jobs.
    """
    if not launch.unfinished and not launch.returns:
        return None
    assignment = launch.start(command)
    return assignment if launch.unfinished else None


def _print_start(launch: Launch, about: Sequence[str] | None, console: Console) -> int:
    """Print what a launch will run; returns the number of workers, 0 if everything is finished.

    Nothing is printed of what is refused for the engine.
    """
    workers = launch.workers()
    if workers and (reason := launch.request.engine.unavailable(workers)):
        raise UserError(reason)
    if about is not None:
        print_notes(launch, console)
    _print(console, _size(launch, workers))
    for line in about if about and workers else ():
        _print(console, line)
    return workers


def _size(launch: Launch, workers: int) -> str:
    """The size of a launch that so many workers run, 0 if everything is finished."""
    members = f"{printable(str(launch.study.path))}: {counted(launch.members, 'member')}"
    if not workers:
        return f"{members}, all finished"
    done = f" ({launch.finished} finished before)" if launch.finished else ""
    jobs = f"{counted(len(launch.unfinished), 'job')} to run"
    return f"{members}{done}, {jobs}, {counted(workers, 'worker')}"


def _print_failed(launch: Launch, console: Console) -> bool:
    """Print the jobs of a launch that have no result; returns whether there are any."""
    finished = launch.study.results.finished(launch.unfinished)
    failed = [job for job in launch.unfinished if job not in finished]
    reasons = launch.study.failures(failed)
    for job in failed:
        reason = reasons.get(job, "its worker went silent, or nobody began it")
        folder = launch.study.job(job)
        trace = claims.last_trace(folder)
        where = f" (traceback: {trace.relative_to(folder)})" if trace else ""
        _print(console, f"failed: {printable(f'{folder}: {reason}')}{where}", style="red")
    return bool(failed)


def _print(console: Console, line: str, style: str | None = None) -> None:
    console.print(line, style=style, markup=False, soft_wrap=True)
