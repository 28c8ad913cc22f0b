"""Cells whose best rate lies at the edge of the rates tried: counts, words, the next command."""

import pytest
from support.studies import WrittenStudy, solved, unsolved

from resformer.reporting.schema import BestRates, Report
from resformer.reporting.serial import to_json
from resformer.reporting.text.words import best_rates
from resformer.rounds.advice import further_rates

SLOW, FAST, NEVER = [solved(80)] * 3, [solved(40)] * 3, [unsolved()] * 3
LARGEST = {1e-3: NEVER, 3e-3: SLOW, 1e-2: FAST}
SMALLEST = {1e-3: FAST, 3e-3: SLOW, 1e-2: NEVER}
INSIDE = {1e-3: NEVER, 3e-3: FAST, 1e-2: SLOW}
NOWHERE = {1e-3: NEVER, 3e-3: NEVER, 1e-2: NEVER}


def report(made: WrittenStudy, *cells: object) -> Report:
    for depth, rates in enumerate(cells, 1):
        made.cell(rates, depth=depth)  # type: ignore[arg-type]
    return made.report()


def test_cells_that_solve_are_counted_by_the_place_of_their_best_rate(made: WrittenStudy) -> None:
    some = report(made, LARGEST, LARGEST, SMALLEST, INSIDE, NOWHERE)
    assert some.best_rates == BestRates(cells=4, inside=1, smallest=1, largest=2)
    assert to_json(some)["best_rates"] == {"cells": 4, "inside": 1, "smallest": 1, "largest": 2}
    assert best_rates(some) == (
        "best learning rate inside the grid in 1 of 4 cells that solve, at its edge where a star "
        "stands"
    )


def test_nothing_is_said_of_cells_that_do_not_solve_or_have_one_rate(made: WrittenStudy) -> None:
    some = report(made, NOWHERE, FAST)
    assert best_rates(some) == ""
    assert further_rates(some, ["sweep"]) is None


def test_all_inside_needs_no_star(made: WrittenStudy) -> None:
    some = report(made, INSIDE, INSIDE)
    assert best_rates(some) == "best learning rate inside the grid in all 2 cells that solve"
    assert further_rates(some, ["sweep"]) is None


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (["sweep"], "resformer sweep --study made member.lr=0.03"),
        (
            ["sweep", "--study", "made", "member.lr=1e-3,3e-3,1e-2", "member.seed=range(0,3)"],
            "resformer sweep --study made 'member.seed=range(0,3)' member.lr=0.03",
        ),
        (
            ["sweep", "--settle", "--study", "made"],
            "resformer sweep --settle --study made member.lr=0.001,0.003,0.01,0.03",
        ),
        (["sweep", "--study=made"], "resformer sweep --study=made member.lr=0.03"),
    ],
)
def test_the_next_command_can_be_pasted(made: WrittenStudy, words: list[str], command: str) -> None:
    some = report(made, LARGEST, LARGEST, INSIDE)
    assert further_rates(some, words) == (
        f"2 of 3 cells are best at the largest rate tried, 0.01; go on with: {command}"
    )


def test_the_smaller_edge_goes_on_downwards(made: WrittenStudy) -> None:
    line = further_rates(report(made, SMALLEST, SMALLEST), ["sweep"])
    assert line is not None
    assert "best at the smallest rate tried, 0.001" in line
    assert line.endswith("member.lr=0.0003")


def test_half_of_the_cells_at_an_edge_are_not_most(made: WrittenStudy) -> None:
    assert further_rates(report(made, LARGEST, INSIDE), ["sweep"]) is None


def test_nothing_lies_beyond_the_largest_half_decade(made: WrittenStudy) -> None:
    made.cell({0.1: SLOW, 10.0: FAST})
    assert further_rates(made.report(), ["sweep"]) is None
