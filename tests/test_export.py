"""`resformer export`: its files are read back by the programs they are written for."""

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from typer.testing import Result

import resformer as library
from lib import docs
from resformer.errors import UserError
from resformer.results import export, frames, tensorboard
from resformer.results.members import Findings, read
from resformer.store.study import Study

pytestmark = pytest.mark.sweep

ROOT = Path(__file__).parent.parent


@pytest.fixture
def findings(swept: Path) -> Findings:
    return read([Study(swept / "small")])


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_members_of_an_export_are_chosen_like_those_of_a_report(
    results: Path, tmp_path: Path, resformer: Callable[..., Result]
) -> None:
    words = ["export", "small", "out", "--to", "csv", "--where", "depth=2", "--where", "lr=1e-3"]
    result = resformer(*words)
    assert result.exit_code == 0, result.stderr
    runs = pd.read_csv(tmp_path / "out" / "runs.csv")
    assert set(zip(runs["depth"], runs["lr"], strict=True)) == {(2, 1e-3)}
    assert len(pd.read_csv(tmp_path / "out" / "curves.csv")) == len(runs) * 21
    refused = resformer("export", "small", "none", "--to", "csv", "--where", "depth=3")
    assert refused.exit_code == 2
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("form", ["parquet", "csv"])
def test_tables_hold_every_member_and_step(
    form: str, results: Path, tmp_path: Path, resformer: Callable[..., Result]
) -> None:
    result = resformer("export", "small", "out/new", "--to", form)
    assert result.exit_code == 0, result.stderr
    assert result.stdout == ""
    assert result.stderr.split() == [f"out/new/runs.{form}", f"out/new/curves.{form}"]
    assert names(tmp_path / "out") == ["new"]
    load = pd.read_parquet if form == "parquet" else pd.read_csv
    runs, curves = (
        load(tmp_path / "out" / "new" / f"{name}.{form}") for name in ("runs", "curves")
    )
    assert len(runs) == 16
    assert len(runs.drop_duplicates(["depth", "model.width", "seed", "lr"])) == 16
    assert set(runs["study"]) == {"small"}
    assert "shape" not in runs
    assert list(curves) == ["study", "job", "seed", "lr", "step", *frames.CURVE_VALUES]
    assert len(curves) == 16 * 21
    job, seed, lr = runs[["job", "seed", "lr"]].iloc[5]
    stored = Study(results / "small").results.table(job, "curves")
    stored = stored[(stored["seed"] == seed) & (stored["lr"] == lr)]
    exported = curves[(curves["job"] == job) & (curves["seed"] == seed) & (curves["lr"] == lr)]
    columns = ["step", *frames.CURVE_VALUES]
    np.testing.assert_array_equal(exported[columns].to_numpy(), stored[columns].to_numpy())
    last = exported.iloc[-1]
    assert last["held_out_loss"] == runs["final_loss"].iloc[5]


def test_parquet_has_page_checksums(findings: Findings, tmp_path: Path) -> None:
    export.export(findings, tmp_path / "out", "parquet")
    path = tmp_path / "out" / "curves.parquet"
    flipped = bytearray(path.read_bytes())
    first = pq.ParquetFile(path).metadata.row_group(0).column(5)
    flipped[first.data_page_offset + first.total_compressed_size // 2] ^= 1
    path.write_bytes(flipped)
    with pytest.raises(OSError, match="checksum"):
        pq.read_table(path, page_checksum_verification=True)


@pytest.mark.parametrize("form", ["parquet", "csv"])
def test_a_folder_whose_name_is_no_text_is_written(
    findings: Findings, tmp_path: Path, form: export.Form
) -> None:
    folder = tmp_path / os.fsdecode(b"\xff")
    export.export(findings, folder, form)
    assert names(folder) == [f"curves.{form}", f"runs.{form}"]


def test_no_cell_of_a_csv_is_a_formula(findings: Findings, tmp_path: Path) -> None:
    texts = ["=1+1", "+1", "-1", "@now", "\ttab", "\rreturn", "plain", "a=b"]
    findings.members.loc[: len(texts) - 1, "model.activation"] = texts
    findings.members["final_loss"] = -1.5
    export.export(findings, tmp_path / "out", "csv")
    with open(tmp_path / "out" / "runs.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    cells = {row["model.activation"] for row in rows}
    assert cells == {*(f"'{text}" for text in texts[:6]), "plain", "a=b", "relu"}
    assert len(rows) == 16
    assert {row["final_loss"] for row in rows} == {"-1.5"}


def test_tensorboard_reads_a_run_per_member(findings: Findings, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    assert export.export(findings, folder, "tensorboard").paths == [folder]
    assert len(names(folder)) == 16
    name = "copy-depth-2-add-post-width-8-seed-1-lr-0.01"
    member = frames.runs(findings).query(
        "depth == 2 and `model.width` == 8 and seed == 1 and lr == 0.01"
    )
    curve = findings.read_curves(member, frames.CURVE_VALUES).set_index("step")
    events = EventAccumulator(str(folder / name))
    events.Reload()
    assert set(events.Tags()["scalars"]) == set(frames.CURVE_VALUES)
    for column in frames.CURVE_VALUES:
        there = curve[column].dropna()
        scalars_of = events.Scalars(column)
        assert [scalar.step for scalar in scalars_of] == list(there.index)
        np.testing.assert_array_equal(
            [scalar.value for scalar in scalars_of], there.to_numpy(np.float32)
        )
    assert [scalar.step for scalar in events.Scalars("held_out_loss")] == [*range(0, 21, 2)]


def test_values_that_are_not_finite_are_no_scalars(tmp_path: Path) -> None:
    curves = pd.DataFrame(
        {
            **{"job": "a", "seed": 0, "lr": 0.1, "step": [0, 1, 2], "loss": [np.nan, np.inf, 2.0]},
            **{
                "gradient_norm": [np.nan, np.nan, 3.0],
                "held_out_loss": np.nan,
                "held_out_accuracy": np.nan,
            },
        }
    )
    tensorboard.write(tmp_path, {("a", 0, 0.1): "run"}, curves)
    events = EventAccumulator(str(tmp_path / "run"))
    events.Reload()
    assert {
        tag: [(s.step, s.value) for s in events.Scalars(tag)] for tag in events.Tags()["scalars"]
    } == {
        "loss": [(2, 2.0)],
        "gradient_norm": [(2, 3.0)],
    }


def test_without_tensorboard_it_says_what_to_install(
    results: Path, tmp_path: Path, resformer: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    result = resformer("export", "small", "out", "--to", "tensorboard")
    assert result.exit_code == 2
    assert "pip install 'resformer[tensorboard]'" in result.stderr
    assert names(tmp_path) == ["results"]


def test_a_folder_that_holds_something_is_left_alone(
    results: Path, tmp_path: Path, resformer: Callable[..., Result]
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for place, reason in (
        ("full", "not empty"),
        ("file", "is a file"),
        ("file/in", "cannot be written"),
    ):
        result = resformer("export", "small", place, "--to", "csv")
        assert result.exit_code == 2, place
        assert f"resformer: {place}: " in result.stderr
        assert reason in result.stderr
        assert len(result.stderr.splitlines()) == 1
    assert names(tmp_path) == ["file", "full", "results"]
    assert names(tmp_path / "full") == ["mine"]
    assert (tmp_path / "file").read_text() == "mine"


def test_an_empty_folder_is_taken(
    results: Path, tmp_path: Path, resformer: Callable[..., Result]
) -> None:
    (tmp_path / "empty").mkdir()
    assert resformer("export", "small", "empty", "--to", "csv").exit_code == 0
    assert names(tmp_path / "empty") == ["curves.csv", "runs.csv"]


@pytest.mark.parametrize("form", ["parquet", "csv", "tensorboard"])
def test_an_export_that_fails_leaves_nothing(
    form: export.Form, findings: Findings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (whole, *_) = frames.curves_by_job(findings)

    def full(_: Findings) -> object:
        yield whole
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(frames, "curves_by_job", full)
    with pytest.raises(UserError, match="out: cannot be written: No space left on device"):
        export.export(findings, tmp_path / "out", form)
    assert names(tmp_path) == []


@pytest.mark.parametrize("when", ["before it is read", "after it was read"])
def test_a_damaged_job_is_named_and_left_out(
    when: str, results: Path, tmp_path: Path, resformer: Callable[..., Result]
) -> None:
    study = Study(results / "small")
    if when == "after it was read":
        assert resformer("report", "small").exit_code == 0
    job = next(iter(study.planned()))
    (path,) = study.job(job).glob("attempt-*/curves.parquet")
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    state = path.stat()
    path.write_bytes(damaged)
    if when == "after it was read":
        os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    result = resformer("export", "small", "out", "--to", "csv")
    assert result.exit_code == 0
    assert (
        f"left out: {path.relative_to(tmp_path)}: not the bytes that were committed"
        in result.stderr
    )
    for name in ("runs", "curves"):
        jobs = set(pd.read_csv(tmp_path / "out" / f"{name}.csv")["job"])
        assert jobs == set(study.planned()) - {job}


def test_an_unknown_study_is_refused_with_those_there_are(
    results: Path, tmp_path: Path, resformer: Callable[..., Result]
) -> None:
    result = resformer("export", "smal", "out", "--to", "csv")
    assert result.exit_code == 2
    assert result.stderr == "resformer: study smal: is not in results; did you mean small?\n"
    assert names(tmp_path) == ["results"]


def test_jobs_without_a_result_are_counted(
    results: Path, tmp_path: Path, resformer: Callable[..., Result]
) -> None:
    study = Study(results / "small")
    first, *others = study.planned()
    (study.job(first) / "result.json").unlink()
    result = resformer("export", "small", "out", "--to", "csv")
    assert result.exit_code == 0
    assert "left out: jobs that have not finished: 1\n" in result.stderr
    for job in others:
        (study.job(job) / "result.json").unlink()
    result = resformer("export", "small", "again", "--to", "csv")
    assert result.exit_code == 2
    assert (
        "study small: no job has a result that can be read; jobs that have not finished: 4"
        in result.stderr
    )
    assert names(tmp_path) == ["out", "results"]


@pytest.mark.parametrize("table", ["runs", "curves"])
def test_every_column_is_documented(table: str, findings: Findings) -> None:
    (_, curves), *_ = frames.curves_by_job(findings)
    columns = {"runs": list(frames.runs(findings)), "curves": list(curves)}[table]
    source = docs.Source(root=ROOT, folder=ROOT)
    names = {
        name.strip("`")
        for row, _ in docs.described(source, f"resformer.{table}")
        for name in row.split(", ")
    }
    for column in columns:
        assert column in names or f"{column.partition('.')[0]}.*" in names, column
    assert {name for name in names if "*" not in name} <= set(columns)


def test_every_key_of_the_report_is_documented(swept: Path) -> None:
    rows = dict(docs.described(docs.Source(root=ROOT, folder=ROOT), "resformer.report"))
    quick = json.loads((ROOT / "results" / "reference" / "quick" / "report.json").read_text())
    for report in (library.report("small", swept), quick):
        for key in report:
            assert any(f"`{key}`" in names for names in rows), key
        for name in ("cells", "rates", "limits", "comparisons"):
            meanings = rows[f"`{name}`"] + rows["`cells`"]  # which has the settings of a key
            for key in {key for row in report[name] for key in row}:
                assert f"`{key}`" in meanings or "." in key, (name, key)


def test_no_torch_is_imported() -> None:
    code = (
        "import sys, resformer.results.export; assert 'torch' not in sys.modules and "
        "'tensorboard' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
