"""What results depend on besides their settings: versions, and the code that computes."""

import ast
import hashlib
import importlib.util
import platform
from collections.abc import Iterable
from pathlib import Path

import torch

from resformer import __version__
from resformer.shape import Shape

_CORE = ("streams", "weights", "model", "optim", "shape", "record", "train", "process", "residuals.base", "tasks.base")


def versions() -> dict[str, str]:
    """Versions and machine facts that belong beside results."""
    return {
        "resformer": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "machine": platform.machine(),
        "system": platform.system(),
    }


def fingerprint(shapes: Iterable[Shape]) -> dict[str, str]:
    """A hash of every numeric module that these shapes use, by name; comments and docstrings do not count."""
    modules = {f"resformer.{name}" for name in _CORE}
    for shape in shapes:
        modules |= {type(shape.task).__module__, type(shape.residual).__module__}
    return {module: _hash(module) for module in sorted(modules)}


def _hash(module: str) -> str:
    spec = importlib.util.find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    tree = ast.parse(Path(spec.origin).read_bytes())
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [part for part in body if not _is_text(part)]  # type: ignore[attr-defined]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()[:12]


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
