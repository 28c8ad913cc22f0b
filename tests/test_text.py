"""Errors in one line: the file and line that a reader of it is to look at."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from resformer.text import failure_line

RAISING = "def fail(*_):\n    raise ValueError('boom')\n"
CALLING = "def call(function, *rest):\n    function(*rest)\n"


def function(path: Path, code: str) -> Callable[..., None]:
    """The function that this code defines, as of this file."""
    scope: dict[str, Callable[..., None]] = {}
    exec(compile(code, str(path), "exec"), scope)
    return scope["fail" if "fail" in scope else "call"]


def line(*calls: Callable[..., None], own: tuple[str, ...] = ()) -> str:
    """The line of the error that this chain of calls raises."""
    with pytest.raises(ValueError, match="boom") as raised:
        calls[0](*calls[1:])
    return failure_line(raised.value, own).partition(": ")[0]


def test_a_folder_that_is_called_torch_hides_no_line(tmp_path: Path) -> None:
    own = tmp_path / "torch" / "mypackage" / "fading.py"
    assert line(function(own, RAISING)) == "mypackage/fading.py:2"


def test_lines_of_torch_itself_are_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = ModuleType("torch")
    torch.__file__ = str(tmp_path / "site" / "torch" / "__init__.py")
    monkeypatch.setitem(sys.modules, "torch", torch)
    scheme = function(tmp_path / "mypackage" / "fading.py", CALLING)
    inside = function(tmp_path / "site" / "torch" / "nn" / "functional.py", RAISING)
    assert line(scheme, inside) == "mypackage/fading.py:2"


def test_nothing_is_passed_over_where_torch_is_not_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    assert line(function(tmp_path / "torch" / "nn.py", RAISING)) == "torch/nn.py:2"


def test_the_line_of_the_scheme_or_task_comes_before_lines_that_it_calls(tmp_path: Path) -> None:
    scheme, helper = tmp_path / "mypackage" / "fading.py", tmp_path / "resformer" / "model.py"
    calls = function(scheme, CALLING), function(helper, RAISING)
    assert line(*calls, own=(str(scheme),)) == "mypackage/fading.py:2"
    assert line(*calls, own=("another",)) == "resformer/model.py:2"


def test_an_error_without_lines_is_its_message() -> None:
    assert failure_line(ValueError("boom")) == "ValueError: boom"
