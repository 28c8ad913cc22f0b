"""resformer as a library: a study's results as data."""

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from support.studies import WrittenStudy, unsolved
from typer.testing import Result

import resformer as library
from resformer.errors import UserError
from resformer.probes.measure import descriptions
from resformer.store.study import Study

pytestmark = pytest.mark.sweep


def damage(study: Study, job: str, name: str) -> Path:
    """Flip a bit of a committed file without a trace in its time of change."""
    (path,) = study.job(job).glob(f"attempt-*/{name}")
    state, content = path.stat(), bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    return path


def test_runs_has_a_row_per_member(swept: Path) -> None:
    runs = library.runs("small", swept)
    names = ["depth", "model.width", "seed", "lr"]
    assert sorted(tuple(row) for row in runs[names].to_numpy()) == list(
        itertools.product((1, 2), (8, 16), (0, 1), (0.001, 0.01))
    )
    ordered = runs.sort_values(["depth", "job", "seed", "lr"], ignore_index=True)
    pd.testing.assert_frame_equal(runs, ordered)
    assert set(runs["outcome"]) == {"unsolved"}
    assert runs["solved_step"].isna().all()
    assert (runs["last_step"] == 20).all()


def test_curves_has_a_row_per_member_and_step(swept: Path) -> None:
    runs, curves = library.runs("small", swept), library.curves("small", swept)
    assert len(curves) == 16 * 21
    ends = curves[curves["step"] == 20].merge(runs, on=["study", "job", "seed", "lr"])
    assert len(ends) == 16
    pd.testing.assert_series_equal(ends["held_out_loss"], ends["final_loss"], check_names=False)
    assert curves.loc[curves["step"] == 0, ["loss", "gradient_norm"]].isna().all(axis=None)
    assert curves.loc[curves["step"] > 0, ["loss", "gradient_norm"]].notna().all(axis=None)


def test_report_is_what_the_command_prints(
    swept: Path, resformer: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(swept.parent)
    printed = json.loads(resformer("report", "small", "--format", "json").stdout)
    summary = library.report("small")
    assert summary == printed
    cells = [(cell["depth"], cell["model.width"]) for cell in summary["cells"]]
    assert cells == list(itertools.product((1, 2), (8, 16)))


def test_layers_has_a_row_per_member_step_and_layer(swept: Path) -> None:
    runs, layers = library.runs("small", swept), library.layers("small", swept)
    assert len(layers) == sum(3 * (2 * depth + 1) for depth in runs["depth"])  # steps 0, 10, 20
    assert {*descriptions()} == {*layers.columns[6:]}
    merged = layers.merge(runs, on=["study", "job", "seed", "lr"])
    assert len(merged) == len(layers)
    assert (merged["layer"] <= 2 * merged["depth"]).all()


def test_layers_of_a_study_without_probes_are_refused(made: WrittenStudy) -> None:
    made.cell([unsolved()], depth=1)
    made.write()
    with pytest.raises(UserError, match=r"no member was probed; probe\.every=50 probes members"):
        library.layers("made", made.study.path.parent)


def test_studies_are_named_the_last_one_first(swept: Path, tmp_path: Path) -> None:
    assert library.studies(swept) == ["small"]
    assert library.studies(tmp_path / "none") == []


@pytest.mark.parametrize("form", ["parquet", "csv"])
def test_the_exported_runs_are_those_of_the_library(
    form: str, swept: Path, tmp_path: Path, resformer: Callable[..., Result]
) -> None:
    assert resformer("export", "small", "out", "--to", form, "--results", str(swept)).exit_code == 0
    for name, table in (
        ("runs", library.runs("small", swept)),
        ("curves", library.curves("small", swept)),
    ):
        path = tmp_path / "out" / f"{name}.{form}"
        exported = (
            pd.read_parquet(path) if form == "parquet" else pd.read_csv(path).astype(table.dtypes)
        )
        pd.testing.assert_frame_equal(exported, table, check_exact=True)


@pytest.mark.parametrize("ask", [library.runs, library.curves, library.layers, library.report])
def test_an_unknown_study_is_refused_with_those_there_are(
    ask: Callable[..., object], swept: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"study smal: is not in .*; did you mean small\?"):
        ask("smal", swept)
    with pytest.raises(UserError, match="there are none; resformer sweep makes one"):
        ask("small", tmp_path / "nothing")


@pytest.mark.parametrize(
    ("ask", "file"),
    [
        (library.runs, "runs.parquet"),
        (library.curves, "curves.parquet"),
        (library.layers, "layers.parquet"),
    ],
)
def test_damaged_results_are_left_out_with_a_warning(
    ask: Callable[..., pd.DataFrame], file: str, results: Path
) -> None:
    study = Study(results / "small")
    first, *others = study.planned()
    path = damage(study, first, file)
    with pytest.warns(UserWarning, match=f"left out: {path}: not the bytes that were committed"):
        assert set(ask("small", results)["job"]) == set(others)


def test_curves_damaged_after_runs_were_read_are_left_out(results: Path) -> None:
    study = Study(results / "small")
    library.runs("small", results)
    first, *others = study.planned()
    damage(study, first, "curves.parquet")
    with pytest.warns(UserWarning, match="not the bytes that were committed"):
        assert set(library.curves("small", results)["job"]) == set(others)
    for job in others:
        damage(study, job, "curves.parquet")
    with pytest.raises(
        UserError,
        match=r"study small: no job has a result that can be read; .*not the bytes that were "
        r"committed",
    ):
        library.curves("small", results)


def test_importing_it_imports_nothing_heavy() -> None:
    code = "import sys, resformer; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout.split()
    heavy = {"torch", "hydra", "pandas", "numpy", "pyarrow", "matplotlib", "rich"}
    assert "resformer" in loaded
    assert not heavy & set(loaded)
    own = [name for name in loaded if name.startswith("resformer.")]
    assert own == ["resformer.workers", "resformer.workers.environment"]
