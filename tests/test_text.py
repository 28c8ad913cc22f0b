"""Errors in one line: the file and line that a reader of it is to look at."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from resformer.text import exception_line, failure_line

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


def test_a_message_without_end_is_cut() -> None:
    """The line of a plugin's own error, wherever it is shown."""
    error = ValueError("begin " + "x" * 100_000)
    for shown in (exception_line(error), failure_line(error), failure_line(raised(error))):
        assert "ValueError: begin x" in shown
        assert shown.endswith("x\N{HORIZONTAL ELLIPSIS} (100,018 characters)")
        assert len(shown) < 700


def raised(error: Exception) -> Exception:
    with pytest.raises(type(error)):
        raise error
    return error


def test_a_syntax_error_without_end_is_cut() -> None:
    error = SyntaxError("x" * 100_000, ("fading.py", 3, 1, "", 3, 1))
    assert failure_line(error).startswith("fading.py:3: SyntaxError: x")
    assert len(failure_line(error)) < 700
