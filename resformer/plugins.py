"""Variants found by where they stand: `resformer/tasks/sort.py` holds the one class that
`task=sort` names.

Other packages bring more, as entry points of the group `resformer.tasks`, whose name is that of the
module as well.
"""

import importlib
import importlib.util
import inspect
import pkgutil
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TypeVar

Base = TypeVar("Base")

GROUPS = {"task": "task", "model.residual": "model/residual", "engine": "engine"}
"""Keys that choose a variant, with Hydra's name of the config group."""

PACKAGES = {
    "task": "resformer.tasks",
    "model.residual": "resformer.residuals",
    "engine": "resformer.engines",
}
"""Keys that choose a variant, with the package of the variants' classes."""

_OPEN = (PACKAGES["task"], PACKAGES["model.residual"])
"""Packages whose variants other packages can add to; the group of their entry points is called the
same.
"""


class NotOneOfUs(Exception):
    """A variant of another package that cannot be used: which, and what is wrong with it."""


def names(package: str) -> list[str]:
    """Names of the variants there are, sorted: the modules of the package other than `base`, and
    what others bring.
    """
    return sorted(_own(package) | outside(package))


def _own(package: str) -> set[str]:
    path = importlib.import_module(package).__path__
    return {module.name for module in pkgutil.iter_modules(path)} - {"base"}


@cache
def _brought(package: str) -> dict[str, metadata.EntryPoint]:
    if package not in _OPEN:
        return {}
    return {found.name: found for found in metadata.entry_points(group=package)}


def outside(package: str) -> set[str]:
    """Names of the variants that other packages bring; one that is taken here already is not among
    them.
    """
    found = set(_brought(package))
    return found - _own(package) if found else found


def settings_of(package: str, name: str) -> Path:
    """The YAML beside the module of a variant from outside;
    raises NotOneOfUs if it is not there.
    """
    try:
        module = importlib.util.find_spec(_brought(package)[name].module)
    except Exception as error:  # of somebody else's code, which may raise anything
        raise NotOneOfUs(f"{name}: its entry point cannot be loaded: {error}") from error
    path = Path(str(module.origin if module else None)).with_suffix(".yaml")
    if not path.is_file():
        raise NotOneOfUs(f"{name}: its package brings no {name}.yaml beside its module")
    return path


def source(package: str, name: str) -> Path | None:
    """The file of a variant's class; None if there is no such variant."""
    module = _brought(package)[name].module if name in outside(package) else f"{package}.{name}"
    try:
        spec = importlib.util.find_spec(module)
    except ModuleNotFoundError:  # of the package that it is in
        return None
    return Path(spec.origin) if spec is not None and spec.origin is not None else None


def load(package: str, name: str, base: type[Base]) -> type[Base]:
    """The subclass of `base` that is called so; LookupError says which there are, NotOneOfUs what
    is wrong with it.
    """
    if name in outside(package):
        return _from_outside(_brought(package)[name], base)
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


def _from_outside(point: metadata.EntryPoint, base: type[Base]) -> type[Base]:
    """Under the name of its module, for by that name a plan knows it."""
    if point.module.rpartition(".")[2] != point.name:
        raise NotOneOfUs(
            f"{point.name}: its entry point {point.value} must name a module that is called the "
            "same"
        )
    try:
        found = point.load()
    except Exception as error:  # of somebody else's code, which may raise anything
        raise NotOneOfUs(
            f"{point.name}: its entry point {point.value} cannot be loaded: {error}"
        ) from error
    if not (
        inspect.isclass(found) and issubclass(found, base) and found.__module__ == point.module
    ):
        raise NotOneOfUs(
            f"{point.name}: its entry point {point.value} must be a {base.__name__} defined there"
        )
    missing = ", ".join(sorted(getattr(found, "__abstractmethods__", ())))
    if missing or not hasattr(found, "__dataclass_fields__"):
        what = f"does not define {missing}" if missing else "is no dataclass"
        raise NotOneOfUs(f"{point.name}: its entry point {point.value} {what}")
    return found


def config_folder() -> Path:
    """The folder of the YAML: the checkout's own, or the one that the wheel brought."""
    package = Path(__file__).parent
    shipped = package / "configs"
    return shipped if shipped.is_dir() else package.parent / "configs"


def studies() -> dict[str, Path]:
    """Study files by name, those in subfolders last; the working directory's hide the package's."""
    places = [place / "study" for place in (config_folder(), Path("configs"))]
    by_name = {path.stem: path for place in places for path in sorted(place.rglob("*.yaml"))}
    return dict(sorted(by_name.items(), key=lambda study: study[1].parent not in places))
