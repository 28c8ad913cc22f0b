"""Report as a terminal shows it: tables that fit its width, comparisons, the verdict, notes."""

from collections.abc import Sequence
from typing import Any, Literal

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from resformer.keys import as_typed
from resformer.reporting.layout import Layout, Panel, panels
from resformer.reporting.schema import Report
from resformer.reporting.text import final_loss, words
from resformer.reporting.text.answer import answer
from resformer.reporting.text.headline import headline
from resformer.reporting.views import layers
from resformer.text import printable

_FIRST_WIDTH, _GAP = 9, 3
_MOST_COLUMNS = 60
"""Columns, and comparisons, that are shown; more are counted."""
_MOST_ROWS = 200
"""Rows of a table of texts that are shown; more are counted."""
_WIDE = 8
"""Characters of the longest word that is not broken in a table of comparisons."""
_SOLVED, _QUIET, _NOTE = "bold", "dim", "#D55E00"
"""Solved cells stand out on any background; Okabe & Ito's vermilion is for notes."""


def terminal(report: Report, layout: Layout, width: int) -> RenderableType:
    """The whole report, for a terminal of this width in characters."""
    parts: list[RenderableType] = [
        _line(report.study, "bold").append(f": {words.settings(report)}", style="none")
    ]
    parts += [_line(line) for line in words.differences(report)]
    for panel in panels(report, layout):
        parts += (
            [_turned(panel)]
            if panel.turned
            else [_table(panel, part) for part in _parts(panel, width)]
        )
        if len(panel.columns) > _MOST_COLUMNS:
            more = (
                f"{len(panel.columns) - _MOST_COLUMNS:,} more columns: choose with --where, --rows "
                "and --columns, or take --format csv"
            )
            parts.append(Text(more, style=_NOTE))
    parts.append(Text(words.legend(report), style=_QUIET))
    if rates := words.best_rates(report):
        parts.append(Text(rates, style=_QUIET))
    if report.fitted:
        parts.append(Text(words.FIT, style=_QUIET))
    parts += _comparisons(report)
    for listing in final_loss.listings(report):
        parts += _listing(listing)
    parts += layers.picture(report.layers, report.varying)
    parts.append(Text(""))
    if report.comparisons or report.losses:
        parts.append(_line(f"{headline(report)}.", "bold"))
    parts += map(_line, answer(report))
    parts += [_line(line, _NOTE) for line in words.notes(report)]
    return Group(*parts)


def _line(text: str, style: str = "") -> Text:
    return Text(printable(text), style=style)


def render(report: Report, layout: Layout, console: Console) -> None:
    """Print the report."""
    console.print(terminal(report, layout, console.width))


def _column(panel: Panel, key: tuple[Any, ...]) -> list[tuple[str, str]]:
    """Texts of a column, each with the interval under it, down to those of its foot."""
    cells = [panel.cell_words(row, key) for row in panel.rows]
    return [*cells, *panel.foot_words(key)]


def _parts(panel: Panel, width: int) -> list[Sequence[tuple[Any, ...]]]:
    """Columns in groups that fit side by side."""
    parts, start, used = [], 0, _FIRST_WIDTH
    columns = panel.columns[:_MOST_COLUMNS]
    for number, key in enumerate(columns):
        texts = [*panel.heading(key), *(text for cell in _column(panel, key) for text in cell)]
        needed = max(map(len, texts)) + _GAP
        if used + needed > width and number > start:
            parts.append(columns[start:number])
            start, used = number, _FIRST_WIDTH
        used += needed
    return [*parts, columns[start:]]


def _table(panel: Panel, keys: Sequence[tuple[Any, ...]]) -> Table:
    table = Table(
        box=box.SIMPLE_HEAD, title=_line(panel.title) if panel.title else None, title_justify="left"
    )
    table.add_column(
        "\n" * (len(panel.layout.columns) - 1) + panel.row_heading, justify="right", no_wrap=True
    )
    for key in keys:
        table.add_column(
            Text("\n".join(map(printable, panel.heading(key)))), justify="right", overflow="fold"
        )
    columns = [_column(panel, key) for key in keys]
    for number, row in enumerate(panel.rows):
        if any(column[number][0] for column in columns):
            table.add_row(as_typed(row), *(_shown(column[number]) for column in columns))
    if panel.foot:
        table.add_section()
    for number, heading in enumerate(panel.foot, len(panel.rows)):
        cells = (_shown(column[number], "bold") for column in columns)
        table.add_row(heading, *cells, style="bold")
    return table


def _turned(panel: Panel) -> Table:
    """Transposed table: a row per column, the deepest limit first, words under the numbers."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    table.title, table.title_justify = _line(panel.title) if panel.title else None, "left"
    table.add_column(panel.row_heading, overflow="fold", justify="right")
    for heading in (*map(as_typed, panel.rows), *panel.foot):
        table.add_column(heading, justify="right", no_wrap=True)
    shown = set(panel.columns[:_MOST_COLUMNS])
    for key in [key for key in panel.by_limit if key in shown]:
        cells = [_shown(_stacked(cell)) for cell in _column(panel, key)[: len(panel.rows)]]
        foot = [_shown(cell, "bold") for cell in panel.foot_words(key)]
        table.add_row(
            _line(words.one_line(panel.layout.columns, panel.heading(key))), *cells, *foot
        )
    return table


def _stacked(cell: tuple[str, str]) -> tuple[str, str]:
    """Put the word of a cell under its number."""
    text, interval = cell
    word, _, numbers = text.partition(" ")
    return (numbers, word) if word.isalpha() else (text, interval)


def _shown(cell: tuple[str, str], style: str | None = None) -> Text:
    """Styled text of a cell: bold if solved, dim if stalled or diverged."""
    text, interval = cell
    if style is None:
        words_of_it = (*text.split(" ")[:1], interval)
        style = (
            _QUIET
            if {"stalled", "diverged"} & {*words_of_it}
            else ""
            if "loss" in words_of_it
            else _SOLVED
        )
    shown = Text(text if text.endswith("*") else text.rstrip() + " " * bool(text), style=style)
    return shown.append(f"\n{interval} ", style=_QUIET) if interval else shown


def _listing(listing: final_loss.Listing) -> list[RenderableType]:
    """A table of texts with its title and legend."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), title_justify="left")
    table.title = _line(listing.title)
    for number, heading in enumerate(listing.head):
        named = number < listing.leading
        justify: Literal["left", "right"] = "left" if named else "right"
        table.add_column(
            heading, justify=justify, overflow="fold", no_wrap=not named, min_width=len(heading)
        )
    for row in listing.rows[:_MOST_ROWS]:
        table.add_row(*map(_line, row))
    parts: list[RenderableType] = [table]
    if (more := len(listing.rows) - _MOST_ROWS) > 0:
        parts.append(Text(f"{more:,} more rows: --format json has all", style=_NOTE))
    return [*parts, Text(listing.legend, style=_QUIET)]


def _comparisons(report: Report) -> list[RenderableType]:
    rows = words.comparisons(report)
    if not rows:
        return []
    table, shown = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0)), rows[:_MOST_COLUMNS]
    for number, heading in enumerate(words.comparison_headings(report)):
        named = number < 2
        column = [heading, *(row[number] for row in shown)]
        longest_word = max(len(word) for text in column for word in text.split())
        justify: Literal["left", "right"] = "left" if named else "right"
        table.add_column(
            heading,
            justify=justify,
            overflow="fold",
            no_wrap=not named,
            min_width=min(longest_word if named else len(heading), _WIDE),
        )
    for row in shown:
        table.add_row(*map(_line, row))
    parts: list[RenderableType] = [table]
    if (more := len(rows) - _MOST_COLUMNS) > 0:
        parts.append(Text(f"{more:,} more comparisons: --format json has all", style=_NOTE))
    return [*parts, Text(words.comparison_legend(report), style=_QUIET)]
