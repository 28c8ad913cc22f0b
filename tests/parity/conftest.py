"""Comparisons with foreign code, and the table of their errors."""

from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import torch
from support.foreign import Compare, Stack, assert_parity
from support.schemes import name_of, schemes
from torch import Tensor

from lib.facts import commit
from resformer.plan.provenance import machine
from resformer.residuals.base import Residual

_ABOUT = """# Parity with public code

One member in float64, N(0, 0.25²) added to every weight; a public implementation with the same
weights in the places of its own. Errors are the largest difference over the largest entry, of the
logits and of the worst weight's gradient (whose largest entry counts as 1e-4 of the largest of all
gradients at least). Agreement to round-off is about 1e-15 and 1e-12.
"""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--parity-table", type=Path, metavar="FILE", help="write the errors of all comparisons"
    )


@pytest.fixture
def compare(
    request: pytest.FixtureRequest, record_property: Callable[[str, object], None]
) -> Compare:
    """`assert_parity`, whose errors become a row of the table."""
    module = request.module.__name__.rpartition("test_")[2]
    package = module.replace("_", "-")

    def compared(
        residual: Residual[Any], stack: Stack, key_P: Tensor | None = None, **model: Any
    ) -> None:
        logits, gradient = assert_parity(residual, stack, key_P, **model)
        settings = ", ".join(f"{key} {value}" for key, value in {**vars(residual), **model}.items())
        settings = settings or "–"
        against = f"{package} {metadata.version(package)}"
        row = f"| `{name_of(residual)}` | {settings} | {against} | {logits:.0e} | {gradient:.0e} |"
        record_property("parity", (name_of(residual), row))

    return compared


def pytest_sessionfinish(session: pytest.Session) -> None:
    path = session.config.getoption("parity_table", default=None)
    if path is None or hasattr(session.config, "workerinput"):
        return
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    assert reporter is not None
    properties = [dict(report.user_properties) for report in reporter.stats.get("passed", [])]
    compared = sorted(row["parity"] for row in properties if "parity" in row)
    names = {name for name, _ in compared}
    others = ", ".join(f"`{name}`" for name in map(name_of, schemes()) if name not in names)
    facts = {"commit": commit(), **machine(), "torch": torch.__version__}
    circumstances = ", ".join(f"{key} {value}" for key, value in facts.items())
    head = "| scheme | settings | against | logits | gradient |\n|---|---|---|---|---|"
    rows = [row for _, row in compared]
    without = f"\nWithout an implementation in these packages: {others}."
    path.write_text("\n".join([_ABOUT, f"{circumstances}\n", head, *rows, without]) + "\n")
