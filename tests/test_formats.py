"""Reports for other programs and for papers."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from support.studies import SEEDS, STALLED, Made, shape

from resformer.reporting.layout import layout
from resformer.reporting.views.formats import as_csv, as_json, as_latex, as_markdown
from resformer.residuals.add import Add
from resformer.residuals.plain import Plain
from resformer.results.csv import spreadsheet_safe


@pytest.fixture
def summary(tmp_path: Path) -> dict[str, Any]:
    made = Made(tmp_path / "results")
    for depth in (1, 8):
        for norm in ("post", "pre"):
            made.job(
                shape(depth, Plain(), norm),
                SEEDS,
                [100, 120, 110, 90, 130] if depth == 1 else [STALLED] * 5,
            )
            made.job(shape(depth, Add(), norm), SEEDS, [100, 120, 110, 90, 130])
    return made.summary()


def test_json_is_the_report_a_line_per_row(summary: dict[str, Any]) -> None:
    text = as_json(summary)
    assert json.loads(text) == summary
    assert (
        sum(line.startswith('  {"study": "made"') for line in text.splitlines())
        == 8 + 8 + 4 + 2 * 3
    )


def test_csv_holds_the_cells(summary: dict[str, Any]) -> None:
    rows = list(csv.DictReader(io.StringIO(as_csv(summary))))
    assert [int(row["depth"]) for row in rows] == [found["depth"] for found in summary["cells"]]
    assert json.loads(rows[0]["lr_by_seed"]) == summary["cells"][0]["lr_by_seed"]


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_a_text_is_no_formula(summary: dict[str, Any], text: str) -> None:
    summary["cells"][0]["study"] = text
    (row, *_) = csv.DictReader(io.StringIO(as_csv(summary)))
    assert row["study"] == f"'{text}"
    assert spreadsheet_safe(-1.5) == -1.5


def test_markdown(summary: dict[str, Any]) -> None:
    text = as_markdown(summary, layout(summary))
    assert "| depth | plain post | plain pre | add post | add pre |" in text
    assert (
        "| 8 | stalled 2.77 0/5 | stalled 2.77 0/5 | 110 (90–130) 5/5 | 110 (90–130) 5/5 |" in text
    )
    assert "| limit | 1 (1–1) | 1 (1–1) | ≥ 8 (8–…) | ≥ 8 (8–…) |" in text
    assert "| add / plain | post | 10/10:5/10 | ≤ 0.31 | 0.26–0.36 | 0.071 | 0.14 |" in text
    assert "exact p = " in text


def test_markdown_escapes_what_users_name(summary: dict[str, Any]) -> None:
    summary["study"] = "a|b *c* <script>"
    assert r"**a\|b \*c\* \<script\>**" in as_markdown(summary, layout(summary))


def test_latex(summary: dict[str, Any]) -> None:
    text = as_latex(summary, layout(summary))
    assert (
        r"8 & stalled 2.77 0/5 & stalled 2.77 0/5 & 110 (90--130) 5/5 & 110 (90--130) 5/5 \\"
        in text
    )
    assert (
        r"limit & 1 (1--1) & 1 (1--1) & $\geq$ 8 (8--\ldots{}) & $\geq$ 8 (8--\ldots{}) \\" in text
    )


def test_latex_escapes_what_users_name(summary: dict[str, Any]) -> None:
    for cell in (*summary["cells"], *summary["limits"], *summary["comparisons"]):
        cell["norm"] = r"a_b\c%{}$&#~^"
    summary["study"] = "two\nlines"
    summary["cells"], summary["limits"] = summary["cells"][:1], summary["limits"][:1]
    text = as_latex({**summary, "comparisons": []}, layout(summary))
    assert r"a\_b\textbackslash{}c\%\{\}\$\&\#\textasciitilde{}\textasciicircum{}" in text
    assert text.splitlines()[0].startswith("% two lines")
