"""Coverage of intervals and decisions of tests, by simulation: writes results/reference/statistics.

intervals.csv   share of the intervals that hold the truth
decisions.csv   share of studies that decide for either side
real.csv        the same for studies drawn from 30 real seeds of each arm (results/reference/seeds)
coverage.txt    all as tables
facts.json      command, versions, machine
"""

import json
import sys
import time

import numpy as np
import pandas as pd

from lib.coverage.decisions import decisions
from lib.coverage.intervals import intervals
from lib.coverage.real import real
from lib.facts import REFERENCE, commit, machine
from resformer import __version__

FOLDER = REFERENCE / "statistics"


def main() -> None:
    """Simulate, write, print."""
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 400
    revision, began = commit(), time.perf_counter()
    tables = {
        "intervals": intervals(repeats),
        "decisions": decisions(repeats),
        "real": real(repeats),
    }
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


def shown(intervals: pd.DataFrame, decisions: pd.DataFrame, real: pd.DataFrame) -> str:
    """All of them as tables: numbers of seeds across."""
    parts = ["Intervals that hold the truth (nominal 95 %), by seeds of the two arms"]
    for setting, rows in intervals.groupby("setting", sort=False):
        wide = rows.pivot_table("covered", "quantity", "seeds", sort=False)
        parts += [f"\n{setting}", wide.map("{:.3f}".format).to_string()]
    sides = "Studies that decide for the scheme / for the baseline, by seeds of the two arms"
    parts.append(f"\n{sides}")
    for procedure, rows in decisions.groupby("procedure", sort=False):
        parts += [f"\n{procedure}", by_seeds(rows, "scenario")]
    parts.append(f"\n{sides}: drawn from 30 real seeds of each arm")
    pairs = real["scheme"] + " / " + real["baseline"]
    parts.append(by_seeds(real.assign(pair=pairs), "pair"))
    return "\n".join(parts)


def by_seeds(rows: pd.DataFrame, name: str) -> str:
    """Table of the shares that decide for either side, numbers of seeds across."""
    both = rows.assign(
        sides=[
            f"{scheme:.3f} / {baseline:.3f}"
            for scheme, baseline in zip(rows["for_scheme"], rows["for_baseline"], strict=True)
        ]
    )
    wide = both.pivot(index=name, columns="seeds", values="sides")
    return wide.loc[rows[name].unique(), rows["seeds"].unique()].to_string()


if __name__ == "__main__":
    main()
