"""Contract of the population on a GPU: the tests of tests/test_on_a_gpu.py, and those of
tests/test_fused.py on bf16 and on members that do not see each other.
"""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, final

import pandas as pd

from lib.bench.tables import number, table
from lib.facts import ROOT
from lib.gpu.record import Record
from resformer.workers.resources import cores

if TYPE_CHECKING:
    import pytest

_FOLDER = ROOT / "tests"
_TESTS = (
    "test_on_a_gpu.py",
    "test_fused.py::test_autocast_is_heeded",
    "test_fused.py::test_members_do_not_see_each_other",
)
_MOST_PROCESSES = 8
_MOST_FAILURES = 12
"""Failures after which no further tests are begun: what is wrong is seen by then."""


def measure(device: str, record: Record) -> None:
    """A row per test; SystemExit if not all passed."""
    del device  # the tests know theirs
    tests = [f"{_FOLDER}/{test}" for test in _TESTS]
    run(tests, record, "-n", str(min(_MOST_PROCESSES, cores())))


def run(tests: Sequence[str], record: Record, *options: str) -> None:
    """Run files of tests, or single tests; SystemExit if not all passed. Warnings of other versions
    of packages than those that are pinned are no failures.
    """
    import pytest

    words = [
        *("-q", "--tb=short", f"--maxfail={_MOST_FAILURES}"),
        *("-p", "no:cacheprovider", "-o", "filterwarnings=default"),
    ]
    code = pytest.main([*words, *options, *tests], plugins=[_Outcomes(record)])
    if code != pytest.ExitCode.OK:
        sys.exit(f"pytest ended with exit code {int(code)}")


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
