"""A study on disk as commit 8ba183c wrote it, when kept weights and probes were part of a job's
id: it is read as before, and what trains now stands beside it.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import Result

DATA = Path(__file__).parent / "data"
REPORT = json.loads((DATA / "report.json").read_text())
"""The report of the code that made the study, but for its comparisons, which had another test."""
del REPORT["comparisons"]
OVERRIDES = (
    "model.depth=1",
    "model.width=8",
    "model.heads=2",
    "task.length=4",
    "task.symbols=12",
    "train.steps=20",
    "train.warmup_steps=20",
    "train.batch=4",
    "train.eval_every=10",
    "train.eval_sequences=16",
    "train.compile=false",
    "train.keep_weights=true",
    "probe.every=10",
    "member.seed=0,1",
    "model.residual=true,false",
)
"""Settings of the study, as they were typed."""

Resformer = Callable[..., Result]


@pytest.fixture(autouse=True)
def study(resformer: Resformer, tmp_path: Path) -> Path:
    shutil.copytree(DATA / "results", tmp_path / "results")
    return tmp_path / "results" / "earlier"


def report(resformer: Resformer) -> Any:
    """The report of the study, without keys that came later."""
    return _common(json.loads(resformer("report", "earlier", "--format", "json").stdout), REPORT)


MOVED = {f"train.{name}": f"optimizer.{name}" for name in ("beta1", "beta2", "eps", "weight_decay")}
"""Settings that have another key now."""


def _common(new: Any, old: Any) -> Any:
    if isinstance(old, dict):
        return {key: _common(new[key if key in new else MOVED[key]], old[key]) for key in old}
    if isinstance(old, list) and len(new) == len(old):
        return [_common(*pair) for pair in zip(new, old, strict=True)]
    return new


def test_the_report_of_an_earlier_study_is_the_same(resformer: Resformer) -> None:
    assert report(resformer) == REPORT


def test_an_earlier_plan_knows_flops_of_a_step_but_no_tokens(resformer: Resformer) -> None:
    known, refused = (resformer("report", "earlier", "--per", unit) for unit in ("flops", "tokens"))
    assert known.exit_code == 0, known.stderr
    assert refused.exit_code == 2
    (line,) = refused.stderr.splitlines()
    assert "--per tokens: study earlier was planned before its tokens per step" in line


def test_the_status_of_an_earlier_study_counts_every_member(resformer: Resformer) -> None:
    shown = resformer("status", "earlier").stdout
    assert "finished     2        4" in shown
    assert "damaged" not in shown


def test_members_of_an_earlier_study_are_exported_with_their_settings(resformer: Resformer) -> None:
    assert resformer("export", "earlier", "tables", "--to", "csv").exit_code == 0
    runs = pd.read_csv("tables/runs.csv")
    assert len(runs) == 4
    assert runs["train.keep_weights"].all()
    assert set(runs["probe.every"]) == {10}
    assert len(pd.read_csv("tables/curves.csv")) == 4 * 21


def test_an_earlier_study_reads_the_same_when_gathered(resformer: Resformer, study: Path) -> None:
    assert resformer("gather", "earlier").exit_code == 0
    assert not list(study.glob("jobs/*/*/attempt-*"))
    assert report(resformer) == REPORT


@pytest.mark.sweep
def test_a_sweep_of_an_earlier_study_trains_beside_it(resformer: Resformer, study: Path) -> None:
    """Its launch names other modules, so that nobody knows if the code is the same."""
    before = {path: path.read_bytes() for path in study.rglob("*.parquet")}
    swept = resformer("sweep", "--study", "earlier", *OVERRIDES)
    assert swept.exit_code == 0, swept.stderr
    assert {path: path.read_bytes() for path in before} == before
    shown = json.loads(resformer("report", "earlier", "--format", "json").stdout)
    (left_out,) = shown["other_code"]
    assert left_out == {"study": "earlier", "members": 4, "roles": []}
    assert (
        "4 members of earlier that unknown code computed" in resformer("report", "earlier").stdout
    )
    assert sum(cell["seeds"] for cell in shown["cells"]) == 4
    assert "finished     2        4" in resformer("status", "earlier").stdout
