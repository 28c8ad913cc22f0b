"""The command line: parse, call, print. torch and Hydra are imported inside the commands that need
them.
"""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn

import typer

from resformer import __version__
from resformer.errors import Stuck, UserError
from resformer.text import printable
from resformer.workers.signals import Stopped, Stopping

if TYPE_CHECKING:
    from rich.console import Console

    from resformer.reporting.layout import Layout
    from resformer.reporting.schema import Report
    from resformer.store.study import Study
    from resformer.sweep.launch import Launch
    from resformer.sweep.request import Request
    from resformer.workers.events import Event

_MANY_JOBS = 10_000
"""From so many on their folders are a burden to a file system."""

app = typer.Typer(
    help="How deep can a transformer train, how fast, and why does it stop: with and without "
    "residual connections.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _complete(context: typer.Context, incomplete: str) -> list[str]:
    from resformer.complete import complete

    return list(complete(context.params.get("overrides") or [], incomplete))


Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="KEY=VALUE",
        help="Settings to replace; a,b,c and range(0,5) are swept over.",
        autocompletion=_complete,
    ),
]
Results = Annotated[Path, typer.Option("--results", help="The folder that holds the studies.")]


def _print_version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version and leave.", is_eager=True, callback=_print_version
        ),
    ] = False,
) -> None:
    pass


@app.command()
def train(overrides: Overrides = None, results: Results = Path("results")) -> None:
    """Train one job, with its loss curve live, and print its outcome (study `train`)."""
    with _answering() as stopping:
        from resformer import config
        from resformer.store.study import find
        from resformer.sweep import launch

        plan = launch.plan(config.single(overrides or []), find(results, "train"))
        _print_notes(plan, _consoles()[1])
        failed = _train_here(plan, stopping) if plan.wanted else False
        if not failed:
            _print_outcomes(plan)
    _leave(1 if failed else 0)


@app.command()
def sweep(
    overrides: Overrides = None,
    study: Annotated[
        str | None, typer.Option(help="A study file, or the name of a new study.")
    ] = None,
    engine: Annotated[str | None, typer.Option(help="Who runs the workers: engine=NAME.")] = None,
    workers: Annotated[int | None, typer.Option(help="How many: engine.workers=N.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the grid and what it costs; run nothing.")
    ] = False,
    detach: Annotated[
        bool, typer.Option("--detach", help="Leave it running on a cluster; see status.")
    ] = False,
    results: Results = Path("results"),
) -> None:
    """Run a study, all of it or what is missing of it, and print its report. Alone: the quick
    study.
    """
    with _answering() as stopping:
        from resformer import config
        from resformer.store.study import find
        from resformer.sweep import launch

        asked = [*(overrides or [])]
        asked += [f"engine={engine}"] if engine is not None else []
        asked += [f"engine.workers={workers}"] if workers is not None else []
        request = config.request(study, asked)
        plan = launch.plan(request, find(results, request.study))
        if dry_run:
            _print_grid(plan)
            return
        if detach:
            _detach(plan)
            return
        failed = _sweep(plan, stopping)
        try:
            from resformer.reporting.analysis.summary import summarise
            from resformer.reporting.layout import layout
            from resformer.results.members import read

            summary = summarise(read([plan.study]))
            _print_report(summary, layout(summary), "table")
            if (many := plan.study.in_folders(plan.jobs)) >= _MANY_JOBS:
                gather = f"resformer gather {plan.study.name} makes it one file"
                print(f"resformer: {many:,} jobs have a folder each; {gather}", file=sys.stderr)
        except UserError as nothing:
            print(f"resformer: {printable(str(nothing))}", file=sys.stderr)
            failed = True
    _leave(1 if failed else 0)


@app.command()
def report(
    studies: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[STUDY]...",
            help="Which study, or several side by side; else the one launched last.",
        ),
    ] = None,
    form: Annotated[
        Literal["table", "markdown", "csv", "json", "latex"],
        typer.Option("--format", help="How it is printed."),
    ] = "table",
    where: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="Only members with this setting; a,b for either."),
    ] = None,
    rows: Annotated[
        str | None, typer.Option(metavar="KEY", help="What runs down the tables, else depth.")
    ] = None,
    columns: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY", help="What runs across; the rest makes tables of its own."),
    ] = None,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write it as a page of its own.")
    ] = None,
    figures: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Also draw the figures there.")
    ] = None,
    results: Results = Path("results"),
) -> None:
    """Print what a study found."""
    # Nothing is thrown away until the end, and with 100,000 runs the search for it takes a second.
    gc.disable()
    with _answering():
        from resformer.reporting.analysis.summary import summarise
        from resformer.reporting.layout import layout
        from resformer.results.members import parse_conditions, read

        chosen = [_chosen(results, name) for name in dict.fromkeys(studies or [])] or [
            _chosen(results, None)
        ]
        found = read(chosen).where(parse_conditions(where or []))
        summary = summarise(found)
        asked = layout(
            summary, rows, [name for names in columns or [] for name in names.split(",")]
        )
        written: list[Path] = []
        if html is not None:
            from resformer.reporting.views.page import write

            write(html, found, summary, asked, _command())
            written.append(html)
        if figures is not None:
            from resformer.reporting.figures import draw

            written += draw(found, summary, asked, figures)
        _print_report(summary, asked, form)
        for path in written:
            print(path, file=sys.stderr)


@app.command()
def export(
    study: Annotated[str, typer.Argument(help="Which study.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that is new or empty.")],
    form: Annotated[
        Literal["parquet", "csv", "tensorboard"],
        typer.Option("--to", help="What is written there."),
    ],
    results: Results = Path("results"),
) -> None:
    """Write a study's results as tables, a row per member and a row per step, or as runs of
    TensorBoard.
    """
    with _answering():
        from resformer.results import export
        from resformer.results.members import read
        from resformer.store.study import named

        exported = export.export(read([named(results, study)]), folder, form)
        for line in exported.left_out:
            print(f"left out: {printable(line)}", file=sys.stderr)
        for path in exported.paths:
            print(path, file=sys.stderr)


@app.command()
def gather(
    study: Annotated[str, typer.Argument(help="Which study.")],
    results: Results = Path("results"),
) -> None:
    """Put the results of a study's finished jobs into one file, where each has a folder of files so
    far.
    """
    with _answering():
        from resformer.results.members import read
        from resformer.store.packed import gather
        from resformer.store.study import named

        chosen = named(results, study)
        found = gather.gather(chosen)
        read([chosen])  # which keeps what a report needs
        for line in found.left_out:
            print(f"left out: {printable(line)}", file=sys.stderr)
        print(f"{found.path}: {found.jobs:,} jobs, {found.new:,} of them new", file=sys.stderr)


@app.command()
def status(
    study: Annotated[
        str | None, typer.Argument(help="Which study; without it the one launched last.")
    ] = None,
    results: Results = Path("results"),
) -> None:
    """Print where a study stands that runs elsewhere: its jobs by state, its failures, the time to
    finish.
    """
    gc.disable()  # as in `report`
    with _answering():
        from resformer.console.status import look, picture

        _consoles()[0].print(picture(look(_chosen(results, study))))


@app.command()
def probe(
    overrides: Overrides = None,
    study: Annotated[str, typer.Option(help="A study file: the grid to look at.")] = "probe",
    to: Annotated[
        Path | None,
        typer.Option(
            "--to", metavar="DIR", help="Where numbers and figures go, else RESULTS/probes/STUDY."
        ),
    ] = None,
    results: Results = Path("results"),
) -> None:
    """Look into stacks before their first step, layer by layer: what gets through, and where it
    stops.
    """
    with _answering():
        from resformer import config
        from resformer.probes import measure
        from resformer.probes.table import table
        from resformer.reporting.analysis.probes import probed
        from resformer.reporting.figures import draw_layers
        from resformer.reporting.views import probes
        from resformer.store import folder as results_folder

        request = config.request(study, overrides or [])
        folder = to if to is not None else results_folder.probes(results, study)
        out, err = _consoles()
        _print_exclusions(request, err)
        with err.status("looking into stacks") as status:
            count = len(request.shapes)
            numbers = table(
                request.shapes,
                lambda done: status.update(f"looking into stacks: {done} of {count}"),
            )
        found = probed(numbers, request.swept, list(measure.measures()))
        path = probes.write(numbers, folder)
        out.print(probes.picture(found))
        drawn = draw_layers(found, measure.measures(), folder)
        print(f"{path}, and beside it {len(drawn) // 2} figures as .svg and .png", file=sys.stderr)


@app.command()
def show(overrides: Overrides = None) -> None:
    """Print the settings as they resolve, and the grid with its parameters, memory and FLOPs."""
    with _answering():
        from resformer import config
        from resformer.console.preview import grid, shared_settings

        request = config.request(None, overrides or [])
        found = [job.to_json() for job in request.jobs()]
        out, err = _consoles()
        for line in shared_settings(found):
            print(line)
        out.print(grid(found, request.swept))
        _print_exclusions(request, err)


def main() -> None:
    """The entry point."""
    app()


@contextmanager
def _answering() -> Iterator[Stopping]:
    """A request that is wrong is one line and exit code 2; a stop is 130 or 143 and says how to go
    on.
    """
    stopping = Stopping()
    try:
        with stopping.handled():
            yield stopping
    except UserError as error:
        print(f"resformer: {printable(str(error))}", file=sys.stderr)
        _leave(2)
    except Stuck as error:
        print(
            f"resformer: {printable(str(error))}; no result is lost: see to it and go on",
            file=sys.stderr,
        )
        _leave(1)
    except KeyboardInterrupt as stop:
        print(
            "resformer: stopped; the same command goes on where this one left off", file=sys.stderr
        )
        _leave(stop.code if isinstance(stop, Stopped) else 130)


def _leave(code: int) -> NoReturn:
    raise typer.Exit(code)


def _consoles() -> "tuple[Console, Console]":
    """For data, and for progress and notes."""
    from rich.console import Console

    return Console(highlight=False), Console(stderr=True, highlight=False)


def _chosen(results: Path, name: str | None) -> "Study":
    """The study that was named, or the one launched last, `train` excepted."""
    from resformer.store.study import existing, named

    if name is not None:
        return named(results, name)
    last = next((study for study in existing(results) if study.name != "train"), None)
    if last is None:
        raise UserError(
            f"--results {results}: there is no study to report; resformer sweep makes one"
        )
    return last


def _sweep(plan: "Launch", stopping: Stopping) -> bool:
    """Run what a plan wants; returns whether a job failed."""
    from resformer.console.progress import follow

    _, err = _consoles()
    workers = _begin(plan)
    if not workers:
        return False
    assignment = plan.start(_command())
    with stopping.gently(), follow(plan.wanted, range(workers), err) as show_event:
        plan.request.engine.run(assignment, workers, show_event, stopping.asked)
    return _tell_failed(plan)


def _detach(plan: "Launch") -> None:
    """Have a cluster run what a plan wants."""
    _, err = _consoles()
    engine = plan.request.engine
    where = engine.left_to(plan.study.path)
    if workers := _begin(plan):
        ending = engine.leave(plan.start(_command()), workers)
        err.print(
            f"left to {where}; resformer status {plan.study.name}", markup=False, soft_wrap=True
        )
        err.print(f"to end it: {ending}", markup=False, soft_wrap=True)


def _begin(plan: "Launch") -> int:
    """Say what will run; returns the number of workers, 0 if everything is finished."""
    from resformer.text import counted

    _, err = _consoles()
    _print_notes(plan, err)
    if not plan.wanted:
        _print_all_finished(plan, err)
        return 0
    workers = plan.request.engine.count(list(plan.wanted), plan.request.device)
    done = f" ({plan.finished} finished before)" if plan.finished else ""
    err.print(
        f"{plan.study.path}: {counted(plan.members, 'member')}{done}, "
        f"{counted(len(plan.wanted), 'job')} to run, "
        f"{counted(workers, 'worker')}",
        markup=False,
        soft_wrap=True,
    )
    return workers


def _print_all_finished(plan: "Launch", console: "Console") -> None:
    from resformer.text import counted

    console.print(
        f"{plan.study.path}: {counted(plan.members, 'member')}, all finished",
        markup=False,
        soft_wrap=True,
    )


def _tell_failed(plan: "Launch") -> bool:
    """Name the jobs that were to run and have no result; returns whether there are any."""
    _, err = _consoles()
    finished = plan.study.finished(plan.wanted)
    failed = [job for job in plan.wanted if job not in finished]
    reasons = plan.study.failures(failed)
    for job in failed:
        reason = reasons.get(job, "its worker went silent, or nobody began it")
        err.print(
            f"failed: {plan.study.job(job)}: {printable(reason)}",
            style="red",
            markup=False,
            soft_wrap=True,
        )
    return bool(failed)


def _train_here(plan: "Launch", stopping: Stopping) -> bool:
    """Train the one job of a plan in this process; returns whether it failed."""
    import time

    from rich.live import Live

    from resformer.console.curve import chart
    from resformer.numerics.process import configure_worker
    from resformer.workers import worker

    _, err = _consoles()
    losses: list[float] = []

    def stop(seconds: float) -> bool:
        time.sleep(seconds)
        return stopping.asked()

    with stopping.gently(), Live("", console=err, refresh_per_second=8, transient=False) as live:

        def tell(event: "Event") -> None:
            now = event.progress
            if event.kind == "retried":
                live.console.print(f"tried again: {printable(event.detail)}", markup=False)
            elif event.kind == "resumed":
                live.console.print(f"goes on {event.detail}", markup=False)
            elif event.kind == "restarted":
                live.console.print(f"starts again: {printable(event.detail)}", markup=False)
            elif event.kind == "halved":
                live.console.print(event.detail, markup=False)
            elif event.kind == "waiting":
                live.console.print("another process holds this job: waiting for it", markup=False)
            elif event.kind == "progress" and now is not None:
                losses.append(now.loss)
                shown = (
                    f"step {now.step}/{now.steps}  held-out loss {now.loss:.3f}  accuracy "
                    f"{now.accuracy:.3f}"
                )
                if err.is_terminal:
                    live.update(f"{chart(losses, now.steps, now.step)}\n{shown}")
                else:
                    live.console.print(shown, markup=False)

        configure_worker(plan.request.engine.memory_gib)
        worker.work(plan.start(_command()), 0, 1, tell, stop)
    return _tell_failed(plan)


def _print_outcomes(plan: "Launch") -> None:
    """What became of each member that was asked for, a line each."""
    from resformer.console.outcome import outcomes

    asked = {(member.seed, member.lr) for _, members in plan.request.shapes for member in members}
    for line in outcomes(plan.study, plan.jobs, asked):
        print(line)


def _command() -> list[str]:
    """What the user typed."""
    return [Path(sys.argv[0]).name, *sys.argv[1:]]


def _print_report(report: "Report", asked: "Layout", form: str) -> None:
    from resformer.reporting.views import formats, terminal

    match form:
        case "table":
            terminal.render(report, asked, _consoles()[0])
        case "json":
            print(formats.as_json(report))
        case "csv":
            print(formats.as_csv(report))
        case "markdown":
            print(formats.as_markdown(report, asked))
        case "latex":
            print(formats.as_latex(report, asked))


def _print_grid(plan: "Launch") -> None:
    """What a sweep would run, and how long it takes."""
    from resformer.console.preview import grid

    out, err = _consoles()
    workers = (
        plan.request.engine.count(list(plan.wanted), plan.request.device) if plan.wanted else 0
    )
    out.print(grid([job.to_json() for job in plan.request.jobs()], plan.request.swept))
    if plan.wanted:
        _print_needed(plan, workers)
    else:
        _print_all_finished(plan, out)
    _print_notes(plan, err)


def _print_needed(plan: "Launch", workers: int) -> None:
    """How long it takes at most, and what would be submitted."""
    from resformer.console.preview import time_needed
    from resformer.sweep.estimate import seconds_at_most

    out, err = _consoles()
    try:
        seconds: float | None = seconds_at_most(plan.wanted, workers)
    except (MemoryError, RuntimeError) as error:
        err.print(
            f"the time could not be measured: {printable(str(error))}", markup=False, soft_wrap=True
        )
        seconds = None
    out.print(
        time_needed(plan.study.name, len(plan.wanted), workers, seconds),
        markup=False,
        soft_wrap=True,
    )
    if script := plan.request.engine.script(plan.study.path, workers):
        print(f"\n{script}")


def _print_notes(plan: "Launch", err: "Console") -> None:
    """What is damaged, the combinations that make no sense, with the reason, and what else the user
    should know.
    """
    for reason in plan.damaged.values():
        err.print(
            f"damaged, runs again: {printable(reason)}", style="red", markup=False, soft_wrap=True
        )
    _print_exclusions(plan.request, err)


def _print_exclusions(request: "Request", err: "Console") -> None:
    for note in request.notes:
        err.print(note, markup=False, soft_wrap=True)
    for row in request.excluded:
        settings = ", ".join(f"{key}={value}" for key, value in row["settings"].items())
        err.print(f"left out: {settings} ({row['reason']})", markup=False, soft_wrap=True)
