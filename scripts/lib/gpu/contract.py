"""Contract of the population on a GPU: the tests of tests/test_on_a_gpu.py."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, final

import pandas as pd

from lib.bench.tables import number, table
from lib.facts import ROOT
from lib.gpu.record import Record
from resformer.workers.resources import cores

if TYPE_CHECKING:
    import pytest

_TESTS = ROOT / "tests" / "test_on_a_gpu.py"
_MOST_PROCESSES = 8
_MOST_FAILURES = 12
"""Failures after which no further tests are begun: what is wrong is seen by then."""


def measure(device: str, record: Record) -> None:
    """A row per test; SystemExit if not all passed."""
    del device  # the tests know theirs
    run(_TESTS, record, "-n", str(min(_MOST_PROCESSES, cores())))


def run(tests: Path, record: Record, *options: str) -> None:
    """Run a file of tests; SystemExit if not all passed. Warnings of other versions of packages
    than those that are pinned are no failures.
    """
    import pytest

    words = [
        *("-q", "--tb=short", f"--maxfail={_MOST_FAILURES}"),
        *("-p", "no:cacheprovider", "-o", "filterwarnings=default"),
    ]
    code = pytest.main([*words, *options, str(tests)], plugins=[_Outcomes(record)])
    if code != pytest.ExitCode.OK:
        sys.exit(f"{tests.name}: pytest ended with exit code {int(code)}")


@final
class _Outcomes:
    """Plugin that records the outcome of each test as it is known."""

    def __init__(self, record: Record) -> None:
        self._record = record

    def pytest_runtest_logreport(self, report: "pytest.TestReport") -> None:
        """Record a test that has run, or could not be set up or cleared away."""
        if report.when == "call" or not report.passed:
            row = {"test": report.nodeid.partition("::")[2], "outcome": report.outcome}
            self._record({**row, "seconds": report.duration})


def render(rows: pd.DataFrame) -> str:
    """Number of tests by outcome, and the names of those that did not pass."""
    counts = [[str(outcome), str(len(part))] for outcome, part in rows.groupby("outcome")]
    slowest = rows.nlargest(1, "seconds").iloc[0]
    notes = [f"The slowest took {number(slowest['seconds'])} s: {slowest['test']}."]
    notes += [
        f"{row['outcome']}: {row['test']}"
        for row in rows[rows["outcome"] != "passed"].to_dict("records")
    ]
    return table("The contract of the population on the GPU", ["tests", ""], counts, notes)
