"""A report for other programs and for papers: JSON, CSV, Markdown and LaTeX."""

import io
import json
from collections.abc import Sequence
from typing import Any

import pandas as pd

from resformer.keys import as_typed
from resformer.reporting.columns import Columns
from resformer.reporting.layout import Layout, Panel, panels
from resformer.reporting.text import words
from resformer.reporting.text.verdict import cost, verdicts
from resformer.reporting.views import layers as inside
from resformer.results.csv import LINE_END, spreadsheet_safe
from resformer.text import printable

Json = dict[str, Any]


def as_json(summary: Json) -> str:
    """The schema of the report, a line for every row."""
    parts = []
    for name, value in summary.items():
        rows = (
            [json.dumps(row, allow_nan=False) for row in value] if isinstance(value, list) else []
        )
        text = "[\n  " + ",\n  ".join(rows) + "\n ]" if rows else json.dumps(value, allow_nan=False)
        parts.append(f" {json.dumps(name)}: {text}")
    return "{\n" + ",\n".join(parts) + "\n}"


def as_csv(summary: Json) -> str:
    """The cells, a row each; `lr_by_seed` as JSON."""
    rows = [{**cell, "lr_by_seed": json.dumps(cell["lr_by_seed"])} for cell in summary["cells"]]
    buffer = io.StringIO()
    pd.DataFrame(rows).map(spreadsheet_safe).to_csv(buffer, index=False, lineterminator=LINE_END)
    return buffer.getvalue().removesuffix(LINE_END)


def as_markdown(summary: Json, asked: Layout) -> str:
    """The tables, the comparisons and the verdict in Markdown."""
    blocks = [f"**{_safe(summary['study'])}**: {_safe(words.settings(summary))}"]
    blocks += [_safe(line) for line in words.differences(summary)]
    for panel in panels(summary, asked):
        head, *rows = _rows(panel)
        blocks += [f"**{_safe(panel.title)}**"] * bool(panel.title)
        blocks.append(_markdown([head, *rows], "---:"))
    compared = _comparisons(summary)
    if len(compared) > 1:
        blocks += [_markdown(compared, "---"), _safe(words.COMPARISON_LEGEND)]
    for title, rows in _layers(summary):
        blocks += [f"**{_safe(title)}**", _markdown(rows, "---:")]
    return "\n\n".join(
        [
            *blocks,
            _footer(summary),
            *map(_safe, verdicts(summary)),
            *([cost(summary)] if cost(summary) else []),
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


def as_latex(summary: Json, asked: Layout) -> str:
    """The tables and the comparisons as LaTeX (booktabs)."""
    blocks = [f"% {printable(summary['study'])}: {words.settings(summary)}"]
    for panel in panels(summary, asked):
        limited = panel.layout.rows == "depth"
        blocks += [f"% {printable(panel.title)}"] * bool(panel.title)
        blocks.append(_latex(_rows(panel), "r", limited))
    compared = _comparisons(summary)
    if len(compared) > 1:
        blocks.append(_latex(compared, "l", False))
    for title, rows in _layers(summary):
        blocks += [f"% {title}", _latex(rows, "r", False)]
    return "\n\n".join(
        [*blocks, f"% {_footer(summary)}", *(f"% {sentence}" for sentence in verdicts(summary))]
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
    """Heading, rows and depth limits as text, intervals in parentheses."""

    def joined(cell: tuple[str, str]) -> str:
        text, interval = cell
        value, _, rest = text.strip().partition(" ")
        return f"{value} ({interval}) {rest}".strip() if interval else text.strip()

    rows = [[panel.row_heading, *(" ".join(panel.named(key)) for key in panel.columns)]]
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


def _comparisons(summary: Json) -> list[Sequence[str]]:
    columns = Columns(summary["cells"])
    rows = [
        words.comparison(row, columns) for row in summary["comparisons"] if row["depth"] is None
    ]
    return [words.COMPARISON, *rows]


def _layers(summary: Json) -> list[tuple[str, list[list[str]]]]:
    return inside.listings(summary.get("layers", []), Columns(summary["cells"]).varying)


def _footer(summary: Json) -> str:
    edge = any(cell["lr_at_edge"] for cell in summary["cells"])
    star = f"; {words.EDGE.replace('*', 'star:', 1)}" if edge else ""
    layers = f" {inside.LEGEND}." if "layers" in summary else ""
    return f"{words.LEGEND}{star}. {words.COVERAGE}.{layers}"
