"""Variants by name: `task=sort` is the class in `resformer/tasks/sort.py`.

Other packages add variants as entry points of the group `resformer.tasks` or
`resformer.residuals`; an entry point has the name of its module.
"""

import contextlib
import importlib
import importlib.util
import inspect
import pkgutil
import sys
from collections.abc import Iterator
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
"""Packages to which others add variants; the group of their entry points has the same name."""


def canonical(key: str) -> str:
    """The key by one name: `model/residual` and `model.residual` are the same."""
    return next((name for name, group in GROUPS.items() if key == group), key)


class PluginError(Exception):
    """A variant of another package cannot be used: its name and the reason."""


def names(package: str) -> list[str]:
    """Sorted names of a package's variants: its modules but `base`, and external variants."""
    return sorted(own_names(package) | external_names(package))


def external_names(package: str) -> set[str]:
    """Names of the variants from other packages, without those that the package itself has."""
    return set(entry_points(package)) - own_names(package)


@cache
def own_names(package: str) -> set[str]:
    """Names of a package's own variants: its modules but `base`."""
    path = importlib.import_module(package).__path__
    return {module.name for module in pkgutil.iter_modules(path)} - {"base"}


@cache
def entry_points(package: str) -> dict[str, metadata.EntryPoint]:
    """Entry points of other packages in the group of this package, by name."""
    if package not in _OPEN:
        return {}
    points: dict[str, metadata.EntryPoint] = {}
    for distribution in metadata.distributions():
        # One that cannot be read is that of some package, and no reason to do without the others.
        with contextlib.suppress(Exception):
            for point in distribution.entry_points.select(group=package):
                points.setdefault(point.name, point)
    return points


def external_settings(package: str, name: str) -> Path:
    """The YAML beside the module of an external variant; PluginError if there is none."""
    try:
        module = importlib.util.find_spec(entry_points(package)[name].module)
    except (Exception, SystemExit) as error:  # foreign code may raise anything
        raise PluginError(f"{name}: its entry point cannot be loaded: {_reason(error)}") from error
    path = Path(str(module.origin if module else None)).with_suffix(".yaml")
    if not path.is_file():
        raise PluginError(f"{name}: its package brings no {name}.yaml beside its module")
    return path


def sources(package: str, name: str) -> list[Path]:
    """The file of a variant's class, and of an external one all files of the top-level package that
    it is in, from which it may import, but hidden ones; none if there is no such variant or it
    cannot be loaded. What a module imports that is in no package is not seen.
    """
    external = name in external_names(package)
    module = entry_points(package)[name].module if external else f"{package}.{name}"
    try:
        spec = importlib.util.find_spec(module)
        top = importlib.util.find_spec(module.partition(".")[0])
    except (Exception, SystemExit):  # no such package, or foreign code, which may raise anything
        return []
    if spec is None or top is None or spec.origin is None:
        return []
    folders = top.submodule_search_locations if external else None
    if folders is None:
        return [Path(spec.origin)]
    return sorted(path for folder in folders for path in _modules(Path(folder)))


def _modules(folder: Path) -> Iterator[Path]:
    """The Python files of a folder and those below, without hidden ones."""
    for path in folder.rglob("*.py"):
        if not any(part.startswith(".") for part in path.relative_to(folder).parts):
            yield path


def name_of(variant: object) -> str:
    """Name of a variant, as the command line and a plan have it: that of its class's module."""
    return type(variant).__module__.rpartition(".")[2]


def file_of(variant: object) -> str:
    """Path of the file in which a variant's class is defined; "" if it is in none."""
    return getattr(sys.modules.get(type(variant).__module__), "__file__", None) or ""


def load(package: str, name: str, base: type[Base]) -> type[Base]:
    """The class of a variant, a subclass of `base`.

    Raises LookupError, which lists the names, if there is no such variant, and PluginError if an
    external one cannot be used.
    """
    if name in external_names(package):
        return _load_external(entry_points(package)[name], base)
    if name not in names(package):
        kind = package.rpartition(".")[2]
        raise LookupError(f"{name!r} is none of the {kind} there are: {', '.join(names(package))}")
    module = importlib.import_module(f"{package}.{name}")
    (variant,) = [
        member
        for _, member in inspect.getmembers(module, inspect.isclass)
        if issubclass(member, base) and member.__module__ == module.__name__
    ]
    return variant


def _load_external(point: metadata.EntryPoint, base: type[Base]) -> type[Base]:
    """The class of an entry point, checked; plans know a variant by the name of its module."""
    where = f"{point.name}: its entry point {point.value}"
    if point.module.rpartition(".")[2] != point.name:
        raise PluginError(f"{where} must name a module that is called the same")
    try:
        variant = point.load()
    except (Exception, SystemExit) as error:  # foreign code may raise anything
        raise PluginError(f"{where} cannot be loaded: {_reason(error)}") from error
    if not (
        inspect.isclass(variant)
        and issubclass(variant, base)
        and variant.__module__ == point.module
    ):
        raise PluginError(f"{where} must be a {base.__name__} defined there")
    if missing := ", ".join(sorted(getattr(variant, "__abstractmethods__", ()))):
        raise PluginError(f"{where} does not define {missing}")
    if not hasattr(variant, "__dataclass_fields__"):
        raise PluginError(f"{where} is no dataclass")
    return variant


def _reason(error: BaseException) -> str:
    return f"it exits with {error.code}" if isinstance(error, SystemExit) else str(error)


def config_folder() -> Path:
    """The folder of the YAML: the checkout's own, or the one that the wheel ships."""
    package = Path(__file__).parent
    shipped = package / "configs"
    return shipped if shipped.is_dir() else package.parent / "configs"


def studies() -> dict[str, Path]:
    """Study files by name, those in subfolders last; the working directory's hide the package's."""
    folders = [folder / "study" for folder in (config_folder(), Path("configs"))]
    paths: dict[str, Path] = {}
    for folder in folders:
        with contextlib.suppress(PermissionError):  # the working directory of another user
            paths |= {path.stem: path for path in sorted(folder.rglob("*.yaml"))}
    return dict(sorted(paths.items(), key=lambda study: study[1].parent not in folders))
