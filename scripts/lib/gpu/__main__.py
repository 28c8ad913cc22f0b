"""Measure a machine with an NVIDIA GPU, and write results/reference/gpu/.

PART.csv       a row per measurement and repetition, or per test
gpu.txt        the tables, of all parts as far as they are there
facts.json     by part: command, commit, date, duration, versions, card, machine; the reason if it
               failed

Each part has seconds of its own and those that parts before it left over, six minutes in all; what
one takes to end beyond them, the next one lacks. One that fails or takes longer leaves the rows
that it had, and the others are measured all the same; the exit code is then 1. SIGTERM ends the
part that runs, too.
"""

import argparse
import json
import platform
import subprocess
import sys
import time
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from lib import facts
from lib.bench.tables import table
from lib.facts import REFERENCE, commit
from lib.gpu import parts, targets
from lib.gpu.parts import PARTS
from resformer import __version__
from resformer.plan.provenance import machine

_PACKAGES = ("torch", "triton", "jax")
_CARD = ("memory.total", "driver_version")


def main() -> int:
    """Measure, write, print; the exit code: 1 if a part failed, 2 if there is no GPU."""
    parser = argparse.ArgumentParser(prog="scripts/gpu", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--only", choices=list(PARTS), help="one part; the others' results stay as they are"
    )
    parser.add_argument("--out", type=Path, default=REFERENCE / "gpu", help="folder to write")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        print(
            f"scripts/gpu: torch {torch.__version__} sees no NVIDIA GPU here; it needs a machine "
            "with one, and a torch that is built for it",
            file=sys.stderr,
        )
        return 2
    options.out.mkdir(parents=True, exist_ok=True)
    failed, spare, here = False, 0.0, circumstances()
    for name in [options.only] if options.only else PARTS:
        part, began = PARTS[name], time.perf_counter()
        reason = parts.run(name, options.out / part.file, max(0.0, part.seconds + spare))
        seconds = time.perf_counter() - began
        spare += part.seconds - seconds
        print(f"{name}: {seconds:.0f} s{f', failed: {reason}' * bool(reason)}", file=sys.stderr)
        note(options.out / "facts.json", name, reason, seconds, here)
        (options.out / "gpu.txt").write_text(tables(options.out))
        failed = failed or bool(reason)
    print((options.out / "gpu.txt").read_text(), end="")
    return int(failed)


def tables(folder: Path) -> str:
    """Tables of all files, so that parts that were measured earlier are shown as well; and the
    parts that failed.
    """
    noted = json.loads((folder / "facts.json").read_text())
    measured = {
        name: pd.read_csv(folder / part.file)
        for name, part in PARTS.items()
        if (folder / part.file).exists()
    }
    failed = [[name, part["failed"]] for name, part in noted.items() if part["failed"]]
    texts = [targets.render(measured)]
    texts += [table("Parts that failed", ["", "reason"], failed)] if failed else []
    texts += [PARTS[name].render(rows) for name, rows in measured.items()]
    return "\n\n\n".join(texts) + "\n"


def circumstances() -> dict[str, Any]:
    """Commit, date, versions, card and machine of what is measured now."""
    return {
        "commit": commit(),
        "date": datetime.now(UTC).date().isoformat(),
        "versions": {
            "python": platform.python_version(),
            "resformer": __version__,
            **_versions(),
        },
        "card": _card(),
        "machine": machine(),
    }


def note(path: Path, part: str, reason: str, seconds: float, here: dict[str, Any]) -> None:
    """Put the facts of a part into the file, beside those of the others."""
    noted: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    measured = {"command": f"scripts/gpu --only {part}", "seconds": round(seconds, 1)}
    noted[part] = {**measured, "failed": reason, **here}
    facts.write(path, noted)


def _versions() -> dict[str, str]:
    """Versions of the packages that are installed."""
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def _card() -> dict[str, str]:
    """Name of the GPU that torch computes on; and facts by nvidia-smi, where that is installed, of
    the first one of the machine.
    """
    name = {"name": torch.cuda.get_device_properties(0).name}
    words = ["nvidia-smi", f"--query-gpu={','.join(_CARD)}", "--format=csv,noheader"]
    try:
        asked = subprocess.run(words, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return name
    return name | dict(zip(_CARD, asked.stdout.splitlines()[0].split(", "), strict=True))


if __name__ == "__main__":
    sys.exit(main())
