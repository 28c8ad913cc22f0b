"""Run the study quick on every engine, two workers each, and compare their tables byte by byte.

engines.txt, facts.json     seconds from the command to its report, and SHA-256 of the tables;
                            commit, versions, machine
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from lib import facts
from lib.clusters import loopback
from lib.facts import REFERENCE, commit
from lib.faults.invariant import table
from resformer.plan.provenance import machine
from resformer.store.study import Study

STUDY = "quick"
ENGINES = {
    "local, two processes": loopback.local,
    "ray, two nodes of a core each": loopback.ray,
    "slurm, two nodes of a core each": loopback.slurm,
}


def main() -> int:
    """Run, compare, write, print; exit code 1 if tables differ."""
    target = REFERENCE / "engines"
    circumstances: dict[str, Any] = {"command": "scripts/engines", "commit": commit()}
    rows, hashes = list[str](), list[str]()
    for engine, cluster in ENGINES.items():
        with cluster() as words, tempfile.TemporaryDirectory() as folder:
            seconds = swept(Path(folder), words)
            study = Study(Path(folder) / "results" / STUDY)
            jobs, versions = len(study.planned()), study.launches()[-1]["versions"]
            hashes.append(table(study))
        rows.append(f"  {engine:34}{seconds:7.0f}   {hashes[-1]}")
    same = len(set(hashes)) == 1
    lines = [
        f"{STUDY}: {jobs} jobs, two workers; SHA-256 over runs and curves of every job",
        "",
        f"  engine{'':28}seconds   tables of results",
        *rows,
        "",
        f"the tables are {'' if same else 'NOT '}identical",
    ]
    target.mkdir(parents=True, exist_ok=True)
    (target / "engines.txt").write_text("\n".join(lines) + "\n")
    circumstances |= {"versions": versions, "machine": machine()}
    facts.write(target / "facts.json", circumstances)
    print("\n".join(lines))
    return 0 if same else 1


def swept(folder: Path, words: list[str]) -> float:
    """Run the study in this folder; returns the seconds of the whole command."""
    command = [sys.executable, "-m", "resformer", "sweep", "--study", STUDY, *words]
    environment = {**os.environ, "NO_COLOR": "1"}
    began = time.perf_counter()
    subprocess.run(
        [*command, "engine.workers=2"],
        cwd=folder,
        check=True,
        stdout=subprocess.DEVNULL,
        env=environment,
    )
    return time.perf_counter() - began


if __name__ == "__main__":
    sys.exit(main())
