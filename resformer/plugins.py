"""Variants found by where they stand: `resformer/tasks/sort.py` holds the one class that `task=sort` names."""

import importlib
import inspect
import pkgutil
from typing import TypeVar

Base = TypeVar("Base")


def names(package: str) -> list[str]:
    """Names of the variants in a package, sorted: its modules other than `base`."""
    path = importlib.import_module(package).__path__
    return sorted(module.name for module in pkgutil.iter_modules(path) if module.name != "base")


def load(package: str, name: str, base: type[Base]) -> type[Base]:
    """The subclass of `base` that module `package.name` defines; LookupError lists the names there are."""
    if name not in names(package):
        kind = package.rpartition(".")[2]
        raise LookupError(f"{name!r} is none of the {kind} there are: {', '.join(names(package))}")
    module = importlib.import_module(f"{package}.{name}")
    (found,) = [
        member
        for _, member in inspect.getmembers(module, inspect.isclass)
        if issubclass(member, base) and member.__module__ == module.__name__
    ]
    return found
