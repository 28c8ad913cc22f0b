"""Circumstances of measured results: commit and caches."""

import json
import subprocess
from pathlib import Path
from typing import Any

from resformer.numerics import source_code

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
