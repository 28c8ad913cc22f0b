"""Run a study, and keep what is worth committing in results/reference/STUDY.

The study itself lies in results/STUDY, as any other's: stopped in the middle, the same command goes
on with it.

report.txt, report.json     the report, as a terminal shows it and in full
members.csv                 a row per member: settings that vary, outcome, steps, losses
schemes.md                  of the study `schemes`: the table of all schemes
evaluations.parquet         held-out loss and accuracy at every evaluation of every member
figures                     curves-*.svg, steps-*.svg and others
page.html                   all of it as one page
facts.json                  the command, the commit that wrote all this (a sweep takes no results of
                            other numeric code), when it was launched, versions, machine, how long
                            it trained in seconds of a core

Of the study `probe`, which is not trained: report.txt, its figures and facts, and layers.parquet,
all of its numbers.
"""

import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd

from lib import facts
from lib.facts import REFERENCE, ROOT, commit
from lib.schemes_table import schemes_table
from resformer.keys import Json
from resformer.plan.provenance import machine, versions
from resformer.reporting.analysis.pairs import Pairing
from resformer.reporting.analysis.summary import summarise
from resformer.reporting.figures import draw
from resformer.reporting.layout import layout
from resformer.reporting.views.formats import as_json
from resformer.reporting.views.page import page
from resformer.results.members import Findings, read
from resformer.results.trained import trained
from resformer.store.study import Study

_QUESTION = {"schemes": ["--against", "add pre"]}
"""Options of a study's report."""


def main() -> None:
    """Run and write; the exit code is that of the command."""
    name = sys.argv[1] if len(sys.argv) == 2 else sys.exit("usage: scripts/reference STUDY")
    target = REFERENCE / name
    make = ["resformer", "probe"] if name == "probe" else ["resformer", "sweep", "--study", name]
    show = ["resformer", "report", name, *_QUESTION.get(name, [])]
    revision, began = commit(), time.perf_counter()
    printed = _printed(make)
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    if name == "probe":
        commands = [make]
        made = probed(target, time.perf_counter() - began)
    else:
        commands = [make, show]
        printed = _printed(show)
        made = swept(name, target)
    (target / "report.txt").write_text(printed)
    circumstances = {"command": " && ".join(map(shlex.join, commands)), "commit": revision}
    facts.write(target / "facts.json", {**circumstances, **made, "machine": machine()})
    print(printed, end="")


def _printed(command: list[str]) -> str:
    """Text that a command prints on a terminal of 80 columns."""
    environment = {**os.environ, "COLUMNS": "80", "NO_COLOR": "1"}
    words = [sys.executable, "-m", *command]
    done = subprocess.run(
        words, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True, env=environment
    )
    return "\n".join(line.rstrip() for line in done.stdout.splitlines()) + "\n"


def probed(target: Path, elapsed: float) -> Json:
    """Keep a probe's numbers and figures; returns its seconds and versions."""
    made = ROOT / "results" / "probes" / "probe"
    table = pd.read_csv(made / "layers.csv")
    table.to_parquet(target / "layers.parquet", index=False, compression="zstd")
    for path in made.glob("*.svg"):
        shutil.copy(path, target)
    return {"seconds": round(elapsed, 1), "versions": versions()}


def swept(name: str, target: Path) -> Json:
    """Keep a study's numbers, figures and page; returns how long it trained, and its versions."""
    study = Study(ROOT / "results" / name)
    findings = read([study])
    question = _QUESTION.get(name, [])
    summary = summarise(findings, Pairing(against=question[-1] if question else ""))
    arranged = layout(summary)
    (target / "report.json").write_text(as_json(summary) + "\n")
    if name == "schemes":
        (target / "schemes.md").write_text(schemes_table(findings.members, summary))
    members = findings.members.drop(columns=["shape", "ms"])
    varying = [column for column in members if members[column].astype(str).nunique() > 1]
    members[varying].to_csv(target / "members.csv", index=False)
    evaluations(findings).to_parquet(
        target / "evaluations.parquet", index=False, compression="zstd"
    )
    for path in draw(findings, summary, arranged, target):
        if path.suffix == ".png":
            path.unlink()
    (target / "page.html").write_text(
        page(
            findings,
            summary,
            arranged,
            ["resformer", "report", name, *question, "--html", "page.html"],
        )
    )
    return trained(study)


def evaluations(findings: Findings) -> pd.DataFrame:
    """Table of every evaluation of every member, by job."""
    table = findings.read_curves(findings.members, ["held_out_loss", "held_out_accuracy"])
    types = dict.fromkeys(("held_out_loss", "held_out_accuracy"), "float32")
    return table.dropna().drop(columns="study").astype({"seed": "int32", "step": "int32", **types})


if __name__ == "__main__":
    main()
