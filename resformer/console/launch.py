"""Lines about a launch: what it will run, what it leaves out, what failed."""

from typing import TYPE_CHECKING

from rich.console import Console

from resformer.console.preview import grid, time_needed
from resformer.text import counted, printable

if TYPE_CHECKING:
    from resformer.sweep.launch import Launch
    from resformer.sweep.request import Request


def print_start(launch: "Launch", workers: int, console: Console) -> None:
    """Print the size of a launch that so many workers run, 0 if everything is finished."""
    members = f"{launch.study.path}: {counted(launch.members, 'member')}"
    if not workers:
        _print(console, f"{members}, all finished")
        return
    done = f" ({launch.finished} finished before)" if launch.finished else ""
    jobs = f"{counted(len(launch.unfinished), 'job')} to run"
    _print(console, f"{members}{done}, {jobs}, {counted(workers, 'worker')}")


def print_failed(launch: "Launch", console: Console) -> bool:
    """Print the jobs of a launch that have no result; returns whether there are any."""
    finished = launch.study.results.finished(launch.unfinished)
    failed = [job for job in launch.unfinished if job not in finished]
    reasons = launch.study.failures(failed)
    for job in failed:
        reason = reasons.get(job, "its worker went silent, or nobody began it")
        _print(console, f"failed: {launch.study.job(job)}: {printable(reason)}", style="red")
    return bool(failed)


def print_grid(launch: "Launch", workers: int, out: Console, err: Console) -> None:
    """Print what a launch would run, and how long so many workers take at most; 0 if everything is
    finished.
    """
    from resformer.sweep.estimate import seconds_at_most

    out.print(grid([job.to_json() for job in launch.request.jobs()], launch.request.swept))
    if not workers:
        print_start(launch, workers, out)
        return
    seconds = None
    try:
        seconds = seconds_at_most(launch.unfinished, workers)
    except (MemoryError, RuntimeError) as error:
        _print(err, f"the time could not be measured: {printable(str(error))}")
    _print(out, time_needed(launch.study.name, len(launch.unfinished), workers, seconds))


def print_notes(launch: "Launch", console: Console) -> None:
    """Print damage and missing recordings, then the notes and exclusions of the request."""
    for reason in launch.damaged.values():
        _print(console, f"damaged, runs again: {printable(reason)}", style="red")
    if launch.unrecorded:
        _print(
            console,
            f"{counted(launch.unrecorded, 'member')} planned before without these weights or "
            "probes (train.keep_weights, probe.every), for which none trains again: another "
            "--study would",
        )
    print_exclusions(launch.request, console)


def print_exclusions(request: "Request", console: Console) -> None:
    """Print the notes of a request, and the combinations of settings that make no sense."""
    for note in request.notes:
        _print(console, note)
    for row in request.excluded:
        settings = ", ".join(f"{key}={value}" for key, value in row["settings"].items())
        _print(console, f"left out: {settings} ({row['reason']})")


def _print(console: Console, line: str, style: str | None = None) -> None:
    console.print(line, style=style, markup=False, soft_wrap=True)
