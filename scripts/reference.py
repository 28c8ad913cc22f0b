"""Run a study afresh, in a folder of its own, and keep what is worth committing in results/reference/STUDY.

report.txt, report.json     the report, as a terminal shows it and in full
members.csv                 a row per member: settings that vary, outcome, steps, losses
evaluations.parquet         held-out loss and accuracy at every evaluation of every member
figures                     curves-*.svg, steps-*.svg
facts.json                  the command, versions, machine, and how long it took
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

from benchmark.facts import described, machine
from resformer.reporting.figures import draw
from resformer.reporting.summary import load, summarise
from resformer.reporting.table import as_json
from resformer.store.study import Study


def main() -> None:
    """Run and write; the exit code is that of the sweep."""
    name = sys.argv[1] if len(sys.argv) == 2 else sys.exit("usage: scripts/reference STUDY")
    root = Path(__file__).resolve().parent.parent
    target = root / "results" / "reference" / name
    with tempfile.TemporaryDirectory() as scratch:
        commit = described(root)
        command = ["resformer", "sweep", "--study", name]
        began = time.perf_counter()
        words = [sys.executable, "-m", *command, "--results", scratch]
        environment = {**os.environ, "COLUMNS": "80", "NO_COLOR": "1"}
        done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True, env=environment)
        elapsed = time.perf_counter() - began
        study = Study(Path(scratch) / name)
        used = study.launches()[-1]["versions"]
        target.mkdir(parents=True, exist_ok=True)
        (target / "report.txt").write_text("\n".join(line.rstrip() for line in done.stdout.splitlines()) + "\n")
        (target / "report.json").write_text(as_json(summarise(study)) + "\n")
        members, _ = load(study)
        varying = [column for column in members if members[column].astype(str).nunique() > 1]
        members[varying].drop(columns="ms", errors="ignore").to_csv(target / "members.csv", index=False)
        evaluations(study, members).to_parquet(target / "evaluations.parquet", index=False, compression="zstd")
        for path in draw(study, target):
            if path.suffix == ".png":
                path.unlink()
    facts = {"command": " ".join(command), "seconds": round(elapsed, 1), "commit": commit}
    (target / "facts.json").write_text(json.dumps({**facts, "versions": used, "machine": machine()}, indent=1) + "\n")
    print(done.stdout, end="")


def evaluations(study: Study, members: pd.DataFrame) -> pd.DataFrame:
    """Every evaluation of every member, by job."""
    columns = ["seed", "lr", "step", "held_out_loss", "held_out_accuracy"]
    tables = [study.read(job, "curves", columns).dropna().assign(job=job) for job in members["job"].unique()]
    found = pd.concat(tables, ignore_index=True)
    return found.astype({"seed": "int32", "step": "int32", "held_out_loss": "float32", "held_out_accuracy": "float32"})


if __name__ == "__main__":
    main()
