"""What belongs beside measured results: the commit, the machine, and when and how long a study
trained.
"""

import os
import platform
import subprocess
from pathlib import Path
from typing import Any

from resformer.store.study import Study

_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")


def described(root: Path) -> str:
    """The commit of the code that ran, with a plus sign where the tree, but for its results,
    differed from it.
    """
    words = ["git", "rev-parse", "--short=12", "HEAD"]
    commit = subprocess.run(
        words, cwd=root, capture_output=True, text=True, check=True
    ).stdout.strip()
    differs = subprocess.run(
        ["git", "diff", "--quiet", "HEAD", "--", ".", ":!results"], cwd=root, check=False
    )
    return f"{commit}{'+' if differs.returncode else ''}"


def trained(study: Study) -> dict[str, Any]:
    """When a study was launched, how long its jobs trained, in seconds of a core, and with which
    versions.
    """
    launches = study.launches()
    seconds = sum(study.timing(job)["seconds"] for job in study.planned())
    launched = [launch["started"] for launch in launches]
    return {
        "launched": launched,
        "core_seconds": round(seconds),
        "versions": launches[-1]["versions"],
    }


def machine() -> dict[str, object]:
    """Processor, cores and system."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    model = next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")),
        platform.processor(),
    )
    return {"processor": model, "cores": os.cpu_count(), "system": platform.platform(terse=True)}


def caches() -> dict[str, str]:
    """Size of the first core's second and third level cache, as the kernel writes them; those that
    can be read.
    """
    found = {}
    for index in sorted(_CACHES.glob("index*")):
        level = (index / "level").read_text().strip()
        if level in ("2", "3"):
            found[f"L{level}"] = (index / "size").read_text().strip()
    return found
