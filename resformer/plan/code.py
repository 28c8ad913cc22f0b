"""Code that a planned job depends on, by its role, and a digest of it; without torch."""

import hashlib
import json
from collections.abc import Iterable, Mapping

from resformer.keys import Json

CORE = ("numerics", "backend", "model", "training", "residuals", "tasks")
"""Roles of the code that every result depends on."""
KERNELS, PROBES = "kernels", "probes"
_DIGITS = 12


def roles(shape: Json) -> list[str]:
    """Roles of the code that the results of a planned shape depend on; "task copy" is that of the
    task of this name.
    """
    named = [f"residual {shape['model']['residual']['name']}", f"task {shape['task']['name']}"]
    compiled = [KERNELS] if shape["train"]["compile"] else []
    probed = [PROBES] if shape.get("probe", {}).get("every") is not None else []
    return [*CORE, *named, *compiled, *probed]


def digest(shape: Json, fingerprint: Mapping[str, str]) -> str:
    """Digest of the code of a planned shape, from the hashes of code by role; "" if one is not
    known.
    """
    code = {role: fingerprint.get(role, "") for role in roles(shape)}
    if not all(code.values()):
        return ""
    return hashlib.sha256(json.dumps(code, sort_keys=True).encode()).hexdigest()[:_DIGITS]


def newest(launches: Iterable[Json]) -> dict[str, str]:
    """Hashes of the code by role as the last launch that used it had them."""
    hashes: dict[str, str] = {}
    for launch in launches:
        hashes |= launch.get("fingerprint", {})
    return hashes


def changed(launches: Iterable[Json]) -> list[str]:
    """Roles of which the launches of a study used several versions."""
    versions: dict[str, set[str]] = {}
    for launch in launches:
        for role, value in launch.get("fingerprint", {}).items():
            versions.setdefault(role, set()).add(value)
    return sorted(role for role, values in versions.items() if len(values) > 1)
