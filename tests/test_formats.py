"""Reports for other programs and for papers."""

import csv
import io
import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from support.studies import SEEDS, STALLED, WrittenStudy, shape

from resformer.reporting.layout import Layout, layout
from resformer.reporting.schema import Report
from resformer.reporting.serial import from_json, to_json
from resformer.reporting.views.formats import as_csv, as_json, as_latex, as_markdown
from resformer.residuals.add import Add
from resformer.residuals.plain import Plain
from resformer.results.csv import spreadsheet_safe


@pytest.fixture
def report(made: WrittenStudy) -> Report:
    for depth in (1, 8):
        for norm in ("post", "pre"):
            made.job(
                shape(depth, Plain(), norm),
                SEEDS,
                [100, 120, 110, 90, 130] if depth == 1 else [STALLED] * 5,
            )
            made.job(shape(depth, Add(), norm), SEEDS, [100, 120, 110, 90, 130])
    return made.report()


def test_json_is_the_report_a_line_per_row(report: Report) -> None:
    text = as_json(report)
    assert json.loads(text) == json.loads(json.dumps(to_json(report)))
    assert from_json(json.loads(text)) == report
    assert (
        sum(line.startswith('  {"study": "made"') for line in text.splitlines())
        == 8 + 8 + 4 + 2 * 3
    )


def test_csv_holds_the_rows_of_the_json(report: Report) -> None:
    rows = list(csv.DictReader(io.StringIO(as_csv(report))))
    tree = json.loads(as_json(report))
    for name in ("cells", "rates", "limits", "comparisons"):
        of_table = [row for row in rows if row["table"] == name]
        assert len(of_table) == len(tree[name])
        for row, entry in zip(of_table, tree[name], strict=True):
            assert {key: read(row[key], value) for key, value in entry.items()} == entry
            assert not any(row[key] for key in row.keys() - entry.keys() - {"table"})


def read(text: str, like: object) -> object:
    """A cell of the CSV as the type of the value in the JSON."""
    if like is None:
        return text or None
    if isinstance(like, str):
        return text
    return json.loads(text.lower() if isinstance(like, bool) else text)


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_a_text_is_no_formula(report: Report, text: str) -> None:
    key = report.cells[0].key
    first = replace(report.cells[0], key=replace(key, arm=replace(key.arm, study=text)))
    (row, *_) = csv.DictReader(io.StringIO(as_csv(replace(report, cells=(first,)))))
    assert row["study"] == f"'{text}"
    assert spreadsheet_safe(-1.5) == -1.5


def test_a_report_as_markdown(report: Report) -> None:
    text = as_markdown(report, layout(report))
    assert "| depth | plain post | plain pre | add post | add pre |" in text
    assert (
        "| 8 | stalled 2.77 0/5 | stalled 2.77 0/5 | 110 (90–130) 5/5 | 110 (90–130) 5/5 |" in text
    )
    assert "| limit | 1 (1–1) | 1 (1–1) | ≥ 8 (8–…) | ≥ 8 (8–…) |" in text
    assert "| add / plain | post | ≥ 8 : 1 | ≥ +3.0 | 1.1 to 3.4 | 0.016 | 1.00 |  |" in text
    assert "exact p = " in text
    assert text.startswith("**With residual connections stacks train deeper than without: ")


@pytest.mark.parametrize("write", [as_markdown, as_latex])
def test_notes_stand_behind_the_sentences(
    report: Report, write: Callable[[Report, Layout], str]
) -> None:
    settled = replace(report, settled=True)
    assert "a sweep looked at these twice" in write(settled, layout(report)).splitlines()[-1]
    assert "looked at these twice" not in write(report, layout(report))


def test_markdown_escapes_what_users_name(report: Report) -> None:
    report = replace(report, study="a|b *c* <script>")
    assert r"**a\|b \*c\* \<script\>**" in as_markdown(report, layout(report))


def test_a_report_as_latex(report: Report) -> None:
    text = as_latex(report, layout(report))
    assert (
        r"8 & stalled 2.77 0/5 & stalled 2.77 0/5 & 110 (90--130) 5/5 & 110 (90--130) 5/5 \\"
        in text
    )
    assert (
        r"limit & 1 (1--1) & 1 (1--1) & $\geq$ 8 (8--\ldots{}) & $\geq$ 8 (8--\ldots{}) \\" in text
    )


def test_latex_escapes_what_users_name(report: Report) -> None:
    norm = r"a_b\c%{}$&#~^"
    cell, limit = report.cells[0], report.limits[0]
    arm = replace(cell.key.arm, norm=norm)
    report = replace(
        report,
        study="two\nlines",
        cells=(replace(cell, key=replace(cell.key, arm=arm)),),
        limits=(replace(limit, key=arm),),
        comparisons=(),
    )
    text = as_latex(report, layout(report))
    assert r"a\_b\textbackslash{}c\%\{\}\$\&\#\textasciitilde{}\textasciicircum{}" in text
    assert text.splitlines()[1].startswith("% two lines")
