"""Width solved for (`model.parameters`): the nearest, and the same member as asked for by width."""

import dataclasses
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from resformer import config
from resformer.cli import app
from resformer.errors import Incompatible, UserError
from resformer.model.shape import Shape
from resformer.model.sizing import nearest
from resformer.sweep.request import Request


def ask(*overrides: str) -> Request:
    return config.request("some", ["train.compile=false", *overrides])


def with_width(shape: Shape, width: int) -> Shape:
    model = dataclasses.replace(shape.model, width=width, hidden=4 * width)
    return dataclasses.replace(shape, model=model)


def parameters(shape: Shape) -> int:
    return shape.transformer().num_parameters


@pytest.mark.parametrize("growth", [1, 2], ids=["linear", "quadratic"])
@pytest.mark.parametrize("step", [1, 8])
def test_it_is_the_width_that_all_others_are_farther_from(growth: int, step: int) -> None:
    widths = range(step, 120, step)
    count = {width: 7 + 3 * width + 5 * width**growth for width in widths}
    for target in range(count[widths[0]], count[widths[-1]], 97):
        sized = nearest(target, count.__getitem__, widths, where="depth")
        assert sized.parameters == count[sized.width]
        assert abs(sized.parameters - target) == min(abs(n - target) for n in count.values())


def test_what_no_width_has_is_refused_with_what_one_has() -> None:
    with pytest.raises(Incompatible, match=r"model\.parameters=10 would work"):
        nearest(9, lambda width: 10 * width, range(1, 9), where="depth")
    with pytest.raises(Incompatible, match=r"model\.parameters=80 would work"):
        nearest(81, lambda width: 10 * width, range(1, 9), where="depth")


@pytest.mark.parametrize(
    ("words", "step"),
    [
        ((), 4),
        (("model/residual=hyper", "model.norm=own"), 4),
        (("model.position=rope", "model.heads=2"), 4),
        (("model.heads=1",), 1),
    ],
)
def test_every_depth_has_about_as_many(words: tuple[str, ...], step: int) -> None:
    """Nearer than the next width on either side that its heads fit into."""
    request = ask("model.depth=2,4,8", "model.parameters=1e5", *words)
    assert [shape.model.depth for shape, _ in request.shapes] == [2, 4, 8]
    for shape, _ in request.shapes:
        width, off = shape.model.width, abs(parameters(shape) - 10**5)
        assert width % step == 0
        for other in (width - step, width + step):
            assert abs(parameters(with_width(shape, other)) - 10**5) >= off
    assert request.notes == []


def test_the_same_width_is_the_same_member() -> None:
    solved = ask("model.depth=4", "model.parameters=1e5")
    ((shape, _),) = solved.shapes
    given = ask("model.depth=4", f"model.width={shape.model.width}")
    assert [job.id for job in solved.jobs()] == [job.id for job in given.jobs()]


def test_one_far_off_is_noted() -> None:
    (note,) = ask("model.depth=64", "model.parameters=20000").notes
    assert note.startswith("model.parameters=20000: model.depth=64 has 15,8")


def test_depths_with_too_many_parameters_are_left_out() -> None:
    request = ask("model.depth=2,64", "model.parameters=5000")
    ((shape, _),) = request.shapes
    assert shape.model.depth == 2
    (row,) = request.excluded
    least = re.search(r"depth=64 has at least .* model\.parameters=(\d+) would work", row["reason"])
    assert least is not None
    ask("model.depth=64", f"model.parameters={least[1]}")


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["model.parameters=1e5", "model.width=32"], "leave out model.width=32"),
        (["model.parameters=1e4,1e5"], "give it one value"),
        (["model.parameters=many"], "must be a whole number or null"),
        (["model.parameters=0"], "must be from 1 to 1e12, or null"),
        (["model.parameters=1e12"], "has at most"),
        (["model.parameters=1e5", "model.heads=0"], "model.heads=0: must be from 1"),
    ],
)
def test_what_makes_no_sense_is_refused(words: list[str], reason: str) -> None:
    with pytest.raises(UserError, match=re.escape(reason)):
        ask(*words)


def test_width_and_parameters_replace_each_other_in_a_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs" / "study").mkdir(parents=True)
    for name, line in (("wide", "model.width=8"), ("equal", "model.parameters=1e5")):
        (tmp_path / "configs" / "study" / f"{name}.yaml").write_text(f"- {line}\n- model.depth=2\n")
    ((equal, _),) = config.request("wide", ["model.parameters=1e5"]).shapes
    assert parameters(equal) == pytest.approx(10**5, rel=0.1)
    ((wide, _),) = config.request("equal", ["model.width=16"]).shapes
    assert wide.model.width == 16


def test_studies_of_other_sizes_have_other_names() -> None:
    names = {
        config.request(None, ["model.depth=2,4", f"model.parameters={count}"]).study
        for count in ("1e5", "100000", "2e5")
    }
    assert len(names) == 2
    assert all(name.startswith("depth-") for name in names)


def test_show_has_the_width_and_the_number_of_each_depth() -> None:
    words = ["model.depth=2,8", "model.parameters=1e5", "model/residual=add"]
    result = CliRunner().invoke(app, ["show", *words], env={"COLUMNS": "120"})
    assert result.exit_code == 0
    for shape, _ in ask(*words).shapes:
        cells = [str(shape.model.depth), str(shape.model.width), f"{parameters(shape):,}"]
        assert any({*cells} <= {*line.split()} for line in result.stdout.splitlines())
