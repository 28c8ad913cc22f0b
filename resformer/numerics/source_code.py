"""Digests of source code, which its comments and docstrings do not change."""

import ast
import hashlib
import re
from collections.abc import Iterable
from pathlib import Path


def digest(paths: Iterable[Path]) -> str:
    """12 hex digits of the code in these files, in this order."""
    return hashlib.sha256(b"\0".join(map(_code, paths))).hexdigest()[:12]


def _code(path: Path) -> bytes:
    """The code in a file of Python or C++ without its comments and docstrings; all of a file that
    is no Python, as others may be half-typed.
    """
    if path.suffix == ".py":
        text = path.read_bytes()
        try:
            return repr(_syntax(ast.parse(text))).encode()
        except (SyntaxError, ValueError):
            return text
    return " ".join(re.sub(r"//.*|\s+", " ", path.read_text(encoding="utf-8")).split()).encode()


def _syntax(node: object) -> object:
    """A syntax tree as tuples, the same in every Python that can read it: `ast.dump` shows its
    empty fields, or not.
    """
    if isinstance(node, list):
        return [_syntax(part) for part in node if not _is_text(part)]
    if isinstance(node, ast.AST):
        fields = [
            (name, value)
            for name, value in ast.iter_fields(node)
            if value is not None and value != []
        ]
        return type(node).__name__, [(name, _syntax(value)) for name, value in fields]
    return node


def _is_text(node: object) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
