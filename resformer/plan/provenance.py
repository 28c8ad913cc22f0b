"""Provenance: the versions, machine facts and code that results depend on besides settings."""

import hashlib
import json
import os
import platform
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch

from resformer import __version__, plugins
from resformer.keys import Json
from resformer.model import own_class
from resformer.model.serial import shape_to_json
from resformer.model.shape import Recording, Shape
from resformer.numerics import source_code
from resformer.numerics.backends import availability
from resformer.numerics.backends.kernels import build
from resformer.numerics.backends.kernels.compiler import Unavailable
from resformer.numerics.processor import processor_facts
from resformer.plan import code

_PACKAGE = Path(__file__).parent.parent

_ROLES = {
    "numerics": tuple(
        f"numerics/{name}.py"
        for name in (
            "__init__",
            "cuda_graph",
            "elementwise",
            "layout",
            "parameters",
            "process",
            "rng",
        )
    ),
    "backend": ("numerics/backends/base.py", "numerics/backends/eager.py"),
    "model": ("model/*.py",),
    "training": ("training/*.py",),
    "residuals": ("residuals/base.py",),
    "tasks": ("tasks/base.py",),
    "optimizers": ("optimizers/base.py",),
    code.KERNELS: (
        "numerics/backends/compiled.py",
        "numerics/backends/kernels/functions.py",
        "numerics/backends/kernels/program.py",
        "numerics/backends/kernels/sources.py",
        "numerics/backends/kernels/*.?pp",
    ),
    code.FUSED: (
        "numerics/backends/compiled.py",
        "numerics/backends/kernels/functions.py",
        "numerics/backends/fused/*.py",
    ),
    code.PROBES: ("probes/*.py", "probes/measures/*.py"),
}
"""Patterns of the package's files in each role; only layers depend on those of probes."""
_VARIANTS = {
    "residual": plugins.PACKAGES["model.residual"],
    "task": plugins.PACKAGES["task"],
    "optimizer": plugins.PACKAGES["optimizer"],
}
"""The role of a variant is one of these words and the variant's name: "task copy"."""


_COMPILERS: dict[str, tuple[str, Callable[[], str]]] = {
    "cpu": ("compiler", build.compiler),
    "cuda": ("triton", availability.version),
}
"""Name and version of the compiler of the kernels for each device."""


def versions(compiled_on: Collection[str] = ()) -> dict[str, str]:
    """Versions and machine facts that stand beside results, and those of the compilers of the
    kernels that compute on these devices.
    """
    here = {
        "resformer": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "machine": platform.machine(),
        "system": platform.system(),
        **processor_facts(),
    }
    compilers = {
        tool: version() for device, (tool, version) in _COMPILERS.items() if device in compiled_on
    }
    return {**here, **compilers}


def machine() -> dict[str, object]:
    """Processor, cores and system."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return {
        "processor": next(models, platform.processor()),
        "cores": os.cpu_count(),
        "system": platform.platform(terse=True),
    }


def compiled_on(shapes: Iterable[Shape]) -> set[str]:
    """Devices on which kernels compute some of these shapes."""
    return {shape.device for shape in shapes if shape.train.compile}


def fingerprint(planned: Iterable[Json]) -> dict[str, str]:
    """Hash the code that planned shapes depend on, by its role; comments and docstrings do not
    count.
    """
    roles = {role for shape in planned for role in code.roles_with_probes(shape)}
    return {role: _hash(role) for role in sorted(roles)}


def code_digest(planned: Json) -> str:
    """Digest of the code that is here of a planned shape; "" if some is not here."""
    return code.digest(planned, fingerprint([planned]))


def unlike(launch: Mapping[str, Any]) -> str:
    """Describe the first mismatch between a launch's record and this machine; "" if they match."""
    recorded = launch.get("versions", {})
    tools = {tool: device for device, (tool, _) in _COMPILERS.items() if tool in recorded}
    try:
        here = versions(tools.values())
    except Unavailable as trouble:
        made_with = ", ".join(f"{tool} {recorded[tool]}" for tool in tools)
        return f"was made with {made_with}, here is none: {trouble}"
    return unlike_versions(launch, here) or other_code(launch.get("fingerprint", {}))


def unlike_versions(launch: Mapping[str, Any], here: Mapping[str, str]) -> str:
    """Describe the first version in a launch's record that is not the one here; "" for none."""
    for tool in ("torch", *(tool for tool, _ in _COMPILERS.values())):
        was, is_now = launch.get("versions", {}).get(tool), here.get(tool)
        if was and is_now and was != is_now:
            return f"was made with {tool} {was}, this is {is_now}"
    return ""


def other_code(fingerprint: Mapping[str, str]) -> str:
    """Describe the first role in a fingerprint whose code is another one here; "" for none."""
    for role, then in fingerprint.items():
        if then != (now := _hash(role)):
            return f"was computed by other code: {role} was {then}, is {now or 'not here'}"
    return ""


def environment(shape: Shape, recording: Recording, chunk_size: int) -> dict[str, str]:
    """The facts that the bits of a training depend on besides its settings. A checkpoint is resumed
    only where all are the same; on a GPU the number of members computed at once is one of them.
    """
    here = versions(compiled_on([shape]))
    del here["python"]
    hashes = json.dumps(fingerprint([shape_to_json(shape, recording)]))
    where = {
        "code": hashlib.sha256(hashes.encode()).hexdigest()[:12],
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


def own_files(shape: Shape) -> list[str]:
    """Files that a user may have written: of a shape's scheme, task, optimiser and module."""
    variants = [plugins.file_of(part) for part in (shape.residual, shape.task, shape.optimizer)]
    module = shape.model.module
    return [*variants, *(map(str, own_class.sources(module)) if module is not None else [])]


@cache
def _hash(role: str) -> str:
    """The hash of the code in this role; "" if it is not here."""
    kind, _, name = role.partition(" ")
    if kind == code.MODULE:
        return own_class.code_digest(name)
    paths = _files(role)
    return source_code.digest(paths) if paths else ""


def _files(role: str) -> Sequence[Path]:
    if role in _ROLES:
        return [path for pattern in _ROLES[role] for path in sorted(_PACKAGE.glob(pattern))]
    kind, _, name = role.partition(" ")
    return plugins.sources(_VARIANTS[kind], name) if kind in _VARIANTS else []
