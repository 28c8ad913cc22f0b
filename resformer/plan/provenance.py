"""Provenance: the versions, machine facts and code that results depend on besides settings."""

import ast
import hashlib
import json
import platform
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch

from resformer import __version__, plugins
from resformer.model.shape import Recording, Shape
from resformer.numerics.backends.kernels import build
from resformer.numerics.backends.kernels.compiler import Unavailable
from resformer.numerics.processor import processor_facts

_PACKAGE = Path(__file__).parent.parent

_CORE = {
    "numerics": tuple(
        f"numerics/{name}.py"
        for name in ("__init__", "adamw", "cuda_graph", "parameters", "process", "rng")
    ),
    "backend": ("numerics/backends/base.py", "numerics/backends/eager.py"),
    "model": ("model/*.py",),
    "training": ("training/*.py",),
    "residuals": ("residuals/base.py",),
    "tasks": ("tasks/base.py",),
}
"""Code that every result depends on, by its role: patterns of files in the package."""
_KERNELS, _PROBES = "kernels", "probes"
_ROLES = {
    **_CORE,
    _KERNELS: (
        "numerics/backends/compiled.py",
        "numerics/backends/kernels/functions.py",
        "numerics/backends/kernels/sources.py",
        "numerics/backends/kernels/*.?pp",
    ),
    _PROBES: ("probes/*.py", "probes/measures/*.py"),
}
"""Patterns of the files in each role, those of probes included, on which only layers depend."""
_RECORDED_AS = {"e27d256df2c2": "d4466592364a"}
"""The present hashes of code that was only moved, with those that studies have recorded: the bits
of results are the same.
"""
_VARIANTS = {"residual": plugins.PACKAGES["model.residual"], "task": plugins.PACKAGES["task"]}
"""The role of a variant is one of these words and the variant's name: "task copy"."""


def versions(compiled: bool) -> dict[str, str]:
    """Versions and machine facts that stand beside results; the compiler's if kernels compute."""
    here = {
        "resformer": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "machine": platform.machine(),
        "system": platform.system(),
        **processor_facts(),
    }
    return {**here, "compiler": build.compiler()} if compiled else here


def fingerprint(shapes: Iterable[Shape], recordings: Iterable[Recording]) -> dict[str, str]:
    """Hash the code that these shapes and recordings depend on, by its role; comments and
    docstrings do not count.
    """
    roles = {*_CORE}
    for shape in shapes:
        roles |= {
            f"{kind} {plugins.name_of(variant)}"
            for kind, variant in (("residual", shape.residual), ("task", shape.task))
        }
        roles |= {_KERNELS} if shape.train.compile else set()
    if any(recording.probe_every is not None for recording in recordings):
        roles.add(_PROBES)
    return {role: _hash(role) for role in sorted(roles)}


def unlike(launch: Mapping[str, Any]) -> str:
    """Describe the first mismatch between a launch's record and this machine; "" if they match."""
    try:
        here = versions("compiler" in launch["versions"])
    except Unavailable as trouble:
        return f"was made with compiler {launch['versions']['compiler']}, here is none: {trouble}"
    return mismatch(
        launch, here, {role: _hash(role) for role in {**_CORE, **launch["fingerprint"]}}
    )


def mismatch(launch: Mapping[str, Any], here: Mapping[str, str], code: Mapping[str, str]) -> str:
    """Describe the first mismatch between a launch's record and these versions and hashes; "" if
    they match.

    Roles that the launch did not use are no mismatch; a launch without those that every result
    depends on is one.
    """
    for tool in ("torch", "compiler"):
        was, is_now = launch["versions"].get(tool), here.get(tool)
        if was and is_now and was != is_now:
            return f"was made with {tool} {was}, this is {is_now}"
    recorded = launch["fingerprint"]
    if missing := _CORE.keys() - recorded.keys():
        return (
            "was computed by other code: an earlier resformer, whose launch records "
            f"{min(recorded, default='nothing')} and not {min(missing)}"
        )
    for role, now in code.items():
        then = recorded.get(role, now)
        if then != now:
            return f"was computed by other code: {role} was {then}, is {now or 'not here'}"
    return ""


def environment(shape: Shape, recording: Recording, chunk_size: int) -> dict[str, str]:
    """The facts that the bits of a training depend on besides its settings. A checkpoint is resumed
    only where all are the same; on a GPU the number of members computed at once is one of them.
    """
    here = versions(shape.train.compile)
    del here["python"]
    code = hashlib.sha256(json.dumps(fingerprint([shape], [recording])).encode()).hexdigest()[:12]
    where = {
        "code": code,
        "threads": str(torch.get_num_threads()),
    }
    if shape.device == "cuda":
        where |= {"GPU": torch.cuda.get_device_name(), "members at once": str(chunk_size)}
    return {**here, **where}


def other_processor(launch: Mapping[str, Any], here: Mapping[str, str]) -> str:
    """Describe the processor of a launch if these versions name another one; "" if they do not, or
    if the launch is of a resformer that recorded none.
    """
    facts = [(launch["versions"].get(fact), here.get(fact)) for fact in processor_facts()]
    if not any(then and then != now for then, now in facts):
        return ""
    then, now = (" with ".join(map(str, side)) for side in zip(*facts, strict=True))
    return f"was computed on {then}, this is {now}: the last bits of results differ"


@cache
def _hash(role: str) -> str:
    """The hash of the code in this role; "" if it is not here."""
    if not (paths := _files(role)):
        return ""
    code = hashlib.sha256(b"\0".join(map(_code, paths))).hexdigest()[:12]
    return _RECORDED_AS.get(code, code)


def _files(role: str) -> Sequence[Path]:
    if role in _ROLES:
        return [path for pattern in _ROLES[role] for path in sorted(_PACKAGE.glob(pattern))]
    kind, _, name = role.partition(" ")
    path = plugins.source(_VARIANTS[kind], name) if kind in _VARIANTS else None
    return [path] if path is not None else []


def _code(path: Path) -> bytes:
    """The code in a file of Python or C++ without its comments and docstrings."""
    if path.suffix == ".py":
        return repr(_syntax(ast.parse(path.read_bytes()))).encode()
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
