"""What is committed under results/reference, and what is said of it elsewhere."""

import json
import math
from pathlib import Path

import pandas as pd
import pytest

from resformer.reporting.layout import layout, panels
from resformer.reporting.text import words
from resformer.reporting.text.verdict import verdicts

REFERENCE = Path(__file__).parent.parent / "results" / "reference"
REPORTS = ["quick", "sort", "schemes", "tasks"]
README = (REFERENCE.parent.parent / "README.md").read_text()


@pytest.mark.parametrize(
    "name",
    [
        "quick/report.txt",
        "probe/report.txt",
        "bench/bench.txt",
        "scale/scale.txt",
        "engines/engines.txt",
    ],
)
def test_the_readme_shows_them_as_they_are(name: str) -> None:
    assert f"```\n{(REFERENCE / name).read_text()}```" in README


@pytest.mark.parametrize(
    ("name", "behind"), [("schemes", "\n\n  compared"), ("tasks", "\n\nmedian steps")]
)
def test_the_readme_shows_their_tables(name: str, behind: str) -> None:
    table, _, _ = (REFERENCE / name / "report.txt").read_text().partition(behind)
    assert f"```\n{table}\n```" in README


def test_the_readme_says_which_claims_hold() -> None:
    rows = (REFERENCE / "claims" / "claims.md").read_text().splitlines()[2:]
    assert [row.split(" | ")[0] for row in rows] == [f"| {number}" for number in range(1, 9)]
    for row in rows:
        number, title, source, _, _, verdict, _ = row.strip("| ").split(" | ")
        assert f"| {number} | {title} | {source} | {verdict} |" in README


def test_every_scheme_trains_copy_at_depth_two() -> None:
    cells = json.loads((REFERENCE / "schemes" / "report.json").read_text())["cells"]
    assert all(2 * cell["solved"] > cell["seeds"] for cell in cells if cell["depth"] == 2)


@pytest.mark.parametrize("name", REPORTS)
def test_a_report_that_was_printed_is_that_of_its_json(name: str) -> None:
    """The printed verdict and every cell come out of the committed numbers by the code as it is
    now.
    """
    summary = json.loads((REFERENCE / name / "report.json").read_text())
    printed = " ".join((REFERENCE / name / "report.txt").read_text().split())
    page = " ".join((REFERENCE / name / "page.html").read_text().split())
    for sentence in verdicts(summary):
        assert sentence in printed
        assert sentence in page
    for panel in panels(summary, layout(summary)):
        for cell in panel.cells.values():
            number = words.cell(cell)[0].split()[-2:]  # a word before it may stand under it
            assert " ".join(number) in printed


@pytest.mark.parametrize("name", REPORTS)
def test_members_and_evaluations_agree(name: str) -> None:
    members = pd.read_csv(REFERENCE / name / "members.csv")
    evaluations = pd.read_parquet(REFERENCE / name / "evaluations.parquet")
    last = evaluations.sort_values("step").groupby(["job", "seed", "lr"]).last()
    found = last.loc[list(members[["job", "seed", "lr"]].itertuples(index=False, name=None))]
    assert (found["step"].to_numpy() == members["last_step"].to_numpy()).all()
    # Evaluations are committed in single precision.
    assert found["held_out_loss"].to_numpy() == pytest.approx(
        members["final_loss"].to_numpy(), rel=1e-6
    )


def test_reports_say_which_intervals_do_not_cover_as_claimed() -> None:
    table = pd.read_csv(REFERENCE / "statistics" / "coverage.csv")
    five = table[table["seeds"] == 5]
    said = {
        "of a mean": "restricted mean, Student's t",
        "of a ratio": "ratio, paired t of logarithms",
        "of a Kaplan-Meier median": "median, Kaplan-Meier",
        "of a share solved": "share solved, Wilson",
    }
    for what, quantity in said.items():
        found = 100 * five.loc[five["quantity"] == quantity, "found"]
        assert f"{what} {math.floor(found.min())} to {math.ceil(found.max())} %" in words.COVERAGE
    others = table[~table["quantity"].isin(said.values())]
    assert set(others["quantity"].str.split(",").str[0]) == {"median", "depth limit", "test"}
    assert others["holds"].all()
