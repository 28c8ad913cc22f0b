"""The command line: parse, call, print. torch and Hydra are imported inside the commands that need
them.
"""

import errno
import gc
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from resformer import __version__
from resformer.console import mistyped, streams
from resformer.errors import EXHAUSTED, Stuck, UserError
from resformer.text import counted, printable
from resformer.workers.resources import require_open_files
from resformer.workers.signals import Interrupts, Stopped

if TYPE_CHECKING:
    from rich.console import Console

    from resformer.reporting.layout import Layout
    from resformer.reporting.schema import Report
    from resformer.results.members import Findings
    from resformer.rounds.settle import Settled
    from resformer.store.study import Study
    from resformer.sweep.launch import Launch

MANY_JOBS = 10_000
"""From so many on their folders are a burden to a file system."""

app = typer.Typer(
    cls=mistyped.Group,
    help="How deep can a transformer train, how fast, and why does it stop: with and without "
    "residual connections.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _complete(context: typer.Context, incomplete: str) -> list[str]:
    from resformer.complete import complete

    return list(complete(context.params.get("overrides") or [], incomplete))


def _complete_study(context: typer.Context, incomplete: str) -> list[str]:
    from resformer.complete import studies_in

    return studies_in(Path(context.params.get("results") or "results"), incomplete)


def _complete_study_file(incomplete: str) -> list[str]:
    from resformer.complete import study_files

    return study_files(incomplete)


def _complete_claim(incomplete: str) -> list[str]:
    from resformer.complete import claims

    return claims(incomplete)


def _complete_key(incomplete: str) -> list[str]:
    from resformer.complete import keys

    return keys(incomplete)


Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="KEY=VALUE",
        help="Settings to replace; a,b,c and range(0,5) are swept over.",
        autocompletion=_complete,
    ),
]
StudyName = Annotated[
    str, typer.Argument(metavar="STUDY", help="Which study.", autocompletion=_complete_study)
]


Engine = Annotated[str | None, typer.Option(help="Who runs the workers: engine=NAME.")]
Workers = Annotated[int | None, typer.Option(help="How many: engine.workers=N.")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Print the grid and what it costs; run nothing.")
]


def _expanded(path: Path | None) -> Path | None:
    """A path with the home folder for ~, which shells leave in --results=~/studies."""
    return path and Path(os.path.expanduser(path))  # noqa: PTH111  leaves ~ where there is no home


Results = Annotated[
    Path,
    typer.Option(
        "--results",
        help="The folder that holds the studies.",
        callback=_expanded,
    ),
]
Where = Annotated[
    list[str] | None,
    typer.Option(
        metavar="KEY=VALUE",
        help="Only members with this setting; a,b for either.",
        autocompletion=_complete_key,
    ),
]


def _file(text: str) -> Path:
    """The path of a file to write, which as a path would lose the slash of a folder."""
    if text.endswith("/"):
        raise typer.BadParameter("ends in a slash; name a file")
    if text == "-":
        raise typer.BadParameter("is no file; name one, such as /dev/stdout")
    return Path(text)


Html = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Also write the report as a page of its own.",
        parser=_file,
        callback=_expanded,
    ),
]
Figures = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Also draw the report's figures there.", callback=_expanded),
]


def _print_version(value: bool) -> None:
    if value:
        print(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            "-v",
            help="Print the version and leave.",
            is_eager=True,
            callback=_print_version,
        ),
    ] = False,
) -> None:
    pass


@app.command(cls=mistyped.Command)
def train(overrides: Overrides = None, results: Results = Path("results")) -> None:
    """Train one job, with its loss curve live, and print its outcome (study `train`)."""
    with _answering(resumes=True) as interrupts:
        from resformer import config
        from resformer.console.execution import train_here
        from resformer.console.outcome import outcomes
        from resformer.store.folder import TRAINED
        from resformer.store.study import find
        from resformer.sweep.launch import plan

        launch = plan(config.single(overrides or []), find(results, TRAINED))
        if train_here(launch, _command(), interrupts, _consoles()[1]):
            raise typer.Exit(1)
        for line in outcomes(launch):
            print(printable(line))


@app.command(cls=mistyped.Command)
def sweep(
    overrides: Overrides = None,
    study: Annotated[
        str | None,
        typer.Option(
            help="A study file, or the name of a new study.", autocompletion=_complete_study_file
        ),
    ] = None,
    engine: Engine = None,
    workers: Workers = None,
    dry_run: DryRun = False,
    detach: Annotated[
        bool, typer.Option("--detach", help="Leave it running on a cluster; see status.")
    ] = False,
    settle: Annotated[
        bool,
        typer.Option(
            "--settle",
            help="Look twice: more seeds where undecided, depths next to the limits. Exit code 0: "
            "all better, 3: some worse, 4: some undecided.",
        ),
    ] = False,
    html: Html = None,
    figures: Figures = None,
    results: Results = Path("results"),
) -> None:
    """Run a study, all of it or what is missing of it, and print its report. Alone: the quick
    study.
    """
    with _answering(resumes=not dry_run) as interrupts:
        from resformer import config
        from resformer.console import execution
        from resformer.rounds.loop import launches, outcome
        from resformer.rounds.planned import planned
        from resformer.store.study import find

        request = config.request(study, [*(overrides or []), *_engine_words(engine, workers)])
        if (html or figures) and (dry_run or detach):
            how = "--dry-run" if dry_run else "--detach"
            raise UserError(f"--html, --figures: {how} makes no report; resformer report does")
        compared = planned(request)
        if settle and not compared.pairs:
            raise UserError(f"--settle: {compared.why_none}")
        rounds = launches(request, find(results, request.study), settle=settle)
        launch = next(rounds)
        out, err = _consoles()
        about = compared.notes(looks=2 if settle else 1) if launch.unfinished else []
        if dry_run:
            execution.print_grid(launch, out, err, about)
            return
        if detach:
            more = settle or bool(request.auto_rates)
            execution.detach(launch, _command(), err, about, more=more)
            return
        failed = execution.run(launch, _command(), interrupts, err, about)
        for number, launch in enumerate(rounds, 2):
            execution.print_round(number, launch, err)
            failed = execution.run(launch, _command(), interrupts, err)
        verdicts = outcome(request, launch.study) if settle and not failed else None
        try:
            _print_report(launch, verdicts, out, html, figures)
        except UserError as nothing:
            _note(str(nothing))
            failed = True
        if failed:
            raise typer.Exit(1)
        if verdicts is not None:
            _note(verdicts.words)
            raise typer.Exit(verdicts.exit_code)


def _engine_words(engine: str | None, workers: int | None) -> list[str]:
    """Overrides that the options for the engine stand for."""
    words = [f"engine={engine}"] if engine is not None else []
    return words + ([f"engine.workers={workers}"] if workers is not None else [])


def _print_report(
    launch: "Launch",
    verdicts: "Settled | None",
    out: "Console",
    html: Path | None,
    figures: Path | None,
) -> None:
    """Print the report of a study that has run, write its page and figures, and print what to do
    next; UserError if there is no result.
    """
    from resformer.reporting.analysis.summary import summarise
    from resformer.reporting.layout import layout
    from resformer.reporting.views import terminal
    from resformer.results.members import read
    from resformer.rounds.advice import further_rates

    study = launch.study
    findings = read([study])
    summary = summarise(findings)
    if verdicts is not None:
        summary = replace(summary, comparisons=verdicts.comparisons, settled=False)
    axes = layout(summary)
    terminal.render(summary, axes, out)
    _write(findings, summary, axes, html, figures)
    if not launch.request.auto_rates and (line := further_rates(summary, _command()[1:])):
        _note(line)
    many = sum(not study.results.packed(job) for job in launch.jobs)
    if many >= MANY_JOBS:
        gather = f"resformer gather {study.name} makes it one file"
        _note(f"{many:,} jobs have a folder each; {gather}")


def _write(
    findings: "Findings",
    summary: "Report",
    axes: "Layout",
    html: Path | None,
    figures: Path | None,
) -> None:
    """Write a report's page and figures where they are wanted, and print their paths."""
    written: list[Path] = []
    if html is not None:
        from resformer.reporting.views.page import write

        write(html, findings, summary, axes, _command())
        written.append(html)
    if figures is not None:
        from resformer.reporting.figures import draw

        written += draw(findings, summary, axes, figures)
    for path in written:
        print(printable(str(path)), file=sys.stderr)


@app.command(cls=mistyped.Command)
def claim(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="NAME|FILE",
            help="The claim: settings, statistic, bound (YAML), or a name in configs/claim.",
            callback=_expanded,
            autocompletion=_complete_claim,
        ),
    ],
    form: Annotated[
        Literal["table", "json"], typer.Option("--format", help="How the result is printed.")
    ] = "table",
    to: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Also write the result (JSON), its numbers (CSV) and a figure (SVG) there.",
            callback=_expanded,
        ),
    ] = None,
    engine: Engine = None,
    workers: Workers = None,
    dry_run: DryRun = False,
    results: Results = Path("results"),
) -> None:
    """Run the study of a claim, or what is missing of it, and judge the claim by the bound that its
    file states.
    """
    with _answering(resumes=not dry_run) as interrupts:
        from resformer.claims.file import locate, read
        from resformer.claims.judge import judge, requested
        from resformer.console import execution
        from resformer.console.claim import picture
        from resformer.rounds.loop import launches
        from resformer.store.study import find

        stated = read(locate(file))
        request = requested(stated, _engine_words(engine, workers))
        study = find(results, request.study)
        out, err = _consoles()
        if stated.trains:
            rounds = launches(request, study, settle=False)
            launch = next(rounds)
            if dry_run:
                execution.print_grid(launch, out, err)
                return
            failed = execution.run(launch, _command(), interrupts, err, [])
            for number, launch in enumerate(rounds, 2):
                execution.print_round(number, launch, err)
                failed = execution.run(launch, _command(), interrupts, err)
            if failed:
                raise typer.Exit(1)
            request = launch.request
        elif dry_run:
            err.print(f"measures {counted(len(request.shapes), 'model')} before training")
            return
        judged = judge(stated, request, study)
        if to is not None:
            from resformer.claims.result import write

            write(to, judged, request, study, _command())
        if form == "json":
            print(json.dumps(judged.to_json(), indent=1))
        else:
            out.print(picture(judged))


@app.command(cls=mistyped.Command)
def report(
    studies: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="STUDY",
            help="Which study, or several side by side; else the one launched last.",
            autocompletion=_complete_study,
        ),
    ] = None,
    form: Annotated[
        Literal["table", "markdown", "csv", "json", "latex"],
        typer.Option("--format", help="How it is printed."),
    ] = "table",
    where: Where = None,
    rows: Annotated[
        str | None,
        typer.Option(
            metavar="KEY",
            help="What runs down the tables, else depth.",
            autocompletion=_complete_key,
        ),
    ] = None,
    columns: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY",
            help="What runs across; the rest makes tables of its own.",
            autocompletion=_complete_key,
        ),
    ] = None,
    against: Annotated[
        str,
        typer.Option(
            metavar="ARM", help='Compare every other column with this one, such as "add pre".'
        ),
    ] = "",
    compare: Annotated[
        str, typer.Option(metavar="KEY", help="Compare the columns that differ in this only.")
    ] = "",
    fit: Annotated[
        bool,
        typer.Option("--fit", help="Also fit the depth at which half of the seeds solve."),
    ] = False,
    per: Annotated[
        Literal["steps", "flops", "tokens"],
        typer.Option("--per", help="Unit of medians, ratios and figures."),
    ] = "steps",
    score: Annotated[
        Literal["steps", "final_loss"] | None,
        typer.Option(
            "--score",
            help="What rates are chosen and columns compared by: steps, unless there is nothing to "
            "solve.",
        ),
    ] = None,
    html: Html = None,
    figures: Figures = None,
    results: Results = Path("results"),
) -> None:
    """Print what a study found."""
    # Nothing is thrown away until the end, and with 100,000 runs the search for it takes a second.
    gc.disable()
    with _answering():
        from resformer.reporting.analysis.fit import with_fits
        from resformer.reporting.analysis.pairs import Pairing
        from resformer.reporting.analysis.summary import summarise
        from resformer.reporting.layout import layout
        from resformer.reporting.views import formats, terminal
        from resformer.results.members import parse_conditions, read

        names: list[str | None] = [*dict.fromkeys(studies or [])]
        chosen = [_chosen(results, name) for name in names or [None]]
        findings = read(chosen).where(parse_conditions(where or []))
        summary = summarise(findings, Pairing(against=against, compare=compare), per, score)
        if fit:
            summary = with_fits(summary)
        axes = layout(summary, rows, [name for names in columns or [] for name in names.split(",")])
        _write(findings, summary, axes, html, figures)
        match form:
            case "table":
                terminal.render(summary, axes, _consoles()[0])
            case "json":
                print(formats.as_json(summary))
            case "csv":
                print(formats.as_csv(summary))
            case "markdown":
                print(formats.as_markdown(summary, axes))
            case "latex":
                print(formats.as_latex(summary, axes))


@app.command(cls=mistyped.Command)
def export(
    study: StudyName,
    folder: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="A folder that is new or empty.", callback=_expanded),
    ],
    form: Annotated[
        Literal["parquet", "csv", "tensorboard"],
        typer.Option("--to", help="What is written there."),
    ],
    where: Where = None,
    results: Results = Path("results"),
) -> None:
    """Write a study's results as tables, a row per member and a row per step, or as runs of
    TensorBoard.
    """
    with _answering():
        from resformer.results import export
        from resformer.results.members import parse_conditions, read
        from resformer.store.study import open_study

        findings = read([open_study(results, study)]).where(parse_conditions(where or []))
        exported = export.export(findings, folder, form)
        for line in exported.left_out:
            print(f"left out: {printable(line)}", file=sys.stderr)
        for path in exported.paths:
            print(printable(str(path)), file=sys.stderr)


@app.command(cls=mistyped.Command)
def gather(
    study: StudyName,
    results: Results = Path("results"),
) -> None:
    """Put the results of a study's finished jobs into one file, where each has a folder of files so
    far.
    """
    with _answering(resumes=True):
        from resformer.results.members import read
        from resformer.store.packed.gather import gather
        from resformer.store.study import open_study

        chosen = open_study(results, study)
        gathered = gather(chosen)
        read([chosen])  # which keeps what a report needs
        for line in gathered.left_out:
            print(f"left out: {printable(line)}", file=sys.stderr)
        print(
            printable(
                f"{gathered.path}: {counted(gathered.jobs, 'job')}, {gathered.new:,} of them new"
            ),
            file=sys.stderr,
        )
        if gathered.kept:
            _note(
                f"{counted(len(gathered.kept), 'folder')} of jobs could not be emptied, as links "
                f"or another user's, such as {gathered.kept[0]}"
            )
        if gathered.checkpoints:
            _note(
                f"the last checkpoints of {counted(gathered.checkpoints, 'job')} are removed: with "
                "more train.steps these train again from the start"
            )


@app.command(cls=mistyped.Command)
def status(
    study: Annotated[
        str | None,
        typer.Argument(
            metavar="STUDY",
            help="Which study; without it the one launched last.",
            autocompletion=_complete_study,
        ),
    ] = None,
    results: Results = Path("results"),
) -> None:
    """Print where a study stands that runs elsewhere: its jobs by state, its failures, the time to
    finish.
    """
    gc.disable()  # as in `report`
    with _answering():
        from resformer.console.status import picture, read_status

        _consoles()[0].print(picture(read_status(_chosen(results, study))))


@app.command(cls=mistyped.Command)
def probe(
    overrides: Overrides = None,
    study: Annotated[
        str,
        typer.Option(
            help="A study file: the grid to look at.", autocompletion=_complete_study_file
        ),
    ] = "probe",
    to: Annotated[
        Path | None,
        typer.Option(
            "--to",
            metavar="DIR",
            help="Where numbers and figures go, else a folder per grid in RESULTS/probes.",
            callback=_expanded,
        ),
    ] = None,
    results: Results = Path("results"),
) -> None:
    """Look into stacks before their first step, layer by layer: what gets through, and where it
    stops.
    """
    with _answering():
        from resformer import config
        from resformer.console.execution import print_exclusions
        from resformer.model.serial import digest
        from resformer.probes import measure
        from resformer.probes.table import table
        from resformer.reporting.analysis.probes import probed
        from resformer.reporting.figures import draw_layers
        from resformer.reporting.views import probes
        from resformer.store import folder as results_folder
        from resformer.sweep.memory import check_probes

        request = config.request(study, overrides or [])
        measure.check(shape for shape, _ in request.shapes)
        check_probes([shape for shape, _ in request.shapes])
        name = f"{study}-{digest(request.overrides, 6)}" if overrides else study
        folder = to if to is not None else results_folder.probes(results, name)
        out, err = _consoles()
        print_exclusions(request, err)
        with err.status("looking into stacks") as status:
            count = len(request.shapes)
            numbers = table(
                request.shapes,
                lambda done: status.update(f"looking into stacks: {done} of {count}"),
            )
        models = probed(numbers, request.swept, list(measure.descriptions()))
        path = probes.write(numbers, folder)
        out.print(probes.picture(models))
        drawn = draw_layers(models, measure.descriptions(), folder)
        line = f"{path}, and beside it {len(drawn) // 2} figures as .svg and .png"
        print(printable(line), file=sys.stderr)


@app.command(cls=mistyped.Command)
def show(overrides: Overrides = None) -> None:
    """Print the settings as they resolve, and the grid with its parameters, memory and FLOPs."""
    with _answering():
        from resformer import config
        from resformer.console.execution import print_remarks
        from resformer.console.preview import grid, shared_settings

        request = config.request(None, overrides or [])
        jobs = [job.to_json() for job in request.jobs()]
        out, err = _consoles()
        for line in shared_settings(jobs):
            print(line)
        out.print(grid(jobs, request.swept))
        print_remarks(request, err)


def main() -> None:
    """Run the command of these words."""
    if sys.flags.optimize:
        _note("python -O: leaves out assertions that Hydra needs; run without -O")
        sys.exit(2)
    with streams.guarded():
        app()


@contextmanager
def _answering(*, resumes: bool = False) -> Iterator[Interrupts]:
    """Turn errors into a line and an exit code: 2 for a wrong request, 1 where work cannot proceed,
    129, 130 or 143 at a signal. `resumes` is true if the command keeps what it has done so far.
    """
    interrupts = Interrupts()
    try:
        with interrupts.handled():
            require_open_files()
            yield interrupts
        return
    except UserError as error:
        line, code = str(error), 2
    except (OSError, RuntimeError) as error:
        no_thread = str(error) == "can't start new thread"
        number = errno.EAGAIN if no_thread else getattr(error, "errno", None)
        if number not in EXHAUSTED:
            raise
        line = f"{os.strerror(number).lower()}: {EXHAUSTED[number]}; no result is lost"
        code = 1
    except Stuck as error:
        # A file or folder that is gone was removed by others, with who knows what.
        is_gone = str(error).endswith(os.strerror(errno.ENOENT))
        lost = "" if is_gone else "no result is lost: "
        line, code = f"{error}; {lost}see to it and go on", 1
    except Stopped as stopped:
        how = "; the same command goes on where this one left off" if resumes else ""
        line, code = f"stopped{how}", stopped.code
    _note(line)
    raise typer.Exit(code)


def _note(line: str) -> None:
    print(f"resformer: {printable(line)}", file=sys.stderr)


def _consoles() -> "tuple[Console, Console]":
    """For data, and for progress and notes."""
    from rich.console import Console

    # A notebook gives its shell a terminal, and keeps every frame of what moves there.
    live = False if "JPY_PARENT_PID" in os.environ else None
    return Console(highlight=False), Console(stderr=True, highlight=False, force_terminal=live)


def _chosen(results: Path, name: str | None) -> "Study":
    """The study that was named, or the one launched last; `train` only if there is no other."""
    from resformer.store.folder import TRAINED
    from resformer.store.study import existing, open_study

    if name is not None:
        return open_study(results, name)
    studies = existing(results)
    last = next((study for study in studies if study.name != TRAINED), next(iter(studies), None))
    if last is None:
        raise UserError(
            f"--results {results}: there is no study to report; resformer sweep makes one"
        )
    return last


def _command() -> list[str]:
    """The command as the user typed it, by its name whatever called it."""
    return ["resformer", *sys.argv[1:]]
