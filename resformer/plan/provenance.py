"""What results depend on besides their settings: versions, and the code that computes."""

import ast
import hashlib
import importlib.util
import json
import platform
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from resformer import __version__, plugins
from resformer.model.shape import Shape
from resformer.numerics.backends.kernels import build

_CORE = (
    *("numerics.rng", "numerics.parameters", "numerics.adamw", "numerics.process", "numerics.cuda_graph"),
    *("numerics.backends.base", "numerics.backends.eager", "model.transformer", "model.shape"),
    *("training.outcome", "training.population", "training.loop", "residuals.base", "tasks.base"),
)
_COMPILED = ("numerics.backends.compiled", "numerics.backends.kernels.build")


def versions(compiled: bool) -> dict[str, str]:
    """Versions and machine facts that belong beside results; the compiler's where it matters."""
    found = {
        "resformer": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "machine": platform.machine(),
        "system": platform.system(),
    }
    return {**found, "compiler": build.compiler()} if compiled else found


def fingerprint(shapes: Iterable[Shape]) -> dict[str, str]:
    """A hash of every numeric module that these shapes use, by name; comments and docstrings do not count."""
    modules, compiled = {f"resformer.{name}" for name in _CORE}, False
    for shape in shapes:
        modules |= {type(shape.task).__module__, type(shape.residual).__module__}
        compiled |= shape.train.compile
        if shape.probe.every is not None:
            modules |= {"resformer.probes.measure", "resformer.probes.measures.base"}
            modules |= {f"resformer.probes.measures.{name}" for name in plugins.names("resformer.probes.measures")}
    if compiled:
        modules |= {f"resformer.{name}" for name in _COMPILED}
    return _hashes([*sorted(modules), *(_kernels() if compiled else ())])


def unlike(launch: Mapping[str, Any]) -> str:
    """How what would compute here differs from what a launch was planned with, in words; "" if it does not."""
    try:
        here = versions("compiler" in launch["versions"])
    except build.Unavailable as trouble:
        return f"was made with compiler {launch['versions']['compiler']}, here is none: {trouble}"
    return difference(launch, here, _hashes(launch["fingerprint"]))


def difference(launch: Mapping[str, Any], with_what: Mapping[str, str], code: Mapping[str, str]) -> str:
    """The first of these versions and hashes that a launch has others of, in words; "" if there is none."""
    for tool in ("torch", "compiler"):
        was, is_now = launch["versions"].get(tool), with_what.get(tool)
        if was and is_now and was != is_now:
            return f"was made with {tool} {was}, this is {is_now}"
    for name, now in code.items():
        then = launch["fingerprint"].get(name, now)
        if then != now:
            return f"was computed by other code: {name} was {then}, is {now or 'not here'}"
    return ""


def bits(shape: Shape, at_once: int) -> dict[str, str]:
    """What the bits of a training depend on besides its settings: whose checkpoint can be gone on from here.

    On a GPU also how many members are computed at once.
    """
    found = versions(shape.train.compile)
    del found["python"]
    code = hashlib.sha256(json.dumps(fingerprint([shape])).encode()).hexdigest()[:12]
    where = {
        "code": code,
        "processor": _processor(),
        "vector instructions": torch.backends.cpu.get_cpu_capability(),
        "threads": str(torch.get_num_threads()),
    }
    if shape.device == "cuda":
        where |= {"GPU": torch.cuda.get_device_name(), "members at once": str(at_once)}
    return {**found, **where}


def _processor() -> str:
    """Its model, and a hash of all that it can do: machines of one name can differ in that."""
    model = build.processor()[-1].rpartition(":")[2].strip()
    return f"{model} ({hashlib.sha256(repr(build.processor()).encode()).hexdigest()[:8]})"


def _hashes(names: Iterable[str]) -> dict[str, str]:
    """Of modules and of sources of the kernels, by name; "" of one that is not here."""
    kernels = _kernels()
    return {name: _hash_cpp(kernels[name]) if name in kernels else _hash(name) for name in names}


def _kernels() -> dict[str, Path]:
    return {f"resformer.numerics.backends.kernels.{path.name}": path for path in build.sources()}


def _hash_cpp(path: Path) -> str:
    code = re.sub(r"//.*|\s+", " ", path.read_text())
    return hashlib.sha256(" ".join(code.split()).encode()).hexdigest()[:12]


def _hash(module: str) -> str:
    try:
        spec = importlib.util.find_spec(module)
    except ModuleNotFoundError:  # of the package that it is in
        spec = None
    if spec is None or spec.origin is None:
        return ""
    tree = _said(ast.parse(Path(spec.origin).read_bytes()))
    return hashlib.sha256(repr(tree).encode()).hexdigest()[:12]


def _said(node: object) -> object:
    """What code says, the same in every Python that can read it: `ast.dump` shows its empty fields, or not."""
    if isinstance(node, list):
        return [_said(part) for part in node if not _is_text(part)]
    if isinstance(node, ast.AST):
        fields = [(name, value) for name, value in ast.iter_fields(node) if value is not None and value != []]
        return type(node).__name__, [(name, _said(value)) for name, value in fields]
    return node


def _is_text(node: object) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
