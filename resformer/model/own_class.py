"""A class of one's own by its path, `package:Class`: its import, its errors in one line, and a
digest of its code.

It is imported like any other, and where nothing has its name, from the working directory. That
stays the last place on the path of a process in which a class came from it, so that the class can
import more when it runs.
"""

import ast
import contextlib
import hashlib
import importlib
import importlib.util
import inspect
import json
import sys
from collections.abc import Iterator
from functools import cache
from importlib import metadata
from pathlib import Path

from torch import nn

from resformer.errors import UserError
from resformer.numerics import source_code
from resformer.text import failure_line

_KNOWN = {"torch", "resformer", *sys.stdlib_module_names}
"""Packages whose versions a launch records anyway."""
_INSTALLED = ("site-packages", "dist-packages")
"""Names of folders in which packages are installed beside others that they do not belong to."""


@cache
def load(path: str) -> type[nn.Module]:
    """The class of a path `package:Class`. Raises UserError."""
    name, _, attribute = path.partition(":")
    if not all(part.isidentifier() for part in (*name.split("."), attribute)):
        raise UserError(f"model.module={path}: must be package:Class, as mine:Block of mine.py")
    with blaming(path), _working_directory(name), _without_bytecode():
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name != name:
                raise
            nowhere = f"there is no module {name}, installed or in the working directory"
            raise UserError(f"model.module={path}: {nowhere}") from error
    kind = getattr(module, attribute, None)
    if not (inspect.isclass(kind) and issubclass(kind, nn.Module)):
        file = getattr(module, "__file__", None) or f"{name}, which is built in,"
        raise UserError(f"model.module={path}: {file} has no torch.nn.Module {attribute}")
    return kind


def working_directory() -> str:
    """The working directory; "" where it is gone."""
    try:
        return str(Path.cwd())
    except OSError:
        return ""


def search(folder: str) -> bool:
    """Import from this folder, too, where nothing else has the name; returns whether that is new.
    "" is none.
    """
    if not folder or folder in sys.path:
        return False
    sys.path.append(folder)
    return True


@contextlib.contextmanager
def blaming(path: str) -> Iterator[None]:
    """Turn whatever the code of a class raises into a UserError of one line."""
    try:
        yield
    except (UserError, MemoryError):
        raise
    except (Exception, SystemExit) as error:  # foreign code may raise anything
        if "randomness" in str(error):
            line = "draws at random, which would not be that of the seed; no dropout would do"
        elif "modified by an inplace operation" in str(error):
            line = "changes in place what its gradient needs; x = x + y for x += y would do"
        else:
            module = sys.modules.get(path.partition(":")[0])
            line = failure_line(error, [getattr(module, "__file__", None) or ""])
        raise UserError(f"model.module={path}: {line}") from error


def code_digest(path: str) -> str:
    """Digest of the code of a class, 12 hex digits; "" if there is no such class.

    It is that of `sources`, and the name and version of every installed distribution that one of
    these imports or that the class is defined in. Not seen are what is imported by a name that is
    computed, files that are read, and the code of other distributions beyond their version.
    """
    files = sources(path)
    if not files:
        return ""
    text = json.dumps([source_code.digest(files), sorted(_distributions(path))])
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def sources(path: str) -> list[Path]:
    """Files of the module that is named and of those that it imports, or they do, also inside
    functions, which are its own: in the same top-level package, or in the same folder unless
    packages are installed there. Empty if there is no such class.
    """
    return sorted({file for file in _reached(path).values() if file is not None})


@cache
def _reached(path: str) -> dict[str, Path | None]:
    """Modules that a class may depend on, by name: its own with their files, others with None."""
    try:
        pending = [path.partition(":")[0], load(path).__module__]
    except UserError:
        return {}
    own, reached = pending[0], dict[str, Path | None]()
    while pending:
        name = pending.pop()
        if name not in reached:
            reached[name] = file = _file(name) if _belongs(name, own) else None
            pending += [] if file is None else _imported(name, file)
    return reached


def _distributions(path: str) -> Iterator[tuple[str, str]]:
    """Name and version of every installed distribution that a class depends on."""
    tops = {
        name.partition(".")[0]
        for name, file in _reached(path).items()
        if file is None or not {*_INSTALLED}.isdisjoint(file.parts)
    }
    by_package = metadata.packages_distributions()
    for name in {name for top in tops - _KNOWN for name in by_package.get(top, [])}:
        yield name, metadata.version(name)


def _belongs(name: str, own: str) -> bool:
    """True if a module is in the top-level package of the module `own`, or lies beside it."""
    top, own_top = name.partition(".")[0], own.partition(".")[0]
    if top == own_top:
        return True
    folder = _folder(own_top)
    beside = folder is not None and folder.name not in _INSTALLED and _folder(top) == folder
    return beside and top not in _KNOWN


def _folder(top: str) -> Path | None:
    """The folder that a top-level module lies in; None if there is none."""
    try:
        spec = importlib.util.find_spec(top)
    except ValueError:  # a module that is made by hand
        return None
    if spec is None:
        return None
    places = list(spec.submodule_search_locations or [])
    if spec.has_location and spec.origin is not None:
        places = places or [spec.origin]
    return Path(places[0]).parent if places else None


def _file(name: str) -> Path | None:
    """The file of a module, without importing it; None if there is none."""
    folder = _folder(name.partition(".")[0])
    if folder is None:
        return None
    stem = folder.joinpath(*name.split("."))
    return next(filter(Path.is_file, (stem.with_suffix(".py"), stem / "__init__.py")), None)


def _imported(name: str, file: Path) -> Iterator[str]:
    """Names of the modules that a file may import, and of the packages that these are in; none of
    a file that is no Python, as one that is imported inside a function may be half-typed.
    """
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) + 1 - node.level]
            base = ".".join([*(above if node.level else []), *filter(None, [node.module])])
            names = [f"{base}.{alias.name}" for alias in node.names]  # some are no modules
        for each in names:
            parts = each.split(".")
            yield from (".".join(parts[:count]) for count in range(1, len(parts) + 1))


@contextlib.contextmanager
def _working_directory(name: str) -> Iterator[None]:
    """Import from the working directory, too, and from then on if a module of this name did."""
    here, came = working_directory(), False
    new = search(here)
    try:
        yield
        came = _folder(name.partition(".")[0]) == Path(here)
    finally:
        if new and not came:
            sys.path.remove(here)


@contextlib.contextmanager
def _without_bytecode() -> Iterator[None]:
    """Leave nothing beside the files that are imported."""
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    finally:
        sys.dont_write_bytecode = before
