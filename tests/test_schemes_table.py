"""Table of all schemes that `scripts/reference schemes` writes."""

from support.studies import WrittenStudy, solved, unsolved

from lib.schemes_table import schemes_table
from resformer.reporting.analysis.pairs import Pairing
from resformer.reporting.analysis.summary import summarise
from resformer.residuals.add import Add
from resformer.residuals.deepnorm import DeepNorm
from resformer.residuals.lns import Lns
from resformer.tasks.recall import Recall
from resformer.tasks.sort import Sort
from resformer.tasks.state import State

TASKS = {
    "sort": Sort(length=6, symbols=8),
    "state": State(group="Z5", length=6),
    "recall": Recall(pairs=3, symbols=8, rebinds=0),
}


def test_a_row_of_every_scheme_and_the_better_ones(made: WrittenStudy) -> None:
    """DeepNorm solves sort at depth 16, where `add` does not; LNS solves state twice as fast."""
    never = [unsolved(2.0)] * 5
    slow, fast = ([solved(step) for step in steps] for steps in ((50, 52, 48), (24, 26, 25)))
    for residual, norm, sort_16, state in (
        (Add(), "pre", never, slow),
        (DeepNorm(), "post", [solved(60)] * 5, slow),
        (Lns(), "pre", never, fast),
    ):
        at = {"residual": residual, "norm": norm}
        by_rate = {1e-3: [solved(50)] * 5, 1e-2: [unsolved(0.1)] * 5, 1e-1: never}
        made.cell(by_rate, task=TASKS["sort"], depth=8, **at)
        made.cell(sort_16, task=TASKS["sort"], depth=16, **at)
        for depth in (4, 8):
            made.cell(state, task=TASKS["state"], depth=depth, **at)
        made.cell([*[solved(30)] * 4, unsolved()], task=TASKS["recall"], depth=8, **at)
    made.write()
    findings = made.findings()
    table = schemes_table(findings.members, summarise(findings, Pairing(against="add pre")))
    rows = {line.split(" | ")[0].strip("| "): line for line in table.splitlines() if "|" in line}
    assert list(rows)[2:] == ["deepnorm post", "add pre", "lns pre"]
    assert rows["deepnorm post"].startswith("| deepnorm post | ≥ 16 | **≥ +1.0 (")
    assert "| 4/5 |" in rows["add pre"]
    assert rows["add pre"].endswith("| 0.01 |")
    assert "**0.50 (" in rows["lns pre"]
    assert "Of 2 schemes, 2 are better than `add` pre-norm in some task and worse in none" in table
