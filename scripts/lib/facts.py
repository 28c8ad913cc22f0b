"""Circumstances of measured results: commit, machine, and when and how long a study trained."""

import json
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

from resformer.numerics import source_code
from resformer.store.study import Study

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "results" / "reference"
_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")


def commit() -> str:
    """Commit of this checkout, with a plus sign if its tree, but for results, differs from it; in a
    copy without its history a digest of the package's code.
    """
    try:
        name = subprocess.run(
            ["git", "rev-parse", "--short=12", "HEAD"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return f"no history; code {source_code.digest(sorted((ROOT / 'resformer').rglob('*.py')))}"
    differs = subprocess.run(
        ["git", "diff", "--quiet", "HEAD", "--", ".", ":!results"], cwd=ROOT, check=False
    ).returncode
    return f"{name}{'+' if differs else ''}"


def trained(study: Study) -> dict[str, Any]:
    """When a study was launched, seconds of a core that its jobs trained, and versions."""
    launches = study.launches()
    seconds = sum(study.results.timing(job)["seconds"] for job in study.planned())
    return {
        "launched": [launch["started"] for launch in launches],
        "core_seconds": round(seconds),
        "versions": launches[-1]["versions"],
    }


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


def caches() -> dict[str, str]:
    """Sizes of the first core's L2 and L3 cache, as the kernel writes them, where they are read."""
    sizes = {}
    for index in sorted(_CACHES.glob("index*")):
        level = (index / "level").read_text().strip()
        if level in ("2", "3"):
            sizes[f"L{level}"] = (index / "size").read_text().strip()
    return sizes


def write(path: Path, facts: dict[str, Any]) -> None:
    """Write facts as JSON."""
    path.write_text(json.dumps(facts, indent=1) + "\n")
