"""Report as one page of HTML without network and script, under a policy that forbids both."""

import base64
import hashlib
import os
import shlex
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup, escape

from resformer.errors import UserError, writing
from resformer.keys import as_typed
from resformer.reporting.figures import Plot, plots
from resformer.reporting.layout import Layout, panels
from resformer.reporting.schema import Cell, Key, Rate, Report, varying
from resformer.reporting.text import final_loss, words
from resformer.reporting.text.answer import answer
from resformer.reporting.text.headline import headline
from resformer.reporting.views import layers
from resformer.reporting.views.svg import inline
from resformer.results.members import Findings
from resformer.store import files
from resformer.text import printable

_MOST_TIPS = 2000
"""Points on a page that show a text when pointed at; if there are more, none does."""


@final
@dataclass(frozen=True, kw_only=True)
class _Listing:
    """A plain table; the first `leading` columns are names."""

    head: list[str]
    leading: int
    rows: list[list[str]]


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
    environment.filters["quoted"] = _quoted
    return environment.from_string(_source("page.html")).render(
        style=Markup(style),
        style_hash=base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(),
        report=report,
        settings=words.settings(report),
        headline=headline(report),
        answer=answer(report),
        differences=words.differences(report),
        panels=panels(report, layout),
        by_depth=layout.rows == "depth",
        as_typed=as_typed,
        unit=words.UNITS[report.per],
        by_loss=report.score == "final_loss",
        losses=final_loss.listings(report),
        legend=words.legend(report),
        best_rates=words.best_rates(report),
        fit=words.FIT if report.fitted else "",
        limits=_limits(report),
        compared=_Listing(
            head=list(words.comparison_headings(report)),
            leading=2,
            rows=list(map(list, words.comparisons(report))),
        ),
        compared_by_depth=_Listing(
            head=list(words.by_depth_headings(report)),
            leading=2,
            rows=list(map(list, words.comparisons_by_depth(report))),
        ),
        comparison_legend=words.comparison_legend(report),
        layers=_layers(report),
        layers_legend=layers.LEGEND,
        figures=_figures(findings, report, layout),
        rates=_rates(report),
        launches=[(study.name, study.launches()) for study in findings.studies],
        command=command,
        notes=words.notes(report),
    )


def write(
    path: Path, findings: Findings, report: Report, layout: Layout, command: Sequence[str]
) -> None:
    """Write the page, a file atomically; UserError if the disk refuses. Where the path is a link,
    the page goes where it points; a pipe or a device takes the page as it is.
    """
    if path.is_dir():
        raise UserError(f"--html {path}: is a folder; name a file")
    text = page(findings, report, layout, command)
    with writing("--html", path, "file"):
        if _takes_files(path):
            target = Path(os.path.realpath(path)) if path.is_symlink() else path
            files.write(target, text.encode())
        else:
            path.write_bytes(text.encode())


def _takes_files(path: Path) -> bool:
    """Tell whether a regular file is at a path, or nothing yet. Raises OSError."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except FileNotFoundError:
        return True


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


def _limits(report: Report) -> _Listing:
    """Depth limits as a table of their own, for reports whose rows are not depths."""
    names = _varying([limit.key for limit in report.limits])
    kinds = [("depth limit", words.limit), *([("half", words.fit)] if report.fitted else [])]
    rows = [
        [
            *_values(limit.key, names),
            *(text for _, kind in kinds for text in kind(limit, report.depths[limit.key])),
        ]
        for limit in report.limits
    ]
    head = [*map(_last_word, names), *(text for name, _ in kinds for text in (name, "95 %"))]
    return _Listing(head=head, leading=len(names), rows=rows)


def _layers(report: Report) -> list[tuple[str, _Listing]]:
    return [
        (title, _Listing(head=head, leading=3, rows=rows))
        for title, (head, *rows) in layers.listings(report.layers, report.varying)
    ]


def _rates(report: Report) -> _Listing:
    """A row per cell, a column per learning rate; the rate of most seeds is marked."""
    names = _varying([cell.key for cell in report.cells])
    lrs = sorted({rate.lr for rate in report.rates})
    rates = {(rate.key, rate.lr): rate for rate in report.rates}
    rows = [
        [
            *_values(cell.key, names),
            *(_rate(rates.get((cell.key, lr)), cell, report) for lr in lrs),
        ]
        for cell in report.cells
    ]
    head = [*map(_last_word, names), *(f"{lr:g}" for lr in lrs)]
    return _Listing(head=head, leading=len(names), rows=rows)


def _rate(rate: Rate | None, cell: Cell, report: Report) -> str:
    if rate is None:
        return ""
    if report.score == "final_loss":
        result = "–" if rate.final_loss is None else f"{rate.final_loss:.3g}"
    else:
        result = "–" if rate.mean is None else words.amount(rate.mean, report.per)
    return f"{result} {rate.solved}/{rate.seeds}{' ◂' if rate.lr == cell.lr else ''}"


def _varying(keys: Sequence[Key]) -> list[str]:
    """Axes by which these keys differ; the last axis if they do not."""
    return varying(keys) or list(keys[0].values())[-1:]


def _values(key: Key, axes: Iterable[str]) -> list[str]:
    return [as_typed(key.value(axis)) for axis in axes]


def _last_word(axis: str) -> str:
    return axis.rpartition(".")[2]


def _figures(findings: Findings, report: Report, layout: Layout) -> Iterator[tuple[Plot, Markup]]:
    """Every figure and its SVG; points have tips until there are too many."""
    points = 0
    for number, plot in enumerate(plots(findings, report, layout)):
        points += len(plot.tips)
        tips = plot.tips if points <= _MOST_TIPS else {}
        label = printable(f"{plot.title}: {plot.caption}" if plot.title else plot.caption)
        svg = inline(plot.rendered("svg"), f"f{number}", label, tips)
        yield plot, Markup(svg)  # made by ET from attributes and texts, which it escapes
