"""The studies under results/reference, and the numbers that are quoted from them."""

import json
from html import escape
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from lib import docs
from lib.coverage.scenarios import SCENARIOS
from resformer import plugins
from resformer.reporting.layout import layout, panels
from resformer.reporting.serial import from_json
from resformer.reporting.text import words
from resformer.reporting.text.answer import answer
from resformer.reporting.text.headline import headline
from resformer.reporting.views import terminal

ROOT = Path(__file__).parent.parent
REFERENCE = ROOT / "results" / "reference"
REPORTS = ["quick", "sort", "depth", "schemes", "tasks", "seeds", "modern"]


@pytest.mark.parametrize(
    "shown",
    [
        "file results/reference/quick/report.txt",
        "file results/reference/probe/report.txt",
        "file results/reference/schemes/report.txt",
        "file results/reference/tasks/report.txt",
        "file results/reference/statistics/coverage.txt",
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


def test_claims_are_those_that_are_stated() -> None:
    """In their order; some may not have been tried yet."""
    lines = (REFERENCE / "claims" / "claims.md").read_text().splitlines()
    numbers = [line.split(" | ")[0] for line in lines if line.startswith("| ")][2:]
    stated = [f"| {name.partition('-')[0]}" for name in plugins.claims()]
    assert numbers
    assert numbers == [number for number in stated if number in numbers]


@pytest.mark.parametrize("name", REPORTS)
def test_a_report_that_was_printed_is_that_of_its_json(name: str) -> None:
    """The printed answer and every cell come out of the committed numbers by the code as it is
    now.
    """
    report = from_json(json.loads((REFERENCE / name / "report.json").read_text()))
    printed = " ".join((REFERENCE / name / "report.txt").read_text().split())
    page = " ".join((REFERENCE / name / "page.html").read_text().split())
    for sentence in answer(report):
        assert sentence in printed
        assert escape(sentence.partition(": ")[2]) in page
    assert escape(headline(report)) in page
    assert "__main__" not in page  # the command is resformer, however it was started
    for panel in panels(report, layout(report)):
        for cell in panel.cells.values():
            number = words.cell(cell, "steps")[0].split()[-2:]  # a word before may stand under it
            assert " ".join(number) in printed


@pytest.mark.parametrize("name", REPORTS)
def test_no_word_of_a_comparison_is_broken(name: str) -> None:
    report, out = from_json(json.loads((REFERENCE / name / "report.json").read_text())), StringIO()
    terminal.render(report, layout(report), Console(file=out, width=80, color_system=None))
    compared = {word for row in words.comparisons(report) for word in " ".join(row[:2]).split()}
    table = out.getvalue().partition(" limits ")[2].partition("limits: of depth")[0]
    assert {word for word in compared if len(word) <= 8} <= {*table.split()}


@pytest.mark.parametrize("name", REPORTS)
def test_members_and_evaluations_agree(name: str) -> None:
    members = pd.read_csv(REFERENCE / name / "members.csv")
    evaluations = pd.read_parquet(REFERENCE / name / "evaluations.parquet")
    last = evaluations.sort_values("step").groupby(["job", "seed", "lr"]).last()
    ends = last.loc[list(members[["job", "seed", "lr"]].itertuples(index=False, name=None))]
    # The last evaluation of a member that diverged has no number, and is not kept.
    finite = np.isfinite(members["final_loss"].to_numpy())
    apart = members["last_step"].to_numpy() - ends["step"].to_numpy()
    assert (apart[finite] == 0).all()
    assert (apart >= 0).all()
    # Evaluations are committed in single precision.
    assert ends["held_out_loss"].to_numpy()[finite] == pytest.approx(
        members["final_loss"].to_numpy()[finite], rel=1e-6
    )


def test_the_quick_study_shows_with_both_norms_that_residual_connections_go_deeper() -> None:
    report = json.loads((REFERENCE / "quick" / "report.json").read_text())
    rows = [row for row in report["comparisons"] if row["depth"] is None]
    # Of 12! / (6! 6!) = 924 exchanges of whole seeds two are as extreme.
    assert [row["p"] for row in rows] == [pytest.approx(2 / 924)] * 2
    assert {row["verdict"] for row in rows} == {"better"}


@pytest.mark.parametrize("name", ["quick", "sort"])
def test_best_rates_lie_inside_their_grid(name: str) -> None:
    best = json.loads((REFERENCE / name / "report.json").read_text())["best_rates"]
    assert best["smallest"] == best["largest"] == 0 < best["inside"]


def test_tests_hold_their_level_and_never_decide_for_the_wrong_side() -> None:
    """As simulated and committed; 4 standard errors above the level are left to chance."""
    decisions = pd.read_csv(REFERENCE / "statistics" / "decisions.csv")
    assert set(decisions["scenario"]) == {scenario.name for scenario in SCENARIOS}
    assert (decisions["wrong"] <= 0.05 + 4 * decisions["error"]).all()
    deeper = {scenario.name for scenario in SCENARIOS if scenario.deeper == "scheme"}
    other_side = decisions.loc[decisions["scenario"].isin(deeper), "for_baseline"]
    assert other_side.max() <= 0.01


def test_intervals_cover_but_for_those_that_the_page_names() -> None:
    """4 standard errors are left to chance; an order statistic of five seeds claims 93.75 %."""
    intervals = pd.read_csv(REFERENCE / "statistics" / "intervals.csv")
    of_order = intervals["quantity"].str.startswith("median, order")
    claimed = np.where(of_order, 0.9375, 0.95)
    short = intervals["covered"] < claimed - 4 * intervals["error"]
    named = ("share solved", "restricted mean", "median, Kaplan-Meier")
    assert all(quantity.startswith(named) for quantity in intervals.loc[short, "quantity"])
    readme = " ".join((ROOT / "README.md").read_text().split())
    assert "shares, restricted means and Kaplan–Meier medians of a cell hold" in readme


def test_two_sets_of_real_seeds_of_one_arm_rarely_differ() -> None:
    real = pd.read_csv(REFERENCE / "statistics" / "real.csv")
    alike = real[real["scheme"] == real["baseline"]]
    assert len(alike) == len(real) * 2 // 3
    error = (0.05 * 0.95 / alike["studies"]) ** 0.5
    assert (alike["for_scheme"] + alike["for_baseline"] <= 0.05 + 4 * error).all()
