"""The studies under results/reference, and the numbers that are quoted from them."""

import json
import math
from pathlib import Path

import pandas as pd
import pytest
from resformer.reporting.text.verdict import verdict_sentences

from lib import docs
from resformer.reporting.layout import layout, panels
from resformer.reporting.serial import from_json
from resformer.reporting.text import words

ROOT = Path(__file__).parent.parent
REFERENCE = ROOT / "results" / "reference"
REPORTS = ["quick", "sort", "schemes", "tasks"]


@pytest.mark.parametrize(
    "shown",
    [
        "file results/reference/quick/report.txt",
        "file results/reference/probe/report.txt",
        "file results/reference/schemes/report.txt",
        "file results/reference/tasks/report.txt",
        "file results/reference/scale/scale.txt",
        "file results/reference/engines/engines.txt",
        "file results/reference/bench/bench.txt",
        "table results/reference/claims/claims.md",
    ],
)
def test_a_page_shows_them_by_a_generated_block(shown: str) -> None:
    """`scripts/docs --check` holds the block to the file."""
    pages = [page for pattern in docs.PAGES for page in ROOT.glob(pattern)]
    assert any(f"\n<!-- docs: {shown}" in page.read_text() for page in pages)


def test_claims_are_numbered() -> None:
    lines = (REFERENCE / "claims" / "claims.md").read_text().splitlines()
    rows = [line for line in lines if line.startswith("| ")][2:]
    assert [row.split(" | ")[0] for row in rows] == [f"| {number}" for number in range(1, 9)]


def test_every_scheme_trains_copy_at_depth_two() -> None:
    cells = json.loads((REFERENCE / "schemes" / "report.json").read_text())["cells"]
    assert all(2 * cell["solved"] > cell["seeds"] for cell in cells if cell["depth"] == 2)


@pytest.mark.parametrize("name", REPORTS)
def test_a_report_that_was_printed_is_that_of_its_json(name: str) -> None:
    """The printed verdict and every cell come out of the committed numbers by the code as it is
    now.
    """
    report = from_json(json.loads((REFERENCE / name / "report.json").read_text()))
    printed = " ".join((REFERENCE / name / "report.txt").read_text().split())
    page = " ".join((REFERENCE / name / "page.html").read_text().split())
    for sentence in verdict_sentences(report):
        assert sentence in printed
        assert sentence in page
    for panel in panels(report, layout(report)):
        for cell in panel.cells.values():
            number = words.cell(cell)[0].split()[-2:]  # a word before it may stand under it
            assert " ".join(number) in printed


@pytest.mark.parametrize("name", REPORTS)
def test_members_and_evaluations_agree(name: str) -> None:
    members = pd.read_csv(REFERENCE / name / "members.csv")
    evaluations = pd.read_parquet(REFERENCE / name / "evaluations.parquet")
    last = evaluations.sort_values("step").groupby(["job", "seed", "lr"]).last()
    ends = last.loc[list(members[["job", "seed", "lr"]].itertuples(index=False, name=None))]
    assert (ends["step"].to_numpy() == members["last_step"].to_numpy()).all()
    # Evaluations are committed in single precision.
    assert ends["held_out_loss"].to_numpy() == pytest.approx(
        members["final_loss"].to_numpy(), rel=1e-6
    )


def test_reports_say_which_intervals_do_not_cover_as_claimed() -> None:
    table = pd.read_csv(REFERENCE / "statistics" / "coverage.csv")
    five = table[table["seeds"] == 5]
    quantities = {
        "of a mean": "restricted mean, Student's t",
        "of a ratio": "ratio, paired t of logarithms",
        "of a Kaplan-Meier median": "median, Kaplan-Meier",
        "of a share solved": "share solved, Wilson",
    }
    for what, quantity in quantities.items():
        percent = 100 * five.loc[five["quantity"] == quantity, "found"]
        assert (
            f"{what} {math.floor(percent.min())} to {math.ceil(percent.max())} %" in words.COVERAGE
        )
    others = table[~table["quantity"].isin(quantities.values())]
    assert set(others["quantity"].str.split(",").str[0]) == {"median", "depth limit", "test"}
    assert others["holds"].all()
