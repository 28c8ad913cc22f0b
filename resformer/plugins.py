"""Variants by name: `task=sort` is the class in `resformer/tasks/sort.py`.

Other packages add variants as entry points of the group `resformer.tasks` or
`resformer.residuals`; an entry point has the name of its module.

Whatever is wrong with a variant's files is a UserError that names the variant and the file.
"""

import contextlib
import dataclasses
import importlib
import importlib.util
import inspect
import math
import pkgutil
import sys
from collections.abc import Iterator
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TypeVar

from resformer.errors import EXHAUSTED, Stuck, UserError
from resformer.text import exception_line, failure_line, short_path

Base = TypeVar("Base")

GROUPS = {
    "task": "task",
    "model.residual": "model/residual",
    "optimizer": "optimizer",
    "engine": "engine",
}
"""Keys that choose a variant, with Hydra's name of the config group."""

PACKAGES = {
    "task": "resformer.tasks",
    "model.residual": "resformer.residuals",
    "optimizer": "resformer.optimizers",
    "engine": "resformer.engines",
}
"""Keys that choose a variant, with the package of the variants' classes."""

PRESETS = ("model",)
"""Keys that choose a preset: a YAML of several settings of the section of this name."""

_OPEN = (PACKAGES["task"], PACKAGES["model.residual"])
"""Packages to which others add variants; the group of their entry points has the same name."""


def canonical(key: str) -> str:
    """The key by one name: `model/residual` and `model.residual` are the same."""
    return next((name for name, group in GROUPS.items() if key == group), key)


def choice(package: str, name: str) -> str:
    """The setting that chooses a variant, such as `model/residual=add`."""
    groups = (GROUPS[key] for key, variants in PACKAGES.items() if variants == package)
    return f"{next(groups, package)}={name}"


@contextlib.contextmanager
def blaming(package: str, name: str) -> Iterator[None]:
    """Turn whatever the code of a variant raises into a UserError that names the variant, the file
    and the line. What is not its fault passes: a machine that has no more to give, or work that is
    stuck.
    """
    try:
        yield
    except (UserError, Stuck, MemoryError):
        raise
    except (Exception, SystemExit) as error:  # foreign code may raise anything
        if isinstance(error, OSError) and error.errno in EXHAUSTED:
            raise
        inner = error.__traceback__.tb_next if error.__traceback__ else None  # the caller's frame
        error.with_traceback(inner.tb_next if inner else None)
        line = failure_line(error, {str(path) for path in sources(package, name)})
        if line == exception_line(error):
            point = entry_points(package).get(name)
            module = f"{package.rpartition('.')[2]}/{name}.py"
            line = f"{f'its entry point {point.value}' if point else module}: {line}"
        raise UserError(f"{choice(package, name)}: {line}") from error


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


def settings_file(package: str, name: str) -> Path:
    """The YAML of a variant: in the configs, or beside the module of an external one; UserError if
    there is none.
    """
    if name not in external_names(package):
        path = _own_settings(package, name)
        beside = path.relative_to(config_folder())
        lacks = f"there is {package.rpartition('.')[2]}/{name}.py but no configs/{beside}"
    else:
        with blaming(package, name):
            spec = importlib.util.find_spec(entry_points(package)[name].module)
        path = Path(str(spec.origin if spec else None)).with_suffix(".yaml")
        lacks = f"its package brings no {name}.yaml beside its module"
    if not path.is_file():
        raise UserError(f"{choice(package, name)}: {lacks}")
    return path


def has_settings(package: str, name: str) -> bool:
    """True if there is a YAML for a variant of this name, though perhaps no module."""
    return name.isidentifier() and name != "base" and _own_settings(package, name).is_file()


def _own_settings(package: str, name: str) -> Path:
    return config_folder() / choice(package, name).partition("=")[0] / f"{name}.yaml"


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

    Raises LookupError, which lists the names, if there is no such variant, and UserError if its
    module cannot be loaded or has no class that is whole.
    """
    if name in external_names(package):
        variant = _load_external(package, entry_points(package)[name], base)
    elif name in own_names(package):
        variant = _load_own(package, name, base)
    else:
        kind = package.rpartition(".")[2]
        raise LookupError(f"{name!r} is none of the {kind} there are: {', '.join(names(package))}")
    _check_whole(package, name, variant, base)  # type: ignore[arg-type]  # classes are hashable
    return variant


def _load_own(package: str, name: str, base: type[Base]) -> type[Base]:
    """The one class of a module that is derived from `base`."""
    with blaming(package, name):
        module = importlib.import_module(f"{package}.{name}")
    classes = dict.fromkeys(member for _, member in inspect.getmembers(module, inspect.isclass))
    variants = [
        member
        for member in classes
        if issubclass(member, base) and member.__module__ == module.__name__
    ]
    if len(variants) != 1:
        has = " and ".join(variant.__name__ for variant in variants)
        raise UserError(
            f"{choice(package, name)}: {short_path(str(module.__file__))} has "
            f"{f'{has}; it must have one' if has else 'no'} class derived from {base.__name__}"
        )
    return variants[0]


def _load_external(package: str, point: metadata.EntryPoint, base: type[Base]) -> type[Base]:
    """The class of an entry point; plans know a variant by the name of its module."""
    where = f"{choice(package, point.name)}: its entry point {point.value}"
    if point.module.rpartition(".")[2] != point.name:
        raise UserError(f"{where} must name a module that is called the same")
    with blaming(package, point.name):
        module = importlib.import_module(point.module)
    variant = getattr(module, point.attr, None)
    if not (
        inspect.isclass(variant)
        and issubclass(variant, base)
        and variant.__module__ == point.module
    ):
        raise UserError(f"{where} must be a {base.__name__} defined there")
    return variant


@cache
def _check_whole(package: str, name: str, variant: type[object], base: type[object]) -> None:
    """Raise UserError unless a class has all that its bases, down from `base`, leave open, and its
    settings as fields.
    """
    where = f"{choice(package, name)}: {variant.__name__} in {short_path(inspect.getfile(variant))}"
    parameters = vars(variant).get("__dataclass_params__")
    if package in PACKAGES.values() and not (parameters and parameters.frozen):
        kind = "no frozen dataclass" if parameters else "no dataclass"
        raise UserError(f"{where} is {kind}; put @dataclass(frozen=True) above it")
    own = dataclasses.fields(variant) if parameters else ()  # type: ignore[arg-type]
    fields = {field.name for field in own}
    bases = [kind for kind in variant.__mro__ if issubclass(kind, base)]
    declared = {key for kind in bases for key in inspect.get_annotations(kind)}
    lacking = {key for key in declared - fields if not hasattr(variant, key)}
    lacking |= getattr(variant, "__abstractmethods__", frozenset())
    if lacking:
        raise UserError(f"{where} lacks {', '.join(sorted(lacking))}")


def config_folder() -> Path:
    """The folder of the YAML: the checkout's own, or the one that the wheel ships."""
    package = Path(__file__).parent
    shipped = package / "configs"
    return shipped if shipped.is_dir() else package.parent / "configs"


def presets(key: str) -> list[str]:
    """Sorted names of the presets of a section."""
    return sorted(path.stem for path in (config_folder() / key).glob("*.yaml"))


def studies() -> dict[str, Path]:
    """Study files by name; the working directory's hide the package's."""
    return dict(sorted(_shipped("study").items()))


def claims() -> dict[str, Path]:
    """Files of claims by name, which begins with their number, likewise."""
    return dict(sorted(_shipped("claim").items(), key=lambda claim: _number(claim[0])))


def _shipped(kind: str) -> dict[str, Path]:
    paths: dict[str, Path] = {}
    for folder in (config_folder(), Path("configs")):
        with contextlib.suppress(PermissionError):  # the working directory of another user
            paths |= {path.stem: path for path in sorted((folder / kind).rglob("*.yaml"))}
    return paths


def _number(name: str) -> tuple[float, str]:
    """Sort key of a name that may begin with a number."""
    number, _, rest = name.partition("-")
    return (int(number), rest) if number.isdecimal() else (math.inf, name)
