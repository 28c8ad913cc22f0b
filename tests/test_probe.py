"""`resformer probe`: what a user types and sees."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support.commands import check_refused
from typer.testing import Result

from resformer.probes.measure import descriptions
from resformer.reporting import figures
from resformer.reporting.analysis.probes import medians, model_health, probed
from resformer.reporting.views.probes import short

Run = Callable[..., Result]
GRID = [
    "model.depth=1,16",
    "model.residual=true,false",
    "model.norm=pre",
    "member.seed=0,1",
    "train.batch=4",
]


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Probes without their figures, which take most of the time."""
    monkeypatch.setattr(figures, "draw_layers", lambda probed, titles, folder: [])


def test_a_probe_prints_verdicts_and_writes_numbers_and_figures(resformer: Run) -> None:
    result = resformer("probe", *GRID)
    assert result.exit_code == 0, result.stderr
    assert "add pre: healthy to depth 16; relative residual 0." in " ".join(result.stdout.split())
    assert "plain pre: collapsed from depth 16: relative residual " in " ".join(
        result.stdout.split()
    )
    assert all(len(line) <= 80 for line in result.stdout.splitlines())
    (folder,) = Path("results/probes").iterdir()
    # This FFN has no gate, and one stream is not mixed.
    lacking = {"gradient_ffn_gate", "mixing_distance"}
    lacking |= {"composite_gain_forward", "composite_gain_backward"}
    drawn = set(descriptions()) - lacking
    figures = f"{len(drawn)} figures as .svg and .png"
    assert f"{folder}/layers.csv, and beside it {figures}" in result.stderr
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "layers.csv",
        *(f"layers-{name}.{form}" for name in drawn for form in ("svg", "png")),
    }
    table = pd.read_csv(folder / "layers.csv")
    assert len(table) == 2 * 2 * (3 + 33)
    assert set(descriptions()) <= set(table)
    health = model_health(
        probed(table, ["model.depth", "model.residual"], list(descriptions())).models[
            "plain", "pre"
        ][16]
    )
    assert short(health.value) in result.stdout


@pytest.mark.usefixtures("undrawn")
def test_a_stack_that_overflows_has_exploded(resformer: Run) -> None:
    words = [
        "model/residual=skipinit",
        "model.residual.initial=10",
        "model.norm=none",
        "model.depth=1,300",
    ]
    small = ["model.width=4", "model.heads=1", "member.seed=0", "train.batch=2"]
    result = resformer("probe", *words, *small)
    assert result.exit_code == 0, result.stderr
    assert "skipinit none: exploding from depth 300" in result.stdout
    (table,) = Path("results/probes").glob("probe-*/layers.csv")
    assert len(pd.read_csv(table)) == 3 + 601


@pytest.mark.usefixtures("undrawn")
def test_branches_that_are_switched_off_are_healthy(resformer: Run) -> None:
    result = resformer(
        "probe", "model/residual=rezero", "model.norm=own", "model.depth=1,4", "member.seed=0"
    )
    assert "rezero none: healthy to depth 4; relative residual 0." in result.stdout


def test_seeds_that_broke_are_not_hidden() -> None:
    rows = pd.DataFrame({"layer": [0, 0, 0, 1, 1, 1], "a": [1.0, 2.0, 3.0, 4.0, np.nan, np.nan]})
    middle = medians(rows, ["a"])["a"]
    assert middle[0] == 2.0
    assert np.isnan(middle[1])


@pytest.mark.usefixtures("undrawn")
def test_probes_of_other_grids_lie_beside_each_other(resformer: Run) -> None:
    small = ["model.depth=1", "model.width=8", "model.heads=2", "member.seed=0"]
    for scheme in ("add", "plain", "add"):
        assert resformer("probe", f"model/residual={scheme}", *small).exit_code == 0
    assert len(list(Path("results/probes").glob("probe-*/layers.csv"))) == 2


@pytest.mark.parametrize("link", ["probes", "probes/probe"])
def test_nothing_is_written_behind_a_link_that_nobody_named(
    resformer: Run, tmp_path: Path, link: str
) -> None:
    place, victim = tmp_path / "results" / link, tmp_path / "victim"
    place.parent.mkdir(parents=True)
    victim.mkdir()
    (tmp_path / "results" / ".resformer").touch()
    place.symlink_to(victim)
    check_refused(resformer("probe"), f"results/{link} is a link")
    assert list(victim.iterdir()) == []


def test_the_folder_of_probes_is_no_study(resformer: Run) -> None:
    result = resformer("sweep", "--study", "probes", "model.depth=1", "train.steps=1")
    assert result.exit_code == 2
    assert "study probes: is the folder of what resformer probe writes" in result.stderr


@pytest.mark.sweep
@pytest.mark.usefixtures("undrawn")
def test_a_probe_is_no_study_and_a_study_no_probe(resformer: Run) -> None:
    assert resformer("probe", "model.depth=1", "member.seed=0").exit_code == 0
    result = resformer("report")
    assert result.exit_code == 2
    assert "there is no study to report" in result.stderr


@pytest.mark.usefixtures("undrawn")
def test_notes_on_training_are_none_on_probes(resformer: Run) -> None:
    words = ["model.depth=1", "member.seed=0", "member.lr=0", "train.steps=3", "train.batch=4"]
    result = resformer("probe", *words)
    assert result.exit_code == 0, result.stderr
    assert not any(word in result.stderr for word in ("warm-up", "learnt"))


@pytest.mark.usefixtures("undrawn")
def test_other_axes_are_named(resformer: Run) -> None:
    result = resformer(
        "probe", "model.depth=1", "model.width=16,32", "member.seed=0", "--to", "here"
    )
    assert result.exit_code == 0, result.stderr
    assert "add post, width 16: healthy" in result.stdout
    assert "plain pre, width 32: healthy" in result.stdout
    assert Path("here/layers.csv").is_file()
    assert not Path("results").exists()


@pytest.mark.usefixtures("undrawn")
def test_blocks_without_a_preset_are_probed_side_by_side(resformer: Run) -> None:
    words = ["model=classic,modern", "model.activation=gelu", "model.norm=pre"]
    result = resformer("probe", "model.depth=1", *words, "member.seed=0", "train.batch=4")
    assert result.exit_code == 0, result.stderr
    shown = " ".join(result.stdout.split())
    assert "add pre, norm_kind layer, qk_norm false, bias true, position learned: " in shown
    assert "add pre, norm_kind rms, qk_norm true, bias false, position rope: " in shown


@pytest.mark.usefixtures("undrawn")
def test_schemes_are_probed_side_by_side_with_their_own_norms(resformer: Run) -> None:
    """Which norm a scheme has is its own matter."""
    schemes = "model/residual=mix_ln,hyper,shaped,stochastic_depth"
    result = resformer(
        "probe", "model.depth=1,4", schemes, "model.norm=own", "member.seed=0", "train.batch=4"
    )
    assert result.exit_code == 0, result.stderr
    for name in ("mix_ln own", "hyper pre", "shaped pre", "stochastic_depth post"):
        assert f"{name}: healthy to depth 4" in result.stdout


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--study", "nothing"], "--study nothing: no such study file"),
        (["model.depth=0"], "model.depth=0: must be from 1 to 1024 blocks"),
        (["model.deep=3"], "model.deep=3: there is no such setting"),
        (["--study", "../x", "model.depth=1"], "study '../x': a name of at most"),
        (
            ["model.depth=1", "member.seed=0", "--to", "taken"],
            "--to taken: cannot be written: File exists",
        ),
    ],
)
def test_a_wrong_request_is_one_line(resformer: Run, words: list[str], line: str) -> None:
    Path("taken").write_text("a file")
    result = resformer("probe", *words)
    assert result.exit_code == 2
    assert line in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not Path("results").exists()


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0.0, "0"),
        (0.5, "0.5"),
        (0.0123, "0.012"),
        (0.00123, "1e-3"),
        (3.6e-16, "4e-16"),
        (99.4, "99"),
        (123.4, "123"),
        (12345.0, "1e4"),
        (np.nan, "–"),
        (np.inf, "inf"),
    ],
)
def test_short_numbers(number: float, text: str) -> None:
    assert short(number) == text
