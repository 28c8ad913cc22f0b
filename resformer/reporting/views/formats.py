"""Report as JSON, CSV, Markdown and LaTeX."""

import io
import json
from collections.abc import Sequence

import pandas as pd

from resformer.keys import as_typed
from resformer.reporting import serial
from resformer.reporting.layout import Layout, Panel, panels
from resformer.reporting.schema import Report
from resformer.reporting.text import words
from resformer.reporting.text.verdict import cost_sentence, verdict_sentences
from resformer.reporting.views import layers as layer_tables
from resformer.results.csv import LINE_END, spreadsheet_safe
from resformer.text import printable


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
    """Cells as CSV, a row each; `lr_by_seed` as JSON."""
    rows = [serial.row(cell) for cell in report.cells]
    rows = [{**cell, "lr_by_seed": json.dumps(cell["lr_by_seed"])} for cell in rows]
    buffer = io.StringIO()
    pd.DataFrame(rows).map(spreadsheet_safe).to_csv(buffer, index=False, lineterminator=LINE_END)
    return buffer.getvalue().removesuffix(LINE_END)


def as_markdown(report: Report, layout: Layout) -> str:
    """Tables, comparisons and the verdict in Markdown."""
    blocks = [f"**{_safe(report.study)}**: {_safe(words.settings(report))}"]
    blocks += [_safe(line) for line in words.differences(report)]
    for panel in panels(report, layout):
        head, *rows = _rows(panel)
        blocks += [f"**{_safe(panel.title)}**"] * bool(panel.title)
        blocks.append(_markdown([head, *rows], "---:"))
    compared = _comparisons(report)
    if len(compared) > 1:
        blocks += [_markdown(compared, "---"), _safe(words.COMPARISON_LEGEND)]
    for title, rows in _layers(report):
        blocks += [f"**{_safe(title)}**", _markdown(rows, "---:")]
    return "\n\n".join(
        [
            *blocks,
            _footer(report),
            *map(_safe, verdict_sentences(report)),
            *([cost_sentence(report)] if cost_sentence(report) else []),
        ]
    )


def _markdown(rows: Sequence[Sequence[str]], rule: str) -> str:
    head, *rest = [[_safe(text) for text in row] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, [rule] * len(head), *rest))


def _safe(text: str) -> str:
    text = printable(text).replace("\\", "\\\\")
    for special in "|*_<>`[]":
        text = text.replace(special, f"\\{special}")
    return text


def as_latex(report: Report, layout: Layout) -> str:
    """Tables and comparisons as LaTeX (booktabs)."""
    blocks = [f"% {printable(report.study)}: {words.settings(report)}"]
    for panel in panels(report, layout):
        limited = panel.layout.rows == "depth"
        blocks += [f"% {printable(panel.title)}"] * bool(panel.title)
        blocks.append(_latex(_rows(panel), "r", limited))
    compared = _comparisons(report)
    if len(compared) > 1:
        blocks.append(_latex(compared, "l", False))
    for title, rows in _layers(report):
        blocks += [f"% {title}", _latex(rows, "r", False)]
    return "\n\n".join(
        [
            *blocks,
            f"% {_footer(report)}",
            *(f"% {sentence}" for sentence in verdict_sentences(report)),
        ]
    )


def _latex(rows: Sequence[Sequence[str]], align: str, rule_before_last: bool) -> str:
    head, *lines = [f"{' & '.join(map(_tex, row))} \\\\" for row in rows]
    body = [*lines[:-1], r"\midrule", lines[-1]] if rule_before_last else lines
    begin = rf"\begin{{tabular}}{{{align * len(rows[0])}}}"
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


def _rows(panel: Panel) -> list[list[str]]:
    """Headings, rows and depth limits of a panel as text, intervals in parentheses."""

    def joined(cell: tuple[str, str]) -> str:
        text, interval = cell
        value, _, rest = text.strip().partition(" ")
        return f"{value} ({interval}) {rest}".strip() if interval else text.strip()

    rows = [[panel.row_heading, *(" ".join(panel.heading(key)) for key in panel.columns)]]
    for row in panel.rows:
        rows.append(
            [
                as_typed(row),
                *(joined(words.cell(panel.cells.get((row, key)))) for key in panel.columns),
            ]
        )
    if panel.layout.rows == "depth":
        limits = [panel.limit(key) for key in panel.columns]
        rows.append(
            ["limit", *(f"{text} ({interval})" if interval else text for text, interval in limits)]
        )
    return rows


def _comparisons(report: Report) -> list[Sequence[str]]:
    rows = [
        words.comparison(row, report.varying) for row in report.comparisons if row.depth is None
    ]
    return [words.COMPARISON, *rows]


def _layers(report: Report) -> list[tuple[str, list[list[str]]]]:
    return layer_tables.listings(report.layers, report.varying)


def _footer(report: Report) -> str:
    edge = any(cell.lr_at_edge for cell in report.cells)
    star = f"; {words.EDGE.replace('*', 'star:', 1)}" if edge else ""
    layers = f" {layer_tables.LEGEND}." if report.layers else ""
    return f"{words.LEGEND}{star}. {words.COVERAGE}.{layers}"
