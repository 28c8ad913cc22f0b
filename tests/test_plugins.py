"""Schemes and tasks of other packages, as entry points: tried without a fork."""

import importlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from typer.testing import Result

from resformer import plugins
from resformer.config import tree
from resformer.plan import provenance

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


def beside(site: Path) -> str:
    """The path of Python with that package and the code under test."""
    return f"{site}{os.pathsep}{README.parent}"


def bring(site: Path, *groups: str) -> None:
    pairs = zip(groups[::2], groups[1::2], strict=True)
    text = "\n".join(f"[resformer.{group}]\n{point}\n" for group, point in pairs)
    (site / "mine-1.0.dist-info" / "entry_points.txt").write_text(text)


def examples() -> dict[str, str]:
    """Blocks of the README's section on schemes and tasks, by the file that each is."""
    section = README.read_text().partition("## A scheme or a task of your own")[2]
    blocks = re.findall(r"^```(?:python|yaml|toml)\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    kinds = ("residuals/fading", "tasks/following")
    names = [
        name
        for kind, yaml in zip(kinds, ("model/residual/fading", "task/following"), strict=True)
        for name in (f"resformer/{kind}.py", f"configs/{yaml}.yaml", f"tests/test_{kind}.py")
    ]
    names = [re.sub(r"test_(\w+)/", r"\1/test_", name) for name in names]
    return dict(zip([*names, "pyproject.toml"], blocks, strict=True))


def passes(tests: Sequence[str], folder: Path, *path: Path) -> None:
    """Run some tests of the repository in a folder, with these on the path of Python."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:]


def test_the_scheme_and_the_task_of_the_readme_work_as_files(tmp_path: Path) -> None:
    """With their tests, those of all schemes and tasks, and those of the tree."""
    root, copy = README.parent, tmp_path / "checkout"
    ignore = shutil.ignore_patterns("__pycache__", ".*", "reference")
    for name in ("resformer", "configs", "tests", "scripts"):
        shutil.copytree(root / name, copy / name, ignore=ignore)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(root / name, copy)
    (copy / "results").mkdir()
    for name, text in examples().items():
        if name != "pyproject.toml":
            assert not (copy / name).exists()
            (copy / name).write_text(text)
    own = ["tests/residuals/test_fading.py", "tests/tasks/test_following.py"]
    every = ["tests/test_layout.py", "tests/tasks/test_base.py"]
    passes([*own, *every], copy, copy)
    ruff = [sys.executable, "-m", "ruff"]
    python = [name for name in examples() if name.endswith(".py")]
    for words in (["check"], ["format", "--check"]):
        subprocess.run([*ruff, *words, *python], cwd=copy, check=True)


def test_the_scheme_and_the_task_of_the_readme_work_as_a_package(
    other: Path, command: Command
) -> None:
    """And the tests of the repository do not take them for its own."""
    for name, text in examples().items():
        if name.startswith(("resformer/", "configs/")):
            (other / "mine" / Path(name).name).write_text(text)
    points = examples()["pyproject.toml"].replace("mypackage", "mine")
    scheme, task = re.findall(r'^(\w+) = "([^"]+)"', points, re.MULTILINE)
    bring(other, "residuals", " = ".join(scheme), "tasks", " = ".join(task))
    words = ["model/residual=fading", "task=following", "model.norm=own", "train.compile=false"]
    trained = command("train", *TINY, *words, PYTHONPATH=beside(other))
    assert trained.returncode == 0, trained.stderr
    root = README.parent
    passes(["tests/residuals", "tests/tasks", "tests/test_layout.py", "--co"], root, root, other)


def test_the_line_of_a_failing_scheme_names_its_file_and_line(
    other: Path, command: Command
) -> None:
    """Also where a failure shows in training only: what is planned without it is tried tiny."""
    large = "f_PRD.nothing if f_PRD.shape[-1] == 16 else 0"
    (other / "mine" / "halved.py").write_text(SCHEME.replace("f_PRD\n", f"({large})\n"))
    words = ["model/residual=halved", "train.compile=false", "--study", "mine"]
    failed = command("sweep", *TINY, *words, PYTHONPATH=beside(other))
    assert failed.returncode == 1
    line = next(line for line in failed.stderr.splitlines() if line.startswith("failed: "))
    number = 1 + SCHEME.splitlines().index("        return self.share * x_PRD + f_PRD")
    assert f": mine/halved.py:{number}: AttributeError: 'Tensor' object has no attribute" in line
    assert line.endswith(" (traceback: attempt-2/error.txt)")


def test_a_scheme_and_a_task_of_a_package_train_like_our_own(
    other: Path, command: Command, here: Run
) -> None:
    words = [
        "task=successor",
        "model/residual=halved,add",
        "model.norm=own",
        "model.residual.share=0.25",
    ]
    refused = command("sweep", "--study", "mine", *TINY, *words, PYTHONPATH=beside(other))
    assert refused.returncode == 0, refused.stderr
    assert "left out" in refused.stderr  # add has no share
    result = here("report", "mine", "--format", "csv")
    assert "successor" in result.stdout
    assert "halved" in result.stdout
    shown = here("show", "task=successor", "model/residual=halved")
    settings = shown.stdout.splitlines()
    for line in (
        "task=successor",
        "model/residual=halved",
        "model.residual.share=0.5",
        "train.target_accuracy=0.9",
    ):
        assert line in settings


def test_what_a_scheme_imports_from_its_package_is_its_code(other: Path, command: Command) -> None:
    scheme, helper = other / "mine" / "halved.py", other / "mine" / "factor.py"
    helper.write_text("FACTOR = 1.0\n")
    code = SCHEME.replace("self.share *", "FACTOR * self.share *")
    scheme.write_text(f"from mine.factor import FACTOR\n{code}")
    words = ["--study", "mine", *TINY, "model/residual=halved,add", "model.norm=post"]
    path = beside(other)
    assert command("sweep", *words, PYTHONPATH=path).returncode == 0
    helper.write_text("# A comment does not count.\nFACTOR = 1.0\n")
    assert "all finished" in command("sweep", *words, PYTHONPATH=path).stderr
    helper.write_text("FACTOR = 0.5\n")
    again = command("sweep", *words, PYTHONPATH=path)
    assert again.returncode == 0
    assert "1 member planned before with other code: trained anew" in again.stderr
    assert "1 job to run" in again.stderr
    assert "1 member of mine that other code computed (residual halved changed since)" in (
        " ".join(again.stdout.split())
    )


@pytest.fixture
def nested(other: Path, here: Run) -> Path:
    """The scheme one level down, with a helper beside the package's folder of schemes."""
    schemes = other / "mine" / "schemes"
    schemes.mkdir()
    (schemes / "__init__.py").touch()
    (other / "mine" / "factor.py").write_text("FACTOR = 1.0\n")
    for name in ("halved.py", "halved.yaml"):
        (other / "mine" / name).rename(schemes / name)
    bring(other, "residuals", "halved = mine.schemes.halved:Halved")
    return other


def files_of_the_scheme(site: Path) -> list[str]:
    paths = plugins.sources("resformer.residuals", "halved")
    return [str(path.relative_to(site)) for path in paths]


def test_the_code_of_a_scheme_is_that_of_its_whole_package(nested: Path) -> None:
    every = ["__init__", "factor", "schemes/__init__", "schemes/halved", "successor"]
    assert files_of_the_scheme(nested) == [f"mine/{name}.py" for name in every]


@pytest.mark.parametrize("name", [".ipynb_checkpoints/factor.py", "schemes/.#halved.py"])
def test_hidden_files_are_no_code(nested: Path, name: str) -> None:
    """Such as a notebook's, and the links to nowhere by which editors lock files."""
    before = files_of_the_scheme(nested)
    (nested / "mine" / name).parent.mkdir(exist_ok=True)
    (nested / "mine" / name).symlink_to("nobody@nowhere.1234")
    assert files_of_the_scheme(nested) == before


def test_the_package_of_a_scheme_need_not_say_that_it_is_one(nested: Path) -> None:
    """Folders without `__init__.py` are packages as well."""
    for path in nested.rglob("__init__.py"):
        path.unlink()
    every = ["factor", "schemes/halved", "successor"]
    assert files_of_the_scheme(nested) == [f"mine/{name}.py" for name in every]


def test_of_a_module_in_no_package_only_its_file_is_code(other: Path, here: Run) -> None:
    for name in ("halved.py", "halved.yaml"):
        (other / "mine" / name).rename(other / name)
    (other / "factor.py").write_text("FACTOR = 1.0\n")
    bring(other, "residuals", "halved = halved:Halved")
    assert files_of_the_scheme(other) == ["halved.py"]


def test_a_scheme_whose_package_cannot_be_imported_has_no_code(nested: Path) -> None:
    for text in ("raise ValueError('on purpose')", "raise SystemExit(0)"):
        (nested / "mine" / "__init__.py").write_text(text)
        assert files_of_the_scheme(nested) == []


@pytest.mark.parametrize("text", ["def write(self, x", "\0", "x = '\ud800'"])
def test_a_helper_that_is_half_typed_has_a_hash(
    nested: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    def hashed() -> str:
        provenance._hash.cache_clear()
        return provenance.fingerprint([shape])["residual halved"]

    shape = {
        "model": {"residual": {"name": "halved"}},
        "task": {"name": "copy"},
        "train": {"compile": False},
        "device": "cpu",
    }
    helper, before = nested / "mine" / "factor.py", hashed()
    helper.write_bytes(text.encode(errors="surrogatepass"))
    broken = hashed()
    assert broken not in ("", before)
    helper.write_text("FACTOR = 1.0  # with a comment\n")
    assert hashed() == before


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
            "nowhere: its entry point nothing.nowhere:Nowhere: ModuleNotFoundError: No module",
        ),
        ("gone = mine.gone:Gone", "brings no gone.yaml beside its module"),
        (
            "halved = mine.halved:Other",
            "halved: its entry point mine.halved:Other must be a Residual defined there",
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
    ("words", "file", "text", "reason"),
    [
        ("task=successor", "successor", "name: successor\nlength: 6\n", "lacks symbols, which"),
        (
            "task=successor",
            "successor",
            "name: successor\nlength: 6\nsymbols: 8\nfoo: 1\nbar: 2\n",
            "says foo, bar, which Successor does not have",
        ),
        ("model/residual=halved", "halved", "name: halved\n", "lacks share, which Halved has"),
        ("model/residual=halved", "halved", f"{OWN}  foo: 2\n", "says foo, which Halved does not"),
        ("model/residual=halved", "halved", f"{OWN}  norms: [pre]\n", "says norms, which Halved"),
    ],
)
def test_the_yaml_of_a_plugin_has_the_fields_of_its_class(
    other: Path, here: Run, words: str, file: str, text: str, reason: str
) -> None:
    (other / "mine" / f"{file}.yaml").write_text(text)
    result = here("train", *TINY, "train.target_accuracy=0.9", words)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"resformer: {words}: its {file}.yaml {reason}")
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
        (SCHEME.replace("    def write", "    def wrote"), "Halved in mine/halved.py lacks write"),
        (SCHEME.replace("@dataclass(frozen=True)\n", ""), "is no dataclass"),
        ("def", "mine/halved.py:1: SyntaxError: invalid syntax"),
        ("raise ValueError('on purpose')", "mine/halved.py:1: ValueError: on purpose"),
        ("raise SystemExit(0)", "mine/halved.py:1: SystemExit: 0"),
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
