"""The layers of a report's cells: measured while training, shown beside what was solved."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from markupsafe import escape
from typer.testing import CliRunner

from resformer.cli import app
from resformer.reporting.measures import ENDS, EXPLANATION
from resformer.reporting.views.layers import picture
from resformer.reporting.views.probes import short
from resformer.store import checks
from resformer.store.study import open_study

pytestmark = pytest.mark.sweep

WORDS = [
    *("--study", "looked", "model.width=16", "task.length=5", "task.symbols=8", "train.steps=150"),
    *(
        "model.depth=1,6",
        "model.residual=true,false",
        "member.seed=0,1,2",
        "member.lr=3e-3,1e-2",
        "probe.every=50",
    ),
]


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("swept") / "results"
    assert CliRunner().invoke(app, ["sweep", *WORDS, "--results", str(folder)]).exit_code == 0
    return folder


@pytest.fixture
def looked(resformer: Callable[..., Any], swept: Path) -> Path:
    """A copy of its own, in the working directory."""
    return Path(shutil.copytree(swept, "results"))


def test_the_report_has_medians_of_the_last_probes(
    looked: Path, resformer: Callable[..., Any]
) -> None:
    report = json.loads(resformer("report", "--format", "json").stdout)
    rows = {(row["residual"], row["depth"]): row for row in report["layers"]}
    assert set(rows) == {("add", 1), ("add", 6), ("plain", 1), ("plain", 6)}
    study = open_study(looked, "looked")
    for cell in report["cells"]:
        row = rows[cell["residual"], cell["depth"]]
        assert (row["solved"], row["seeds"]) == (cell["solved"], cell["seeds"])
        sizes = []
        for job, planned in study.planned().items():
            shape = planned["shape"]["model"]
            if (shape["residual"]["name"], shape["depth"]) == (cell["residual"], cell["depth"]):
                table = study.results.table(job, "layers")
                for seed, lr in cell["lr_by_seed"].items():
                    mine = table[(table["seed"] == int(seed)) & (table["lr"] == lr)]
                    end = mine[
                        (mine["step"] == mine["step"].max()) & (mine["layer"] == 2 * cell["depth"])
                    ]
                    sizes += end["rms"].tolist()
        assert row["rms"] == pytest.approx(sorted(sizes)[1])


def test_the_terminal_shows_probed_members_apart_by_whether_they_solved(
    looked: Path, resformer: Callable[..., Any]
) -> None:
    lines = resformer("report").stdout.splitlines()
    places = [
        number for number, line in enumerate(lines) if line.startswith("inside, at the last look: ")
    ]
    assert [lines[place].split(": ")[1].strip() for place in places] == ["not solved", "solved"]
    assert any(line.split()[:2] == ["plain", "6"] for line in lines[places[0] : places[1]])
    assert any(line.split()[:2] == ["add", "1"] for line in lines[places[1] :])
    assert all(len(line) <= 80 for line in lines[places[0] :])


@pytest.mark.usefixtures("looked")
def test_other_formats_have_all_cells_and_numbers(resformer: Callable[..., Any]) -> None:
    """Every number that the JSON has of a cell, and as many rows as cells."""
    row = next(
        row
        for row in json.loads(resformer("report", "--format", "json").stdout)["layers"]
        if row["depth"] == 6
    )
    numbers = [short(row[name]) for name in (end.name for end in ENDS)]
    name = [str(row[key]) for key in ("residual", "depth", "health")] + [
        f"{row['measure']} {short(row['value'])}"
    ]
    markdown = resformer("report", "--format", "markdown").stdout
    assert f"| {' | '.join([*name, *numbers])} |" in markdown
    assert f"{EXPLANATION}." in markdown
    latex = resformer("report", "--format", "latex").stdout
    assert rf"{' & '.join([*name, *numbers])} \\" in latex
    assert resformer("report", "--html", "page.html").exit_code == 0
    page = Path("page.html").read_text()
    assert page.count("<caption>Inside, at the last look: ") == 2
    assert "</td><td>".join([*name[2:], *numbers]).removeprefix(f"{name[2]}</td><td>") in page
    assert str(escape(EXPLANATION)) in page


def test_a_report_without_probes_has_no_layers(resformer: Callable[..., Any]) -> None:
    assert resformer("sweep", *(word for word in WORDS if "every" not in word)).exit_code == 0
    result = resformer("report", "--format", "json")
    assert "layers" not in json.loads(result.stdout)
    assert "inside, at the last look" not in resformer("report").stdout
    assert EXPLANATION not in resformer("report", "--format", "markdown").stdout
    resformer("report", "--html", "page.html")
    assert "Inside, at the last look" not in Path("page.html").read_text()


def test_members_that_broke_have_exploded(resformer: Callable[..., Any]) -> None:
    """They are looked into before the evaluation at which they leave."""
    words = [
        "--study",
        "broken",
        "model.depth=1",
        "member.lr=1e30",
        "member.seed=0,1",
        "probe.every=1",
    ]
    assert resformer("sweep", *words, "train.steps=60").exit_code == 0
    (row,) = json.loads(resformer("report", "--format", "json").stdout)["layers"]
    assert row["health"] == "exploding"
    assert row["rms"] is None
    assert "inside, at the last look: not solved" in resformer("report").stdout


def test_a_damaged_table_is_named(looked: Path, resformer: Callable[..., Any]) -> None:
    path = next(looked.glob("looked/jobs/*/*/attempt-1/layers.parquet"))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    report = json.loads(resformer("report", "--format", "json").stdout)
    assert len(report["layers"]) == 3
    (row,) = report["damaged"]
    assert row["reason"].endswith("layers.parquet: not the bytes that were committed")


def test_a_study_without_probes_draws_no_figure_of_layers() -> None:
    assert picture([], []) == []


def table(**columns: list[Any]) -> pa.Table:
    whole = {
        "seed": [0] * 3,
        "lr": [0.1] * 3,
        "step": [0] * 3,
        "layer": [0, 1, 2],
        "rms": [1.0] * 3,
    }
    return pa.table({**whole, **columns})


def test_a_table_of_layers_is_checked() -> None:
    checks.layers(table())
    for bad in (
        table(layer=[0, 2, 1]),
        table(layer=[0, 1, 1]),
        table(layer=[-1, 0, 1]),
        table(rms=["a", "b", "c"]),
        table(step=[0.5] * 3),
        table().slice(0, 2),
        table().slice(0, 0),
        table().drop_columns(["layer"]),
    ):
        with pytest.raises(ValueError, match=r"layer|column"):
            checks.layers(bad)
