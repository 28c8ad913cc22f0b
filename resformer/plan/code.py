"""Code that a planned job depends on, by its role, and a digest of it; without torch."""

import hashlib
import json
from collections.abc import Iterable, Mapping

from resformer.keys import Json

CORE = ("numerics", "backend", "model", "training", "residuals", "optimizers", "tasks")
"""Roles of the code that every result depends on."""
KERNELS, FUSED, PROBES, MODULE = "kernels", "fused", "probes", "module"
_DIGITS = 12


def roles(shape: Json) -> list[str]:
    """Roles of the code that the results of a planned shape depend on; "task copy" is that of the
    task of this name.
    """
    named = [f"residual {shape['model']['residual']['name']}", f"task {shape['task']['name']}"]
    if "optimizer" in shape:  # plans of earlier versions have AdamW without saying so
        named.append(f"optimizer {shape['optimizer']['name']}")
    if own := shape["model"].get("module"):
        named.append(f"{MODULE} {own}")
    kernels = FUSED if shape["device"] == "cuda" else KERNELS
    compiled = [kernels] if shape["train"]["compile"] else []
    return [*CORE, *named, *compiled]


def roles_with_probes(shape: Json) -> list[str]:
    """Roles of the code that the results of a planned shape and what is recorded of them depend
    on.
    """
    probed = [PROBES] if shape.get("probe", {}).get("every") is not None else []
    return [*roles(shape), *probed]


def digest(shape: Json, fingerprint: Mapping[str, str]) -> str:
    """Digest of the code that the results of a planned shape depend on, from the hashes of code by
    role; "" if one is not known.
    """
    hashes = {role: fingerprint.get(role, "") for role in roles(shape)}
    if not all(hashes.values()):
        return ""
    return hashlib.sha256(json.dumps(hashes, sort_keys=True).encode()).hexdigest()[:_DIGITS]


def newest(launches: Iterable[Json]) -> dict[str, str]:
    """Hashes of the code by role as the last launch that used it had them."""
    hashes: dict[str, str] = {}
    for launch in launches:
        hashes |= launch.get("fingerprint", {})
    return hashes


def changed(shape: Json, then: Mapping[str, str], now: Mapping[str, str]) -> set[str]:
    """Roles of a planned shape that two fingerprints know by different hashes."""
    known = [role for role in roles(shape) if then.get(role) and now.get(role)]
    return {role for role in known if then[role] != now[role]}
