"""A scheme and a task that a newcomer adds as files: what is wrong with them is named in a line."""

import errno
import importlib
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.commands import Resformer, check_refused, tree

import resformer.residuals as resformer_residuals
import resformer.tasks as resformer_tasks
from resformer import plugins
from resformer.config import tree as settings_tree
from resformer.errors import Stuck

SCHEME, TASK = "residuals/fading.py", "tasks/following.py"
SCHEME_YAML, TASK_YAML = "configs/model/residual/fading.yaml", "configs/task/following.yaml"
FILES = {
    SCHEME: """
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from resformer.residuals.base import OneStream, SublayerContext


@dataclass(frozen=True)
class Fading(OneStream):
    share: float

    own_norm: ClassVar[str] = "post"
    norms: ClassVar[tuple[str, ...]] = ("post", "pre")

    def write(self, x_PRD: Tensor, f_PRD: Tensor, context: SublayerContext) -> Tensor:
        return self.share * x_PRD + f_PRD
""",
    SCHEME_YAML: "# half of the stream\nname: fading\nshare: 0.5\n",
    TASK: """
import math
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from resformer.tasks.base import SequenceToSequence


@dataclass(frozen=True)
class Following(SequenceToSequence):
    attention: ClassVar[str] = "causal"

    def target(self, source: Tensor) -> Tensor:
        return (source + 1) % self.symbols

    def blind_loss(self) -> float:
        return math.log(self.symbols)
""",
    TASK_YAML: """# @package _global_
# say the symbol that follows each one
task:
  name: following
  length: 8
  symbols: 16
train:
  target_accuracy: 0.99
""",
}
_GLOBAL = "# @package _global_\n"
OF_SCHEME, OF_TASK = "model/residual=fading", "task=following"


@pytest.fixture
def added(
    tmp_path: Path, resformer: Resformer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[], Path]]:
    """Adds the files to the package and to a copy of its configs, and returns their folder."""
    folder = tmp_path / "checkout"
    packages = {"residuals": resformer_residuals, "tasks": resformer_tasks}

    def forget() -> None:
        plugins.own_names.cache_clear()
        settings_tree.composed.cache_clear()
        for name in ("resformer.residuals.fading", "resformer.tasks.following"):
            sys.modules.pop(name, None)
        importlib.invalidate_caches()

    def add() -> Path:
        shutil.copytree(plugins.config_folder(), folder / "configs")
        for name, package in packages.items():
            (folder / name).mkdir()
            monkeypatch.setattr(package, "__path__", [*package.__path__, str(folder / name)])
        for module in (plugins, settings_tree):
            monkeypatch.setattr(module, "config_folder", lambda: folder / "configs")
        for name, text in FILES.items():
            (folder / name).write_text(text)
        monkeypatch.setattr(sys, "dont_write_bytecode", True)
        forget()
        return folder

    yield add
    monkeypatch.undo()
    forget()


def change(file: str, *replacements: str) -> tuple[str, str]:
    """The file, and its text with some parts replaced."""
    text = FILES[file]
    for old, new in zip(replacements[::2], replacements[1::2], strict=True):
        assert old in text
        text = text.replace(old, new)
    return file, text


MISTAKES = {
    # the module
    "syntax": (change(SCHEME, "* x_PRD + f", "* x_PRD) + f"), "{}:18: SyntaxError: unmatched ')'"),
    "indentation": (
        change(TASK, "    attention", "  attention"),
        "{}:15: IndentationError: unexpected indent",
    ),
    "import": (
        change(SCHEME, "import Tensor\n", "import Tensr\n"),
        "{}:5: ImportError: cannot import name 'Tensr'",
    ),
    "no module": (change(TASK, "import math", "import maths"), "{}:2: ModuleNotFoundError: "),
    "raises": (change(TASK, "import math\n", "import math\n1 / 0\n"), "{}:3: ZeroDivisionError: "),
    "exits": (change(TASK, "import math\n", "raise SystemExit(3)\n"), "{}:2: SystemExit: 3"),
    "null byte": ((SCHEME, "\0"), "{}: SyntaxError: "),
    # the class
    "no norm": (change(SCHEME, '    own_norm: ClassVar[str] = "post"\n', ""), "{} lacks own_norm"),
    "misspelt": (change(SCHEME, "def write", "def wrote"), "Fading in {} lacks write"),
    "no loss": (change(TASK, "def blind_loss", "def loss"), "Following in {} lacks blind_loss"),
    "no attention": (
        change(TASK, '    attention: ClassVar[str] = "causal"\n', ""),
        "Following in {} lacks attention",
    ),
    "no dataclass": (
        change(SCHEME, "@dataclass(frozen=True)\n", ""),
        "Fading in {} is no dataclass; put @dataclass(frozen=True) above it",
    ),
    "no dataclass of its own": (
        change(TASK, "@dataclass(frozen=True)\n", ""),
        "Following in {} is no dataclass; put @dataclass(frozen=True) above it",
    ),
    "not frozen": (change(SCHEME, "(frozen=True)", ""), "Fading in {} is no frozen dataclass"),
    "no base": (change(SCHEME, "(OneStream)", ""), "{} has no class derived from Residual"),
    "two": (
        (TASK, f"{FILES[TASK]}\nclass More(Following): ...\n"),
        "{} has Following and More; it must have one class derived from Task",
    ),
    # the YAML
    "another name": (
        change(SCHEME_YAML, "fading", "fadin"),
        "its fading.yaml says name: fadin; it must be name: fading",
    ),
    "no colon": (change(SCHEME_YAML, "share:", "share"), f"{SCHEME_YAML}: line 3: could not find"),
    "no colon in between": (change(TASK_YAML, "length:", "length"), f"{TASK_YAML}: line 5: "),
    "no mapping": ((SCHEME_YAML, "- fading\n"), "its fading.yaml must have a setting per line"),
    "a number": ((SCHEME_YAML, "5\n"), "its fading.yaml must have a setting per line"),
    "a truth value": ((TASK_YAML, "true\n"), "its following.yaml must have a setting per line"),
    "no text": ((SCHEME_YAML, "\x00"), f"{SCHEME_YAML}: "),
    "interpolated": (change(SCHEME_YAML, "0.5", "${x"), f"{SCHEME_YAML}: "),
    "no name": (change(SCHEME_YAML, "name: fading\n", ""), "its fading.yaml must say name: fading"),
    "empty": ((SCHEME_YAML, ""), "its fading.yaml must say name: fading"),
    "empty task": ((TASK_YAML, "# @package _global_\n"), "must say name: following under task:"),
    "not global": (
        change(TASK_YAML, "# @package _global_\n", ""),
        "its following.yaml lacks the line # @package _global_ at its top",
    ),
    "global at the end": (
        (TASK_YAML, FILES[TASK_YAML].replace(_GLOBAL, "") + _GLOBAL),
        "its following.yaml says # @package _global_; such a line must be # @package _global_, "
        "at its top",
    ),
    "scheme, global at the end": (
        (SCHEME_YAML, f"model:\n  residual:\n    name: fading\n    share: 0.5\n{_GLOBAL}"),
        "its fading.yaml says # @package _global_; such a line must be",
    ),
    "another package": (
        (SCHEME_YAML, f"# @package model\n{FILES[SCHEME_YAML]}"),
        "its fading.yaml says # @package model; such a line must be",
    ),
    "two packages": (
        (TASK_YAML, f"{_GLOBAL}# @package task\n{FILES[TASK_YAML].replace(_GLOBAL, '')}"),
        "its following.yaml says # @package task; such a line must be",
    ),
    "a line for Hydra": (
        (SCHEME_YAML, f"# @author me and you\n{FILES[SCHEME_YAML]}"),
        "Too many components in",
    ),
    "package of its group": (
        (SCHEME_YAML, f"# half\n#@package _group_\n{FILES[SCHEME_YAML]}"),
        "its fading.yaml says #@package _group_; such a line must be",
    ),
    "setting called on": (
        (SCHEME_YAML, f"{FILES[SCHEME_YAML]}on: 1\n"),
        "its fading.yaml has the key true, no text; YAML takes yes, no, on, off and numbers for",
    ),
    "setting called 1": ((SCHEME_YAML, f"{FILES[SCHEME_YAML]}1: 1\n"), "has the key 1, no text"),
    "no setting": (
        change(TASK_YAML, "target_accuracy", "target"),
        "its following.yaml says train: ",
    ),
    "no section": (
        (TASK_YAML, f"{FILES[TASK_YAML]}device: cpu\n"),
        "its following.yaml says device: cpu; it may have sections of settings only",
    ),
    "too few": (
        change(SCHEME_YAML, "share: 0.5\n", ""),
        "its fading.yaml lacks share, which Fading",
    ),
    "defaults": (change(SCHEME_YAML, "name", "defaults: [nothing]\nname"), "nothing"),
    "scheme with a list": (
        change(SCHEME_YAML, "0.5", "[1, 2]"),
        "its fading.yaml says share: [1, 2]; settings are numbers, texts, true, false or null",
    ),
    "task with a list": (
        (TASK_YAML, FILES[TASK_YAML].replace("length: 8", "length: [8]")),
        "its following.yaml says length: [8]; settings are",
    ),
    "no hash": (
        change(SCHEME, "    share: float\n", "    share: float\n    __hash__ = None\n"),
        "TypeError: unhashable type: 'Fading'",
    ),
    # constants
    "unknown norm": (
        change(SCHEME, '("post", "pre")', '("post", "prae")'),
        "norms says prae, must be of own, none, pre, post",
    ),
    "norms are a text": (
        change(SCHEME, '("post", "pre")', '("post")'),
        "norms is a text, must be a tuple: ('post',)",
    ),
    "own norm": (
        change(SCHEME, '= "post"', '= "sandwich"'),
        "own_norm says sandwich, must be of post, pre",
    ),
    "attention": (
        change(TASK, '"causal"', '"casual"'),
        "attention says casual, must be of bidirectional, causal",
    ),
    # what methods return
    "write: shape": (
        change(SCHEME, "+ f_PRD", "+ f_PRD.sum(-1)"),
        "{}:18: RuntimeError: The size of tensor",
    ),
    "write: fewer axes": (
        change(SCHEME, "+ f_PRD\n", "+ f_PRD)[0]\n", "return self", "return (self"),
        "write returned shape [15, 32], must be that of its x, [2, 15, 32]",
    ),
    "write: None": (change(SCHEME, "return self", "self"), "write returned None, must be a tensor"),
    "write: dtype": (
        change(SCHEME, "+ f_PRD\n", "+ f_PRD.double()\n"),
        "write returned float64, must be that of its x, float32",
    ),
    "write: in place": (
        change(SCHEME, "self.share * x_PRD +", "x_PRD.mul_(self.share) +"),
        "write changed x in place; return a new tensor",
    ),
    "write: branch in place": (
        change(SCHEME, "self.share * x_PRD + f_PRD\n", "f_PRD.add_(x_PRD)\n"),
        "write changed f in place; return a new tensor",
    ),
    "write: one of many": (
        change(SCHEME, "OneStream", "ManyStreams", "x_PRD + f_PRD\n", "x_PRD[0] + f_PRD\n"),
        "write returned float32, must be a tuple of streams",
    ),
    "write: raises": (
        change(SCHEME, "+ f_PRD\n", "+ f_PRD.nothing\n"),
        "{}:18: AttributeError: 'Tensor' object has no attribute",
    ),
    "expand: None": (
        change(SCHEME, "    def write", "    def expand_streams(self, x): ...\n\n    def write"),
        "expand_streams returned None, must be a tensor",
    ),
    "post norm: None": (
        change(SCHEME, "    def write", "    def apply_post_norm(self, *_): ...\n\n    def write"),
        "apply_post_norm returned None, must be a tensor",
    ),
    "reduce: None": (
        change(SCHEME, "    def write", "    def reduce_streams(self, *_): ...\n\n    def write"),
        "reduce_streams returned None, must be a tensor",
    ),
    "output: None": (
        change(SCHEME, "    def write", "    def stream_output(self, *_): ...\n\n    def write"),
        "stream_output returned None, must be a tensor",
    ),
    "expand: list": (
        change(
            SCHEME,
            "OneStream",
            "ManyStreams",
            "    def write",
            "    def expand_streams(self, x):\n        return [x]\n\n    def write",
        ),
        "expand_streams returned list, must be a tensor or a tuple of tensors",
    ),
    "no draw in an evaluation": (
        change(
            SCHEME,
            "    def write",
            "    random = True\n\n    def write",
            "f_PRD\n",
            "f_PRD * context.draw_P.view(-1, 1, 1).float()\n",
        ),
        "{}:20: AttributeError: 'NoneType' object has no attribute 'view'",
    ),
    "draw: None": (
        change(TASK, "    def blind", "    def draw(self, *_): ...\n\n    def blind"),
        "draw returned None, must be a source and a target",
    ),
    "no tokens": (
        change(TASK, "    def blind", "    sequence_length = 0\n\n    def blind"),
        "sequence_length is 0, must be at least 1",
    ),
    "inputs: numpy": (
        change(
            TASK,
            "import math",
            "import math\n\nimport numpy",
            "    def blind",
            "    num_inputs = numpy.int64(24)\n\n    def blind",
        ),
        "num_inputs is int64, must be a whole number",
    ),
    "loss: numpy": (
        change(TASK, "import math", "import math\n\nimport numpy", "math.log", "numpy.float32"),
        "blind_loss returned float32, must be a number",
    ),
    "norms: None": (
        change(SCHEME, '("post", "pre")', "None"),
        "norms is None, must be a tuple of some of own, none, pre, post",
    ),
    "norms: none": (
        change(SCHEME, '("post", "pre")', "()"),
        "norms is empty, must be a tuple of some of own, none, pre, post",
    ),
    "target: shape": (
        change(TASK, "% self.symbols\n", "% self.symbols)[..., 1:]\n", "return (", "return (("),
        "target returned shape [2, 3, 7], must be [2, 3, 8]",
    ),
    "target: dtype": (
        change(TASK, "% self.symbols\n", "% float(self.symbols)\n"),
        "target returned float32, must be int64",
    ),
    "target: range": (
        change(TASK, " % self.symbols\n", "\n"),
        "target returned symbol 16, there are 0 to 15",
    ),
    "target: None": (change(TASK, "return (", "("), "target returned None, must be int64"),
    "target: in place": (
        change(TASK, "(source + 1) %", "source.add_(1) %"),
        "target changed its source in place; return a new tensor",
    ),
    "target: raises": (change(TASK, "source + 1", "source + x"), "{}:16: NameError: name 'x' is"),
    "symbols: None": (
        change(TASK, "    def blind", "    num_symbols = None\n\n    def blind"),
        "num_symbols is None, must be a whole number",
    ),
    "loss: None": (
        change(TASK, "return math", "math"),
        "blind_loss returned None, must be a number",
    ),
}


@pytest.mark.parametrize(("changed", "reason"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_said_in_one_line(
    added: Callable[[], Path], resformer: Resformer, changed: tuple[str, str], reason: str
) -> None:
    folder, (file, text) = added(), changed
    (folder / file).write_text(text)
    before = tree(folder.parent)
    mine = OF_TASK if "following" in file else OF_SCHEME
    refused = resformer("sweep", mine, "train.steps=20", "train.warmup_steps=5")
    check_refused(refused, reason.format(file))
    assert refused.stderr.startswith(f"resformer: {mine}: ")
    assert tree(folder.parent) == before


@pytest.mark.parametrize("mistake", ["syntax", "exits", "no colon", "no section"])
def test_a_mistake_in_one_does_not_disturb_another(
    added: Callable[[], Path], resformer: Resformer, mistake: str
) -> None:
    folder, (file, text) = added(), MISTAKES[mistake][0]
    (folder / file).write_text(text)
    undisturbed = resformer("show", OF_SCHEME if "following" in file else OF_TASK)
    assert undisturbed.exit_code == 0, undisturbed.stderr


@pytest.mark.parametrize(
    ("file", "setting", "reason"),
    [
        (SCHEME, OF_SCHEME, f"there is {SCHEME_YAML} but no {SCHEME}"),
        (SCHEME_YAML, OF_SCHEME, f"there is {SCHEME} but no {SCHEME_YAML}"),
        (TASK, OF_TASK, f"there is {TASK_YAML} but no {TASK}"),
        (TASK_YAML, OF_TASK, f"there is {TASK} but no {TASK_YAML}"),
    ],
)
def test_a_file_that_is_missing_is_named(
    added: Callable[[], Path], resformer: Resformer, file: str, setting: str, reason: str
) -> None:
    folder = added()
    (folder / file).unlink()
    before = tree(folder.parent)
    check_refused(resformer("sweep", setting), f"{setting}: {reason}")
    assert tree(folder.parent) == before


STACKED = FILES[SCHEME].replace("(OneStream)", "(Residual)").replace("OneStream", "Residual")
STACKED = (
    STACKED.replace("import Tensor", "import Tensor, stack")
    + """
    def expand_streams(self, x_PRD):
        return stack([x_PRD, x_PRD])

    def read(self, x_nPRD, context):
        return x_nPRD[0]

    def apply_post_norm(self, x_nPRD, norm, context):
        return stack([norm(x_PRD) for x_PRD in x_nPRD])

    def stream_output(self, x_nPRD, parameters):
        return x_nPRD.mean(0)

    def reduce_streams(self, x_nPRD, final_norm, parameters):
        return final_norm(x_nPRD.sum(0))
"""
)


def test_streams_may_be_one_tensor(added: Callable[[], Path], resformer: Resformer) -> None:
    (added() / SCHEME).write_text(STACKED)
    shown = resformer("show", OF_SCHEME)
    assert shown.exit_code == 0, shown.stderr


@pytest.mark.parametrize(
    "error",
    [MemoryError(), OSError(errno.EMFILE, "Too many open files"), Stuck("no workers")],
    ids=lambda error: type(error).__name__,
)
def test_what_is_no_fault_of_a_variant_is_not_blamed_on_it(error: Exception) -> None:
    with pytest.raises(type(error)) as raised, plugins.blaming("resformer.residuals", "add"):
        raise error
    assert raised.value is error


REQUIRING = {
    "gain": """
    def gain(self, group: ParameterGroup, architecture: Architecture) -> float:
        {}
        return 1.0
""",
    "block_parameters": """
    def block_parameters(self, block: int, architecture: Architecture) -> list[ParameterSpec]:
        {}
        return []
""",
}


def require(method: str, check: str) -> str:
    """The scheme, which checks the architecture in one of its methods."""
    importing = """from resformer.errors import Incompatible, require
from resformer.numerics.parameters import ParameterSpec
from resformer.residuals.base import Architecture, ParameterGroup, OneStream, SublayerContext
"""
    _, text = change(
        SCHEME, "from resformer.residuals.base import OneStream, SublayerContext\n", importing
    )
    return text + REQUIRING[method].format(check)


THIRD = 'require(architecture.depth % 3 == 0, "model.depth", architecture.depth, "must be 3n")'


@pytest.mark.parametrize("method", REQUIRING)
@pytest.mark.parametrize(
    ("check", "fitting", "other", "reason"),
    [
        (THIRD, "model.depth=6", "model.depth=4", "model.depth=4: must be 3n"),
        (
            "assert architecture.width % 16 == 0",
            "model.width=48",
            "model.width=24",
            f"{OF_SCHEME}: {SCHEME}:23: AssertionError",
        ),
        (
            "assert not architecture.causal",
            "model.attention=bidirectional",
            "model.attention=causal",
            f"{OF_SCHEME}: {SCHEME}:23: AssertionError",
        ),
    ],
    ids=["depth", "width", "attention"],
)
def test_a_scheme_is_tried_in_the_architecture_of_the_request(
    added: Callable[[], Path],
    resformer: Resformer,
    method: str,
    check: str,
    fitting: str,
    other: str,
    reason: str,
) -> None:
    folder = added()
    (folder / SCHEME).write_text(require(method, check))
    shown = resformer("show", OF_SCHEME, fitting)
    assert shown.exit_code == 0, shown.stderr
    check_refused(resformer("show", OF_SCHEME, other), reason)


def test_depths_that_a_scheme_excludes_are_left_out(
    added: Callable[[], Path], resformer: Resformer
) -> None:
    folder = added()
    check = 'if architecture.depth % 2: raise Incompatible("model.depth: must be even")'
    (folder / SCHEME).write_text(require("block_parameters", check))
    shown = resformer("show", OF_SCHEME, "model.depth=2,3,4")
    assert shown.exit_code == 0, shown.stderr
    assert "model.depth: must be even" in shown.stdout + shown.stderr


def test_without_mistakes_they_can_be_used(added: Callable[[], Path], resformer: Resformer) -> None:
    added()
    shown = resformer("show", OF_SCHEME, OF_TASK)
    assert shown.exit_code == 0, shown.stderr
    assert {OF_SCHEME, OF_TASK, "model.residual.share=0.5"} <= {*shown.stdout.splitlines()}


def test_a_second_name_of_the_class_and_a_note_of_a_type_are_no_mistakes(
    added: Callable[[], Path], resformer: Resformer
) -> None:
    folder = added()
    mixin = "class Noted:\n    note: str\n\n\n@dataclass"
    _, text = change(TASK, "@dataclass", mixin, "(SequenceToS", "(Noted, SequenceToS")
    (folder / TASK).write_text(f"{text}\n\nAlias = Following\n")
    shown = resformer("show", OF_TASK)
    assert shown.exit_code == 0, shown.stderr


@pytest.mark.parametrize("key", ["model.residual", "task"])
def test_our_own_have_no_mistakes(resformer: Resformer, key: str) -> None:
    names = plugins.names(plugins.PACKAGES[key])
    words = [f"{plugins.GROUPS[key]}={','.join(names)}", "model.heads=2", "train.compile=false"]
    shown = resformer("show", *words, "train.eval_sequences=8")
    assert shown.exit_code == 0, shown.stderr
    assert shown.stderr == ""
