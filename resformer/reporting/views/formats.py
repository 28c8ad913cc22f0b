"""Report as JSON, CSV, Markdown and LaTeX."""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, final

from resformer.keys import as_typed
from resformer.reporting import serial
from resformer.reporting.layout import Layout, Panel, panels
from resformer.reporting.schema import Report
from resformer.reporting.text import final_loss, words
from resformer.reporting.text.answer import answer
from resformer.reporting.text.headline import headline
from resformer.reporting.views import layers as layer_tables
from resformer.results.csv import LINE_END, spreadsheet_safe
from resformer.text import printable

_IN_CSV = (
    *("cells", "rates", "limits", "comparisons", "losses", "stability"),
    *("separation", "rank_correlations", "layers"),
)
"""Lists of the JSON."""


@final
@dataclass(frozen=True, kw_only=True)
class _Table:
    """A table as text."""

    rows: Sequence[Sequence[str]]
    """Headings first."""
    title: str = ""
    legend: str = ""
    numeric: bool = True
    foot: int = 0
    """Number of the last rows that stand below those of the cells."""


def as_json(report: Report) -> str:
    """JSON of a report, a line per row."""
    parts = []
    for name, value in serial.to_json(report).items():
        rows = (
            [json.dumps(row, allow_nan=False) for row in value] if isinstance(value, list) else []
        )
        text = "[\n  " + ",\n  ".join(rows) + "\n ]" if rows else json.dumps(value, allow_nan=False)
        parts.append(f" {json.dumps(name)}: {text}")
    return "{\n" + ",\n".join(parts) + "\n}"


def as_csv(report: Report) -> str:
    """The rows of the JSON as CSV: `table` is the name of its list; lists and mappings are JSON."""
    tree = serial.to_json(report)
    rows = [{"table": name, **row} for name in _IN_CSV for row in tree.get(name, [])]
    columns = dict.fromkeys(column for row in rows for column in row)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(columns), lineterminator=LINE_END)
    writer.writeheader()
    writer.writerows({name: _in_csv(value) for name, value in row.items()} for row in rows)
    return text.getvalue().removesuffix(LINE_END)


def _in_csv(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, list | dict) else spreadsheet_safe(value)


def as_markdown(report: Report, layout: Layout) -> str:
    """The headline, tables, sentences and notes in Markdown."""
    blocks = [f"**{_safe(headline(report))}.**"]
    blocks += [f"**{_safe(report.study)}**: {_safe(words.settings(report))}"]
    blocks += [_safe(line) for line in words.differences(report)]
    for table in _tables(report, layout):
        title = f"**{_safe(table.title)}**" if table.title else ""
        blocks += [title, _markdown(table), _safe(table.legend)]
    blocks += [_footer(report), *map(_safe, (*answer(report), *words.notes(report)))]
    return "\n\n".join(filter(None, blocks))


def _markdown(table: _Table) -> str:
    head, *rest = [[_safe(text) for text in row] for row in table.rows]
    rule = ["---:" if table.numeric else "---"] * len(head)
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, rule, *rest))


def _safe(text: str) -> str:
    text = printable(text).replace("\\", "\\\\")
    for special in "|*_<>`[]":
        text = text.replace(special, f"\\{special}")
    return text


def as_latex(report: Report, layout: Layout) -> str:
    """Tables as LaTeX (booktabs), with the headline, sentences and notes as comments."""
    blocks = [f"% {headline(report)}.\n% {printable(report.study)}: {words.settings(report)}"]
    for table in _tables(report, layout):
        blocks += [f"% {printable(table.title)}" if table.title else "", _latex(table)]
    notes = (*words.differences(report), *words.notes(report))
    below = (_footer(report), *answer(report), *notes)
    blocks += [f"% {printable(line)}" for line in below]
    return "\n\n".join(filter(None, blocks))


def _latex(table: _Table) -> str:
    head, *body = [f"{' & '.join(map(_tex, row))} \\\\" for row in table.rows]
    if table.foot:
        body.insert(-table.foot, r"\midrule")
    align = "r" if table.numeric else "l"
    begin = rf"\begin{{tabular}}{{{align * len(table.rows[0])}}}"
    return "\n".join(
        [begin, r"\toprule", head, r"\midrule", *body, r"\bottomrule", r"\end{tabular}"]
    )


_TEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "–": "--",
    "…": r"\ldots{}",
}
_TEX |= {"≥": r"$\geq$", "≤": r"$\leq$", "<": r"$<$", ">": r"$>$"}
_TEX |= {special: f"\\{special}" for special in "&%$#_{}"}


def _tex(text: str) -> str:
    return "".join(_TEX.get(letter, letter) for letter in printable(text))


def _tables(report: Report, layout: Layout) -> Iterator[_Table]:
    """Panels, comparisons and layers as text."""
    for panel in panels(report, layout):
        yield _Table(title=panel.title, rows=_rows(panel), foot=len(panel.foot))
    if compared := words.comparisons(report):
        rows = [words.comparison_headings(report), *compared]
        yield _Table(rows=rows, numeric=False, legend=words.comparison_legend(report))
    for texts in final_loss.listings(report):
        rows = [texts.head, *texts.rows]
        yield _Table(title=texts.title, rows=rows, numeric=False, legend=texts.legend)
    for title, listing in layer_tables.listings(report.layers, report.varying):
        yield _Table(title=title, rows=listing)


def _rows(panel: Panel) -> list[list[str]]:
    """Headings, rows and foot of a panel."""
    rows = [
        [
            panel.row_heading,
            *(words.one_line(panel.layout.columns, panel.heading(key)) for key in panel.columns),
        ]
    ]
    for row in panel.rows:
        cells = [panel.cell_words(row, key) for key in panel.columns]
        rows.append([as_typed(row), *map(_joined, cells)])
    foot = zip(*map(panel.foot_words, panel.columns), strict=True)
    for heading, texts in zip(panel.foot, foot, strict=True):
        rows.append(
            [heading, *(f"{text} ({interval})" if interval else text for text, interval in texts)]
        )
    return rows


def _joined(cell: tuple[str, str]) -> str:
    """Text of a cell, the interval of its median in parentheses."""
    text, interval = cell
    value, _, rest = text.strip().partition(" ")
    return f"{value} ({interval}) {rest}".strip() if interval else text.strip()


def _footer(report: Report) -> str:
    rates = words.best_rates(report)
    fit = f"; {words.FIT}" if report.fitted else ""
    layers = f" {layer_tables.LEGEND}." if report.layers else ""
    return f"{words.legend(report)}{f'; {rates}' * bool(rates)}{fit}.{layers}"
