"""Schemes and tasks of other packages, as entry points: tried without a fork."""

import importlib
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import Result

from resformer import plugins
from resformer.config import tree

pytestmark = pytest.mark.sweep

Command = Callable[..., subprocess.CompletedProcess[str]]
Run = Callable[..., Result]

README = Path(__file__).parent.parent / "README.md"
SCHEME = """
from dataclasses import dataclass
from typing import ClassVar, final

from torch import Tensor

from resformer.residuals.base import OneStream, SublayerContext


@final
@dataclass(frozen=True)
class Halved(OneStream):
    share: float

    own_norm: ClassVar[str] = "post"
    norms: ClassVar[tuple[str, ...]] = ("post", "pre")

    def write(self, x_PRD: Tensor, f_PRD: Tensor, context: SublayerContext) -> Tensor:
        return self.share * x_PRD + f_PRD
"""
TASK = """
import math
from dataclasses import dataclass
from typing import ClassVar, final

from torch import Tensor

from resformer.tasks.base import SequenceToSequence


@final
@dataclass(frozen=True)
class Successor(SequenceToSequence):
    attention: ClassVar[str] = "causal"

    def target(self, source: Tensor) -> Tensor:
        return (source + 1) % self.symbols

    def blind_loss(self) -> float:
        return math.log(self.symbols)
"""
TASK_YAML = """
task:
  name: successor
  length: 6
  symbols: 8
train:
  target_accuracy: 0.9
  eval_every: 5
"""
OWN = "residual:\n  name: halved\n  share: 0.5\n"
MORE = [
    "a: *b\n",
    "\x00",
    *(f"{OWN}{more}" for more in ("nothing:\n  a: 1\n", "train:\n", "train:\n  depth: 1\n")),
]
TINY = ["model.depth=1", "model.width=16", "train.steps=20", "train.warmup_steps=5"]


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """A package that brings a scheme and a task, on a path of its own."""
    site = tmp_path / "site"
    package, info = site / "mine", site / "mine-1.0.dist-info"
    package.mkdir(parents=True)
    info.mkdir()
    (package / "__init__.py").touch()
    (package / "halved.py").write_text(SCHEME)
    (package / "halved.yaml").write_text("name: halved\nshare: 0.5\n")
    (package / "successor.py").write_text(TASK)
    (package / "successor.yaml").write_text(TASK_YAML)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    bring(
        site,
        "residuals",
        "halved = mine.halved:Halved",
        "tasks",
        "successor = mine.successor:Successor",
    )
    return site


@pytest.fixture
def here(
    other: Path, resformer: Run, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Result]]:
    """`resformer(*words)` in this process, where that package can be found."""

    def forget() -> None:
        plugins.entry_points.cache_clear()
        tree.composed.cache_clear()
        for name in [name for name in sys.modules if name.partition(".")[0] == "mine"]:
            del sys.modules[name]
        importlib.invalidate_caches()

    monkeypatch.syspath_prepend(str(other))
    forget()
    yield resformer
    monkeypatch.undo()
    forget()


def bring(site: Path, *groups: str) -> None:
    pairs = zip(groups[::2], groups[1::2], strict=True)
    text = "\n".join(f"[resformer.{group}]\n{point}\n" for group, point in pairs)
    (site / "mine-1.0.dist-info" / "entry_points.txt").write_text(text)


def test_the_scheme_of_the_readme_trains(other: Path, command: Command) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)
    (code,) = (block for block in blocks if "class Halved" in block)
    (other / "mine" / "halved.py").write_text(code)
    (other / "mine" / "halved.yaml").write_text("name: halved\n")
    words = ["model/residual=halved", "model.norm=own", "train.compile=false"]
    trained = command("train", *TINY, *words, PYTHONPATH=str(other))
    assert trained.returncode == 0, trained.stderr


def test_a_scheme_and_a_task_of_a_package_train_like_our_own(other: Path, command: Command) -> None:
    words = [
        "task=successor",
        "model/residual=halved,add",
        "model.norm=own",
        "model.residual.share=0.25",
    ]
    refused = command("sweep", "--study", "mine", *TINY, *words, PYTHONPATH=str(other))
    assert refused.returncode == 0, refused.stderr
    assert "left out" in refused.stderr  # add has no share
    result = command("report", "mine", "--format", "csv", PYTHONPATH=str(other))
    assert "successor" in result.stdout
    assert "halved" in result.stdout
    shown = command("show", "task=successor", "model/residual=halved", PYTHONPATH=str(other))
    settings = shown.stdout.splitlines()
    for line in (
        "task=successor",
        "model/residual=halved",
        "model.residual.share=0.5",
        "train.target_accuracy=0.9",
    ):
        assert line in settings
    again = command("sweep", "--study", "mine", *TINY, *words, PYTHONPATH=str(other))
    assert "all finished" in again.stderr


@pytest.mark.parametrize(
    "order", [["model:\n  depth: 2\n", "residual:\n  name: halved\n  share: 0.5\n"], None]
)
def test_the_yaml_of_a_scheme_may_say_more_in_any_order(
    other: Path, here: Run, order: list[str] | None
) -> None:
    sections = order or ["residual:\n  name: halved\n  share: 0.5\n", "model:\n  depth: 2\n"]
    (other / "mine" / "halved.yaml").write_text("".join(sections))
    shown = here("show", "model/residual=halved").stdout.splitlines()
    assert "model/residual=halved" in shown
    assert "model.depth=2" in shown


@pytest.mark.parametrize("text", ["no section\n", "[resformer.tasks\n", "[resformer.tasks]\nx\n"])
def test_other_packages_whose_entry_points_cannot_be_read_do_no_harm(
    other: Path, here: Run, text: str
) -> None:
    info = other / "another-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: another\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(text)
    result = here("show", "task=successor")
    assert result.exit_code == 0, result.stderr


def test_without_the_package_its_scheme_and_task_are_unknown(resformer: Run) -> None:
    result = resformer("train", "model/residual=halved")
    assert result.exit_code == 2
    assert "model/residual=halved: must be one of add, admin" in result.stderr


@pytest.mark.parametrize(
    ("point", "reason"),
    [
        (
            "half = mine.halved:Halved",
            "half: its entry point mine.halved:Halved must name a module",
        ),
        (
            "nowhere = nothing.nowhere:Nowhere",
            "nowhere: its entry point cannot be loaded: No module named",
        ),
        ("gone = mine.gone:Gone", "brings no gone.yaml beside its module"),
        (
            "halved = mine.halved:Other",
            "halved: its entry point mine.halved:Other cannot be loaded",
        ),
        (
            "halved = mine.halved:Tensor",
            "halved: its entry point mine.halved:Tensor must be a Residual defined there",
        ),
        ("__init__ = mine.__init__:x", "brings no __init__.yaml"),
    ],
)
def test_a_wrong_plugin_is_named_in_a_line(other: Path, here: Run, point: str, reason: str) -> None:
    (other / "mine" / "half.yaml").write_text("name: half\nshare: 0.5\n")
    bring(other, "residuals", point)
    name = point.partition(" ")[0]
    if name == "half":
        (other / "mine" / "halved.yaml").write_text("name: half\nshare: 0.5\n")
    result = here("train", *TINY, f"model/residual={name}")
    assert result.exit_code == 2
    assert reason in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "text", ["share: 0.5\n", "name: other\nshare: 0.5\n", "- halved\n", "{name: half", *MORE]
)
def test_the_yaml_of_a_scheme_must_be_its_own(other: Path, here: Run, text: str) -> None:
    (other / "mine" / "halved.yaml").write_text(text)
    result = here("train", *TINY, "model/residual=halved")
    assert result.exit_code == 2
    assert result.stderr.startswith("resformer: model/residual=halved: ")
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (SCHEME.replace("    def write", "    def wrote"), "does not define write"),
        (SCHEME.replace("@dataclass(frozen=True)\n", ""), "is no dataclass"),
        ("def", "cannot be loaded"),
        ("raise ValueError('on purpose')", "cannot be loaded: on purpose"),
        ("raise SystemExit(0)", "cannot be loaded: it exits with 0"),
    ],
)
def test_the_code_of_a_scheme_must_be_a_scheme(
    other: Path, here: Run, code: str, reason: str
) -> None:
    (other / "mine" / "halved.py").write_text(code)
    result = here("train", *TINY, "model/residual=halved")
    assert result.exit_code == 2
    assert reason in result.stderr
    assert len(result.stderr.splitlines()) == 1
