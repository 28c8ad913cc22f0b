"""Coverage of intervals and decisions of tests, by simulation: writes results/reference/statistics.

intervals.csv   share of the intervals that hold the truth
decisions.csv   share of studies that decide for either side
coverage.txt    both as tables
facts.json      command, versions, machine
"""

import json
import sys
import time

import numpy as np
import pandas as pd

from lib.coverage.decisions import decisions
from lib.coverage.intervals import intervals
from lib.facts import REFERENCE, commit, machine
from resformer import __version__

FOLDER = REFERENCE / "statistics"


def main() -> None:
    """Simulate, write, print."""
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    revision, began = commit(), time.perf_counter()
    tables = {"intervals": intervals(repeats), "decisions": decisions(repeats)}
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        table.to_csv(FOLDER / f"{name}.csv", index=False, float_format="%.4f")
    text = shown(**tables)
    (FOLDER / "coverage.txt").write_text(text + "\n")
    facts = {
        "command": f"scripts/coverage {repeats}",
        "seconds": round(time.perf_counter() - began, 1),
        "commit": revision,
        "versions": {"resformer": __version__, "numpy": np.__version__},
        "machine": machine(),
    }
    (FOLDER / "facts.json").write_text(json.dumps(facts, indent=1) + "\n")
    print(text)


def shown(intervals: pd.DataFrame, decisions: pd.DataFrame) -> str:
    """Both as tables: numbers of seeds across."""
    parts = ["Intervals that hold the truth (nominal 95 %), by seeds of the two arms"]
    for setting, rows in intervals.groupby("setting", sort=False):
        wide = rows.pivot_table("covered", "quantity", "seeds", sort=False)
        parts += [f"\n{setting}", wide.map("{:.3f}".format).to_string()]
    parts.append(
        "\nStudies that decide for the scheme / for the baseline, by seeds of the two arms"
    )
    for procedure, rows in decisions.groupby("procedure", sort=False):
        both = rows.assign(
            sides=[
                f"{scheme:.3f} / {baseline:.3f}"
                for scheme, baseline in zip(rows["scheme"], rows["baseline"], strict=True)
            ]
        )
        wide = both.pivot(index="scenario", columns="seeds", values="sides")
        wide = wide.loc[rows["scenario"].unique(), rows["seeds"].unique()]
        parts += [f"\n{procedure}", wide.to_string()]
    return "\n".join(parts)


if __name__ == "__main__":
    main()
