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
from lib.facts import REFERENCE, commit
from resformer import __version__
from resformer.plan.provenance import machine

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
    """All of them as tables, numbers of seeds across: the least coverage first, details last."""
    one = decisions["procedure"] == "one comparison"
    kinds = intervals["quantity"].str.split(" at depth").str[0]
    worst = intervals.groupby([kinds, "seeds"], sort=False)["covered"].min().unstack()
    pairs = real["scheme"] + " / " + real["baseline"]
    parts = [
        "Share of 95 % intervals that hold the truth, the least of all settings, by seeds of the "
        "two arms",
        worst[intervals["seeds"].unique()].map("{:.2f}".format).to_string(),
        "Studies that decide for the scheme / for the baseline: one comparison",
        by_seeds(decisions[one], "scenario"),
        "The same, drawn from 30 real seeds of each arm; of an arm and itself, disjoint seeds",
        by_seeds(real.assign(pair=pairs), "pair"),
        "In full",
    ]
    for setting, rows in intervals.groupby("setting", sort=False):
        wide = rows.pivot_table("covered", "quantity", "seeds", sort=False)
        parts.append(f"Intervals, {setting}\n{wide.map('{:.3f}'.format).to_string()}")
    for procedure, rows in decisions[~one].groupby("procedure", sort=False):
        parts.append(f"Decisions, {procedure}\n{by_seeds(rows, 'scenario')}")
    return "\n\n".join(parts)


def by_seeds(rows: pd.DataFrame, name: str) -> str:
    """Table of the shares that decide for either side, numbers of seeds across."""
    both = rows.assign(
        sides=[
            f"{scheme:.2f}/{baseline:.2f}"
            for scheme, baseline in zip(rows["for_scheme"], rows["for_baseline"], strict=True)
        ]
    )
    wide = both.pivot(index=name, columns="seeds", values="sides")
    return wide.loc[rows[name].unique(), rows["seeds"].unique()].to_string()


if __name__ == "__main__":
    main()
