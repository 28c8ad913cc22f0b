"""A report as one page of HTML that needs nothing else: no network, no script, and a policy that
says so.
"""

import base64
import hashlib
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

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

Json = dict[str, Any]

_MOST_TIPS = 2000
"""More points than these on a page say nothing when they are pointed at."""


def page(findings: Findings, report: Report, asked: Layout, command: Sequence[str]) -> str:
    """The page. `command` is what was typed to make it. UserError if a curve is not what was
    committed.

    Everything that a user can name is escaped, and control characters in it are shown, not obeyed.
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
        tables=[_table(panel) for panel in panels(report, asked)],
        legend=words.LEGEND,
        edge=words.EDGE if any(cell.lr_at_edge for cell in report.cells) else "",
        limits=_limits(report) if asked.rows != "depth" else None,
        compared=_comparisons(report, primary=True),
        compared_by_depth=_comparisons(report, primary=False),
        comparison_legend=words.COMPARISON_LEGEND,
        coverage=words.COVERAGE,
        layers=_layers(report),
        layers_legend=layers.LEGEND,
        figures=list(_figures(findings, report, asked)),
        rates=_rates(report),
        shared={key: as_typed(value) for key, value in report.settings.items()},
        launches=[(study.name, study.launches()) for study in findings.studies],
        quoted=_quoted,
        command=command,
        notes=words.notes(report),
        incomplete=bool(report.missing or report.failed or report.damaged),
    )


def write(
    path: Path, findings: Findings, report: Report, asked: Layout, command: Sequence[str]
) -> None:
    """Write the page in one stroke; UserError if that cannot be done."""
    if path.is_dir():
        raise UserError(f"--html {path}: is a folder; name a file")
    text = page(findings, report, asked, command)
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
    """What is put into the page: our own markup as it is, everything else printable and escaped."""
    return value if isinstance(value, Markup) else printable(str(value))


def _quoted(command: Sequence[str]) -> Markup:
    """A command as a shell takes it, control characters shown as bash reads them."""
    return escape(
        " ".join(
            shlex.quote(word) if word.isprintable() else f"$'{_ansi(word)}'" for word in command
        )
    )


def _ansi(word: str) -> str:
    """The inside of a string that bash quotes with $'…'."""
    found = ""
    for letter in word:
        if letter in "\\'":
            found += f"\\{letter}"
        elif letter.isprintable():
            found += letter
        elif "\udc80" <= letter <= "\udcff":
            found += f"\\x{ord(letter) - 0xDC00:02x}"  # a byte that is no UTF-8
        else:
            found += f"\\U{ord(letter):08x}"
    return found


def _table(panel: Panel) -> Json:
    """A panel's table: headings, and a row per value with a cell per column."""
    return {
        "title": panel.title,
        "heading": panel.row_heading,
        "columns": [panel.named(key) for key in panel.columns],
        "rows": [
            (as_typed(row), [_cell(panel.cells.get((row, key))) for key in panel.columns])
            for row in panel.rows
        ],
        "limits": [panel.limit(key) for key in panel.columns]
        if panel.layout.rows == "depth"
        else [],
    }


def _cell(cell: Cell | None) -> Json:
    """A cell's value, its count of seeds, the mark of a rate at the edge, the interval below, and
    its kind.
    """
    text, interval = words.cell(cell)
    value, _, count = text.rstrip(" *").rpartition(" ")
    kind = "none" if cell is None else "solved" if cell.median_steps is not None else "unsolved"
    return {
        "value": value,
        "count": count,
        "edge": "*" * text.endswith("*"),
        "interval": interval,
        "kind": kind,
    }


def _limits(report: Report) -> Json:
    """The depth limits as a table of their own, for reports in which depth does not run down the
    others.
    """
    names = _varying(report.limits)
    rows = []
    for limit in report.limits:
        text, interval = words.limit(limit, report.depths[limit.key])
        rows.append([*(as_typed(limit.key.value(name)) for name in names), text, interval])
    return {
        "head": [*map(_last_word, names), "depth limit", "95 %"],
        "leading": len(names),
        "rows": rows,
    }


def _comparisons(report: Report, primary: bool) -> Json:
    """The comparisons over all depths, or those at each."""
    found = [row for row in report.comparisons if (row.depth is None) == primary]
    rows = [words.comparison(row, report.varying) for row in found]
    kept = [place for place in range(len(words.COMPARISON)) if any(row[place] for row in rows)]
    return {
        "head": [words.COMPARISON[place] for place in kept],
        "leading": 2,
        "rows": [[row[place] for place in kept] for row in rows],
    }


def _layers(report: Report) -> list[tuple[str, Json]]:
    """What was measured inside the cells, where it was asked for: titles and tables."""
    found = layers.listings(report.layers, report.varying)
    return [(title, {"head": head, "leading": 3, "rows": rows}) for title, (head, *rows) in found]


def _rates(report: Report) -> Json:
    """What every learning rate gave: a row per cell, a column per rate; the rate it is scored at is
    marked.
    """
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
    return {
        "head": [*map(_last_word, names), *(f"{lr:g}" for lr in lrs)],
        "leading": len(names),
        "rows": rows,
    }


def _rate(rate: Rate, chosen: bool) -> str:
    steps = "–" if rate.mean_steps is None else f"{rate.mean_steps:.0f}"
    return f"{steps} {rate.solved}/{rate.seeds}{' ◂' if chosen else ''}"


def _varying(rows: Sequence[Cell] | Sequence[Limit]) -> list[str]:
    """The axes by which these rows differ; if they do not, the last."""
    keys = [row.key.values() for row in rows]
    names = list(keys[0])
    return [name for name in names if len({as_typed(key[name]) for key in keys}) > 1] or names[-1:]


def _last_word(axis: str) -> str:
    return axis.rpartition(".")[2]


def _figures(findings: Findings, report: Report, asked: Layout) -> Iterator[Json]:
    """Every figure with its caption; points have tips until there are too many."""
    told = 0
    for number, plot in enumerate(plots(findings, report, asked)):
        told += len(plot.tips)
        label = printable(f"{plot.title}: {plot.caption}" if plot.title else plot.caption)
        svg = inline(
            plot.rendered("svg"), f"f{number}", label, plot.tips if told <= _MOST_TIPS else {}
        )
        # Made by ET from attributes and texts, which it escapes.
        yield {"title": plot.title, "svg": Markup(svg), "caption": plot.caption}
