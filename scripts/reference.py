"""Run a study afresh, in a folder of its own, and keep what is worth committing in results/reference/STUDY.

report.txt, report.json     the report, as a terminal shows it and in full
members.csv                 a row per member: settings that vary, outcome, steps, losses
evaluations.parquet         held-out loss and accuracy at every evaluation of every member
figures                     curves-*.svg, steps-*.svg and others
page.html                   all of it as one page
facts.json                  the command, versions, machine, and how long it took

Of the study `probe`, which is not trained: report.txt, its figures and facts, and layers.parquet, all of its numbers.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

from benchmark.facts import described, machine
from resformer.reporting.figures import draw
from resformer.reporting.formats import as_json
from resformer.reporting.layout import layout
from resformer.reporting.members import Findings, read
from resformer.reporting.page import page
from resformer.reporting.summary import summarise
from resformer.store.study import Study
from resformer.versions import versions


def main() -> None:
    """Run and write; the exit code is that of the command."""
    name = sys.argv[1] if len(sys.argv) == 2 else sys.exit("usage: scripts/reference STUDY")
    root = Path(__file__).resolve().parent.parent
    target = root / "results" / "reference" / name
    command = ["resformer", "probe", "--to", "."] if name == "probe" else ["resformer", "sweep", "--study", name]
    with tempfile.TemporaryDirectory() as scratch:
        commit = described(root)
        began = time.perf_counter()
        environment = {**os.environ, "COLUMNS": "80", "NO_COLOR": "1"}
        words = [sys.executable, "-m", *command]
        done = subprocess.run(words, cwd=scratch, stdout=subprocess.PIPE, text=True, check=True, env=environment)
        elapsed = time.perf_counter() - began
        target.mkdir(parents=True, exist_ok=True)
        (target / "report.txt").write_text("\n".join(line.rstrip() for line in done.stdout.splitlines()) + "\n")
        used = probed(Path(scratch), target) if name == "probe" else swept(Path(scratch), name, target)
    facts = {"command": " ".join(command), "seconds": round(elapsed, 1), "commit": commit}
    (target / "facts.json").write_text(json.dumps({**facts, "versions": used, "machine": machine()}, indent=1) + "\n")
    print(done.stdout, end="")


def probed(scratch: Path, target: Path) -> dict[str, str]:
    """Keep a probe's numbers and figures; returns the versions that it ran with."""
    table = pd.read_csv(scratch / "layers.csv")
    table.to_parquet(target / "layers.parquet", index=False, compression="zstd")
    for path in scratch.glob("*.svg"):
        shutil.copy(path, target)
    return versions(compiled=False)


def swept(scratch: Path, name: str, target: Path) -> dict[str, str]:
    """Keep a study's numbers, figures and page; returns the versions that it ran with."""
    study = Study(scratch / "results" / name)
    found = read([study])
    summary = summarise(found)
    asked = layout(summary)
    (target / "report.json").write_text(as_json(summary) + "\n")
    members = found.members.drop(columns=["shape", "ms"])
    varying = [column for column in members if members[column].astype(str).nunique() > 1]
    members[varying].to_csv(target / "members.csv", index=False)
    evaluations(found).to_parquet(target / "evaluations.parquet", index=False, compression="zstd")
    for path in draw(found, summary, asked, target):
        if path.suffix == ".png":
            path.unlink()
    (target / "page.html").write_text(page(found, summary, asked, ["resformer", "report", name, "--html", "page.html"]))
    used: dict[str, str] = study.launches()[-1]["versions"]
    return used


def evaluations(found: Findings) -> pd.DataFrame:
    """Every evaluation of every member, by job."""
    table = found.curves(found.members, ["held_out_loss", "held_out_accuracy"]).dropna().drop(columns="study")
    return table.astype({"seed": "int32", "step": "int32", "held_out_loss": "float32", "held_out_accuracy": "float32"})


if __name__ == "__main__":
    main()
