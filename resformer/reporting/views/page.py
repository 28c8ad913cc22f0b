"""Report as one page of HTML without network and script, under a policy that forbids both."""

import base64
import hashlib
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup, escape

from resformer.errors import DiskError, UserError
from resformer.keys import as_typed
from resformer.reporting.figures import plots
from resformer.reporting.layout import Layout, Panel, panels
from resformer.reporting.schema import Cell, CellKey, Limit, Rate, Report
from resformer.reporting.text import words
from resformer.reporting.text.verdict import cost_sentence, verdict_sentences
from resformer.reporting.views import layers
from resformer.reporting.views.svg import inline
from resformer.results.members import Findings
from resformer.store import files
from resformer.text import printable

_MOST_TIPS = 2000
"""Points on a page that show a text when pointed at; if there are more, none does."""


@final
@dataclass(frozen=True, kw_only=True)
class _Cell:
    """One cell of a table, as `page.html` shows it."""

    value: str
    count: str
    edge: str
    """"*" if the learning rate is at the edge of the grid."""
    interval: str
    kind: str


@final
@dataclass(frozen=True, kw_only=True)
class _Table:
    """A panel's table: a row per value with a cell per column."""

    title: str
    heading: str
    columns: list[list[str]]
    """Headings, a line per axis."""
    rows: list[tuple[str, list[_Cell]]]
    limits: list[tuple[str, str]]
    """Depth limits with their intervals."""


@final
@dataclass(frozen=True, kw_only=True)
class _Listing:
    """A plain table; the first `leading` columns are names."""

    head: list[str]
    leading: int
    rows: list[list[str]]


@final
@dataclass(frozen=True, kw_only=True)
class _Figure:
    title: str
    svg: Markup
    caption: str


def page(findings: Findings, report: Report, layout: Layout, command: Sequence[str]) -> str:
    """HTML of the page, made by `command`. UserError if a curve is damaged.

    Names that a user can choose are escaped, and their control characters are shown as text.
    """
    style = _source("page.css")
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.from_string(_source("page.html")).render(
        style=Markup(style),
        style_hash=base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(),
        report=report,
        settings=words.settings(report),
        verdicts=verdict_sentences(report),
        cost=cost_sentence(report),
        differences=words.differences(report),
        tables=[_table(panel) for panel in panels(report, layout)],
        legend=words.LEGEND,
        edge=words.EDGE if any(cell.lr_at_edge for cell in report.cells) else "",
        limits=_limits(report) if layout.rows != "depth" else None,
        compared=_comparisons(report, primary=True),
        compared_by_depth=_comparisons(report, primary=False),
        comparison_legend=words.COMPARISON_LEGEND,
        coverage=words.COVERAGE,
        layers=_layers(report),
        layers_legend=layers.LEGEND,
        figures=list(_figures(findings, report, layout)),
        rates=_rates(report),
        shared={key: as_typed(value) for key, value in report.settings.items()},
        launches=[(study.name, study.launches()) for study in findings.studies],
        quoted=_quoted,
        command=command,
        notes=words.notes(report),
        incomplete=bool(report.missing or report.failed or report.damaged),
    )


def write(
    path: Path, findings: Findings, report: Report, layout: Layout, command: Sequence[str]
) -> None:
    """Write the page atomically; UserError if the disk refuses."""
    if path.is_dir():
        raise UserError(f"--html {path}: is a folder; name a file")
    text = page(findings, report, layout, command)
    try:
        files.write(path, text.encode())
    except DiskError as error:
        raise UserError(f"--html {error}; name another file") from error
    except OSError as error:
        raise UserError(
            f"--html {path}: cannot be written: {error.strerror}; name another file"
        ) from error


def _source(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _shown(value: object) -> object:
    """Own markup as it is, everything else printable, to be escaped."""
    return value if isinstance(value, Markup) else printable(str(value))


def _quoted(command: Sequence[str]) -> Markup:
    """Command as a shell takes it, control characters as in bash's $'…'."""
    return escape(
        " ".join(
            shlex.quote(word) if word.isprintable() else f"$'{_ansi(word)}'" for word in command
        )
    )


def _ansi(word: str) -> str:
    """Inside of a string that bash quotes with $'…'."""
    text = ""
    for letter in word:
        if letter in "\\'":
            text += f"\\{letter}"
        elif letter.isprintable():
            text += letter
        elif "\udc80" <= letter <= "\udcff":
            text += f"\\x{ord(letter) - 0xDC00:02x}"  # a byte that is no UTF-8
        else:
            text += f"\\U{ord(letter):08x}"
    return text


def _table(panel: Panel) -> _Table:
    by_depth = panel.layout.rows == "depth"
    return _Table(
        title=panel.title,
        heading=panel.row_heading,
        columns=[panel.heading(key) for key in panel.columns],
        rows=[
            (as_typed(row), [_cell(panel.cells.get((row, key))) for key in panel.columns])
            for row in panel.rows
        ],
        limits=[panel.limit(key) for key in panel.columns] if by_depth else [],
    )


def _cell(cell: Cell | None) -> _Cell:
    text, interval = words.cell(cell)
    value, _, count = text.rstrip(" *").rpartition(" ")
    kind = "none" if cell is None else "solved" if cell.median_steps is not None else "unsolved"
    edge = "*" * text.endswith("*")
    return _Cell(value=value, count=count, edge=edge, interval=interval, kind=kind)


def _limits(report: Report) -> _Listing:
    """Depth limits as a table of their own, for reports whose rows are not depths."""
    names = _varying(report.limits)
    rows = []
    for limit in report.limits:
        text, interval = words.limit(limit, report.depths[limit.key])
        rows.append([*(as_typed(limit.key.value(name)) for name in names), text, interval])
    head = [*map(_last_word, names), "depth limit", "95 %"]
    return _Listing(head=head, leading=len(names), rows=rows)


def _comparisons(report: Report, primary: bool) -> _Listing:
    """Comparisons over all depths, or those at each; columns without any text are left out."""
    rows = [
        words.comparison(row, report.varying)
        for row in report.comparisons
        if (row.depth is None) == primary
    ]
    kept = [place for place in range(len(words.COMPARISON)) if any(row[place] for row in rows)]
    return _Listing(
        head=[words.COMPARISON[place] for place in kept],
        leading=2,
        rows=[[row[place] for place in kept] for row in rows],
    )


def _layers(report: Report) -> list[tuple[str, _Listing]]:
    return [
        (title, _Listing(head=head, leading=3, rows=rows))
        for title, (head, *rows) in layers.listings(report.layers, report.varying)
    ]


def _rates(report: Report) -> _Listing:
    """A row per cell, a column per learning rate; the rate of most seeds is marked."""
    names = _varying(report.cells)
    lrs = sorted({rate.lr for rate in report.rates})
    by_cell: dict[CellKey, dict[float, Rate]] = {}
    for rate in report.rates:
        by_cell.setdefault(rate.key, {})[rate.lr] = rate
    rows = []
    for cell in report.cells:
        rates = by_cell.get(cell.key, {})
        texts = [_rate(rates[lr], lr == cell.lr) if lr in rates else "" for lr in lrs]
        rows.append([*(as_typed(cell.key.value(name)) for name in names), *texts])
    head = [*map(_last_word, names), *(f"{lr:g}" for lr in lrs)]
    return _Listing(head=head, leading=len(names), rows=rows)


def _rate(rate: Rate, chosen: bool) -> str:
    steps = "–" if rate.mean_steps is None else f"{rate.mean_steps:.0f}"
    return f"{steps} {rate.solved}/{rate.seeds}{' ◂' if chosen else ''}"


def _varying(rows: Sequence[Cell] | Sequence[Limit]) -> list[str]:
    """Axes by which these rows differ; the last axis if they do not."""
    keys = [row.key.values() for row in rows]
    names = list(keys[0])
    return [name for name in names if len({as_typed(key[name]) for key in keys}) > 1] or names[-1:]


def _last_word(axis: str) -> str:
    return axis.rpartition(".")[2]


def _figures(findings: Findings, report: Report, layout: Layout) -> Iterator[_Figure]:
    """Every figure with its caption; points have tips until there are too many."""
    points = 0
    for number, plot in enumerate(plots(findings, report, layout)):
        points += len(plot.tips)
        tips = plot.tips if points <= _MOST_TIPS else {}
        label = printable(f"{plot.title}: {plot.caption}" if plot.title else plot.caption)
        svg = inline(plot.rendered("svg"), f"f{number}", label, tips)
        # Made by ET from attributes and texts, which it escapes.
        yield _Figure(title=plot.title, svg=Markup(svg), caption=plot.caption)
